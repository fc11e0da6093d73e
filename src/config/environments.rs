//! `[environment.NAME]` and its probe.

use super::keys::{ENVIRONMENT, LATER_PROBES, PROBES};
use super::requirements::requirements;
use super::rollback::rollback;
use super::types::{EnvironmentConfig, ProbeConfig, ProbeTarget, Selector, Text};
use super::walk::{Table, Value};
use super::windows::calendar;
use reqwest::header::{HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one instance may take to answer, unless the file says otherwise.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads every environment; `sources` are the names of all sources, if those are right, and `copies` those of all copies.
pub(super) fn environments(
    value: &Value<'_>,
    sources: Option<&[&str]>,
    copies: &[&str],
) -> BTreeMap<String, EnvironmentConfig> {
    let mut environments = BTreeMap::new();
    for (name, item) in value.map() {
        if let Some(table) = item.table(&ENVIRONMENT) {
            environments.insert(name.to_owned(), environment(&table, sources, copies));
        }
    }
    environments
}

fn environment(table: &Table<'_>, sources: Option<&[&str]>, copies: &[&str]) -> EnvironmentConfig {
    EnvironmentConfig {
        tier: table.get("tier").and_then(|value| value.string()),
        rpo: table.get("rpo").and_then(|value| value.some_duration()),
        rto: table.get("rto").and_then(|value| value.some_duration()),
        deployed: table.get("deployed").and_then(|value| probe(&value)),
        rollback: table.get("rollback").map(|value| rollback(&value, sources)).unwrap_or_default(),
        retired: table.get("retired").and_then(|value| value.boolean()).unwrap_or(false),
        archive: archive(table, copies),
        calendar: calendar(table),
        deploy_takes: table.get("deploy_takes").and_then(|value| value.some_duration()),
        require: table.get("require").map(|value| requirements(&value)).unwrap_or_default(),
        drill_within: table.get("drill_within").and_then(|value| value.some_duration()),
        approvers: table.get("approvers").and_then(|value| value.path()).map(|path| table.walk.directory.join(path)),
        approvals: table.get("approvals").and_then(|value| value.integer(1, 100)),
        ticket_pattern: table.get("ticket_pattern").and_then(|value| whole(&value)),
    }
}

/// Reads the name of the copy that a retired environment is moved to.
fn archive(table: &Table<'_>, copies: &[&str]) -> Option<String> {
    let value = table.get("archive")?;
    let name = value.name()?;
    if !copies.contains(&name) {
        value.mistake(format!("`archive` must name a copy, and there is no [store.copies.{name}]"));
        return None;
    }
    let is_retired = table.get("retired").and_then(|value| value.boolean());
    if is_retired != Some(true) {
        value.mistake("`archive` belongs to an environment that is `retired = true`");
        return None;
    }
    Some(name.to_owned())
}

fn probe(value: &Value<'_>) -> Option<ProbeConfig> {
    let (kind, table) = value.kind(PROBES, LATER_PROBES)?;
    let timeout = table.get("timeout").map_or(Some(PROBE_TIMEOUT), |value| value.some_duration());
    let commit = selector(&table, ["commit", "commit_header", "commit_regex"]);
    let version = match selector(&table, ["version", "header", "regex"]) {
        Some(selector) => selector,
        // A web page is seldom a bare version; a program or file made for the purpose often is.
        None if kind == "http" => {
            table.walk.mistake(
                &table.at,
                "where is the version in the answer? give `version` (a JSON pointer), `header` or `regex`",
            );
            None
        }
        None => Some(Selector::Whole),
    };
    let target = match kind {
        "http" => http(&table),
        "command" => {
            let env = table.get("env").map(|value| value.variables()).unwrap_or_default();
            table
                .get("command")
                .and_then(|value| value.arguments())
                .map(|command| ProbeTarget::Command { command, env })
        }
        _ => {
            let path = table.get("path").and_then(|value| value.path());
            path.map(|path| ProbeTarget::File { path: table.walk.directory.join(path) })
        }
    };
    Some(ProbeConfig { target: target?, version: version?, commit: commit.flatten(), timeout: timeout? })
}

/// Reads the one of three keys that is there: `None` if none is, `Some(None)` if what is there was noted as wrong.
fn selector(table: &Table<'_>, [pointer, header, regex]: [&'static str; 3]) -> Option<Option<Selector>> {
    let values = [pointer, header, regex].map(|key| table.get(key));
    let mut given = values.iter().flatten();
    let (first, second) = (given.next()?, given.next());
    if let Some(second) = second {
        second.mistake(format!("`{}` and `{}` exclude each other: give one", first.name, second.name));
    }
    let [by_pointer, by_header, by_regex] = values;
    let read = [
        by_pointer.map(|value| json_pointer(&value)),
        by_header.map(|value| header_name(&value)),
        by_regex.map(|value| regular_expression(&value).map(Selector::Regex)),
    ];
    Some(read.into_iter().flatten().next().flatten())
}

/// Reads a JSON pointer (RFC 6901).
fn json_pointer(value: &Value<'_>) -> Option<Selector> {
    let text = value.string()?;
    let escapes_are_right = text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    if !text.starts_with('/') || !escapes_are_right {
        let message = format!("`{}` must be a JSON pointer such as \"/version\", not {text:?}", value.name);
        value.mistake(message);
        return None;
    }
    Some(Selector::Pointer(text))
}

fn header_name(value: &Value<'_>) -> Option<Selector> {
    let name = value.name()?;
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        value.mistake(format!("{name:?} is not the name of an HTTP header"));
        return None;
    }
    Some(Selector::Header(name.to_owned()))
}

/// Reads a regular expression.
pub(super) fn regular_expression(value: &Value<'_>) -> Option<regex::Regex> {
    let text = value.string()?;
    match regex::Regex::new(&text) {
        Ok(regex) => Some(regex),
        Err(error) => {
            // The library draws the place over several lines; the reason is the last one.
            let text = error.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            value.mistake(format!("`{}` is not a regular expression: {reason}", value.name));
            None
        }
    }
}

/// Reads a regular expression that a whole text must match.
fn whole(value: &Value<'_>) -> Option<regex::Regex> {
    let found = regular_expression(value)?;
    match regex::Regex::new(&format!("^(?:{found})$")) {
        Ok(whole) => Some(whole),
        Err(_) => {
            // Such as one whose comment swallows the bracket.
            value.mistake(format!("`{}` cannot be compared with a whole text: leave out (?x)", value.name));
            None
        }
    }
}

fn http(table: &Table<'_>) -> Option<ProbeTarget> {
    let headers = table.get("headers").map(|value| headers(&value)).unwrap_or_default();
    let what = "URLs such as \"https://shop.example/version\"";
    let urls = table.get("urls")?.full_list()?.iter().filter_map(|item| url(item, what)).collect();
    Some(ProbeTarget::Http { urls, headers })
}

/// Reads a URL, which is to be `what`; one that is kept elsewhere is looked at when it is used.
pub(super) fn url(value: &Value<'_>, what: &str) -> Option<Text> {
    let text = value.text()?;
    if let Text::Plain(plain) = &text {
        let right = url::Url::parse(plain).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        if !right {
            // The text is not shown: it may hold a password.
            value.mistake(format!("`{}` must hold {what}", value.name));
            return None;
        }
    }
    Some(text)
}

pub(super) fn headers(value: &Value<'_>) -> BTreeMap<String, Text> {
    let mut headers = BTreeMap::new();
    for (name, item) in value.map() {
        let Some(text) = item.text() else {
            continue;
        };
        let value_is_right = match &text {
            Text::Plain(plain) => HeaderValue::from_str(plain).is_ok(),
            Text::Env(_) | Text::File(_) => true,
        };
        if HeaderName::from_bytes(name.as_bytes()).is_err() || !value_is_right {
            item.mistake(format!("{name:?} is not an HTTP header, or its value is none"));
        } else {
            headers.insert(name.to_owned(), text);
        }
    }
    headers
}
