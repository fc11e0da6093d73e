//! `[[webhook]]`: who is told what happens, and how.

use super::environments::{headers, url};
use super::keys::{Form, Section, key, required};
use super::types::Text;
use super::walk::{Table, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long one status line may take, with every further try, unless the file says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where PagerDuty takes events (Events API v2), unless the file says otherwise.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

const FORMATS: &[(&str, WebhookFormat)] = &[
    ("json", WebhookFormat::Json),
    ("slack", WebhookFormat::Slack),
    ("teams", WebhookFormat::Teams),
    ("pagerduty", WebhookFormat::Pagerduty),
];
const EVENTS: &[(&str, WebhookEvent)] = &[
    ("rollback", WebhookEvent::Rollback),
    ("freeze", WebhookEvent::Freeze),
    ("refused", WebhookEvent::Refused),
    ("overridden", WebhookEvent::Overridden),
    ("passed", WebhookEvent::Passed),
    ("drifted", WebhookEvent::Drifted),
    ("drilled", WebhookEvent::Drilled),
];
const EVENT_WORDS: &[&str] = &["rollback", "freeze", "refused", "overridden", "passed", "drifted", "drilled"];

pub(super) const WEBHOOK: Section = Section {
    name: "[[webhook]]",
    keys: &[&[
        required("name", Form::Name, "unique in the file; stands where the URL must not be shown"),
        key("url", Form::Text, "where status lines are posted; never shown; PagerDuty's own unless given"),
        key(
            "format",
            Form::Choice(&["json", "slack", "teams", "pagerduty"]),
            "what the receiver understands; json unless given",
        ),
        key("events", Form::List(&Form::Choice(EVENT_WORDS), 1), "what it is told of; of rollbacks unless given"),
        key("routing_key", Form::Text, "of the format pagerduty: the integration key of the service; never shown"),
        key("template", Form::Text, "a body of one's own, as a handlebars template"),
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
    /// The integration key of a service, a secret; only and always of [`WebhookFormat::Pagerduty`].
    pub routing_key: Option<Text>,
    /// A body of one's own, as a handlebars template over our own document.
    pub template: Option<Text>,
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
    /// The Events API v2 of PagerDuty: an incident is triggered, and resolved by what makes it good.
    Pagerduty,
}

/// What a receiver can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WebhookEvent {
    /// A rollback: started, each step, done or failed.
    Rollback,
    /// An environment was frozen or thawed by a person.
    Freeze,
    /// A release may not be deployed, or a snapshot failed.
    Refused,
    /// Refusals were overridden by a person.
    Overridden,
    /// A release may be deployed.
    Passed,
    /// What runs is not what a manifest says.
    Drifted,
    /// A restore was practised.
    Drilled,
}

impl WebhookEvent {
    /// Returns the word for it, as in `events = ["rollback"]`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Freeze => "freeze",
            Self::Refused => "refused",
            Self::Overridden => "overridden",
            Self::Passed => "passed",
            Self::Drifted => "drifted",
            Self::Drilled => "drilled",
        }
    }
}

/// Reads every webhook; two of one name are noted.
pub(super) fn webhooks(value: &Value<'_>) -> Vec<WebhookConfig> {
    let mut webhooks: Vec<WebhookConfig> = Vec::new();
    for item in value.list().unwrap_or_default() {
        let Some(table) = item.table(&WEBHOOK) else { continue };
        let Some(webhook) = webhook(&item, &table) else { continue };
        if webhooks.iter().any(|other| other.name == webhook.name) {
            item.mistake(format!("two webhooks are named {:?}", webhook.name));
        }
        webhooks.push(webhook);
    }
    webhooks
}

fn webhook(item: &Value<'_>, table: &Table<'_>) -> Option<WebhookConfig> {
    // Every key is read before anything is given up, so that every mistake is noted.
    let name = table.get("name").and_then(|value| value.name());
    let url = table.get("url").and_then(|value| url(&value, "an address such as \"https://chat.example/hooks/1\""));
    let format = table.get("format").map_or(Some(WebhookFormat::Json), |value| value.choice(FORMATS));
    let events = table.get("events").map(|value| events(&value));
    let headers = table.get("headers").map(|value| headers(&value)).unwrap_or_default();
    let template = table.get("template").and_then(|value| template(&value));
    let routing_key = table.get("routing_key").and_then(|value| value.text());
    let is_pagerduty = format == Some(WebhookFormat::Pagerduty);
    if is_pagerduty != table.get("routing_key").is_some() {
        let needs =
            if is_pagerduty { "needs a `routing_key`" } else { "has a `routing_key`, which is for \"pagerduty\"" };
        item.mistake(format!("this webhook {needs}"));
    }
    if table.get("template").is_some() && table.get("format").is_some() {
        item.mistake("`format` and `template` exclude each other".to_owned());
    }
    let url = match table.get("url") {
        Some(_) => url,
        None if is_pagerduty => Some(Text::Plain(PAGERDUTY.to_owned())),
        None => {
            item.mistake("`url` is missing".to_owned());
            None
        }
    };
    let timeout = table.get("timeout").map_or(Some(TIMEOUT), |value| value.some_duration());
    Some(WebhookConfig {
        name: name?.to_owned(),
        url: url?,
        format: format?,
        routing_key,
        template,
        events: events.unwrap_or_else(|| BTreeSet::from([WebhookEvent::Rollback])),
        headers,
        timeout: timeout?,
    })
}

/// Reads a template; one that stands in the file itself is looked at now.
fn template(value: &Value<'_>) -> Option<Text> {
    let text = value.long_text()?;
    if let Text::Plain(source) = &text
        && let Err(error) = handlebars::Template::compile(source)
    {
        value.mistake(format!("`template` is no handlebars template: {}", error.reason()));
    }
    Some(text)
}

fn events(value: &Value<'_>) -> BTreeSet<WebhookEvent> {
    let items = value.full_list().unwrap_or_default();
    items.iter().filter_map(|item| item.choice(EVENTS)).collect()
}
