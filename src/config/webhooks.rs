//! `[[webhook]]`: who is told what happens, and how.

use super::environments::{headers, url};
use super::keys::{Form, Section, key, required};
use super::types::Text;
use super::walk::{Table, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long one status line may take, with every further try, unless the file says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

const FORMATS: &[(&str, WebhookFormat)] =
    &[("json", WebhookFormat::Json), ("slack", WebhookFormat::Slack), ("teams", WebhookFormat::Teams)];
const EVENTS: &[(&str, WebhookEvent)] = &[("rollback", WebhookEvent::Rollback), ("freeze", WebhookEvent::Freeze)];

pub(super) const WEBHOOK: Section = Section {
    name: "[[webhook]]",
    keys: &[&[
        required("name", Form::Name, "unique in the file; stands where the URL must not be shown"),
        required("url", Form::Text, "where status lines are posted; never shown"),
        key("format", Form::Choice(&["json", "slack", "teams"]), "what the receiver understands; json unless given"),
        key(
            "events",
            Form::List(&Form::Choice(&["rollback", "freeze"]), 1),
            "what it is told of; of rollbacks unless given",
        ),
        key("headers", Form::Map(&Form::Text), "headers to send, such as a token"),
        key("timeout", Form::Duration, "how long one status line may take, with every further try; 5s unless given"),
    ]],
    later: &[],
};

/// One `[[webhook]]`.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Its name, unique in the configuration.
    pub name: String,
    /// Where status lines are posted: a secret wherever it is kept, since whoever knows it can post.
    pub url: Text,
    /// What the receiver understands.
    pub format: WebhookFormat,
    /// What it is told of; never empty.
    pub events: BTreeSet<WebhookEvent>,
    /// Headers to send.
    pub headers: BTreeMap<String, Text>,
    /// How long one status line may take, with every further try.
    pub timeout: Duration,
}

/// What a receiver understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookFormat {
    /// Our own document, with every fact in a field of its own.
    Json,
    /// An incoming webhook of Slack, or of a chat that takes the same.
    Slack,
    /// A workflow of Microsoft Teams.
    Teams,
}

/// What a receiver can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WebhookEvent {
    /// A rollback: started, each step, done or failed.
    Rollback,
    /// An environment was frozen or thawed by a person.
    Freeze,
}

impl WebhookEvent {
    /// Returns the word for it, as in `events = ["rollback"]`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Freeze => "freeze",
        }
    }
}

/// Reads every webhook; two of one name are noted.
pub(super) fn webhooks(value: &Value<'_>) -> Vec<WebhookConfig> {
    let mut webhooks: Vec<WebhookConfig> = Vec::new();
    for item in value.list().unwrap_or_default() {
        let Some(table) = item.table(&WEBHOOK) else { continue };
        let Some(webhook) = webhook(&table) else { continue };
        if webhooks.iter().any(|other| other.name == webhook.name) {
            item.mistake(format!("two webhooks are named {:?}", webhook.name));
        }
        webhooks.push(webhook);
    }
    webhooks
}

fn webhook(table: &Table<'_>) -> Option<WebhookConfig> {
    // Every key is read before anything is given up, so that every mistake is noted.
    let name = table.get("name").and_then(|value| value.name());
    let url = table.get("url").and_then(|value| url(&value, "an address such as \"https://chat.example/hooks/1\""));
    let format = table.get("format").map_or(Some(WebhookFormat::Json), |value| value.choice(FORMATS));
    let events = table.get("events").map(|value| events(&value));
    let headers = table.get("headers").map(|value| headers(&value)).unwrap_or_default();
    let timeout = table.get("timeout").map_or(Some(TIMEOUT), |value| value.some_duration());
    Some(WebhookConfig {
        name: name?.to_owned(),
        url: url?,
        format: format?,
        events: events.unwrap_or_else(|| BTreeSet::from([WebhookEvent::Rollback])),
        headers,
        timeout: timeout?,
    })
}

fn events(value: &Value<'_>) -> BTreeSet<WebhookEvent> {
    let items = value.full_list().unwrap_or_default();
    items.iter().filter_map(|item| item.choice(EVENTS)).collect()
}
