//! `[[override]]`: who may set aside which refusals, where, and for how long.

use super::keys::{Form, Section, key, required};
use super::walk::{Table, Value};
use crate::model::finding::FindingCode;
use crate::model::overridable::overridable;
use std::time::Duration;

/// How long a pass by override counts, unless the file says otherwise.
const VALID_FOR: Duration = Duration::from_secs(30 * 60);

pub(super) const OVERRIDE: Section = Section {
    name: "[[override]]",
    keys: &[&[
        required("codes", Form::List(&Form::Name, 1), "the refusals, by their codes, such as \"size-shrank\""),
        required("by", Form::List(&Form::Text, 1), "the names of those who may, as --approved-by gives them"),
        key("environments", Form::List(&Form::Text, 1), "where they may; everywhere unless given"),
        key("valid_for", Form::Duration, "how long a pass by override counts; 30m unless given"),
        key("signed", Form::Boolean, "whether they must prove by a signature who they are; true unless given"),
    ]],
    later: &[],
};

/// One `[[override]]`.
#[derive(Debug, Clone)]
pub struct OverrideConfig {
    /// The refusals that may be set aside; none of those that nobody may.
    pub codes: Vec<FindingCode>,
    /// The names of those who may.
    pub by: Vec<String>,
    /// Where they may; everywhere if `None`.
    pub environments: Option<Vec<String>>,
    /// How long a pass by override counts.
    pub valid_for: Duration,
    /// Whether they must prove by a signature who they are.
    pub signed: bool,
}

/// Reads every rule.
pub(super) fn overrides(value: &Value<'_>) -> Vec<OverrideConfig> {
    let items = value.list().unwrap_or_default();
    items.iter().filter_map(|item| item.table(&OVERRIDE)).filter_map(|table| rule(&table)).collect()
}

fn rule(table: &Table<'_>) -> Option<OverrideConfig> {
    // Every key is read before anything is given up, so that every mistake is noted.
    let strings = |name| -> Option<Vec<String>> {
        let items = table.get(name)?.full_list()?;
        Some(items.iter().filter_map(|item| item.string()).collect())
    };
    let codes = table.get("codes").and_then(|value| value.full_list());
    let codes = codes.map(|items| items.iter().filter_map(code).collect());
    let by = strings("by");
    let environments = strings("environments");
    let valid_for = table.get("valid_for").map_or(Some(VALID_FOR), |value| value.some_duration());
    let signed = table.get("signed").map_or(Some(true), |value| value.boolean());
    Some(OverrideConfig { codes: codes?, by: by?, environments, valid_for: valid_for?, signed: signed? })
}

/// Reads the code of a refusal that may be overridden at all.
fn code(value: &Value<'_>) -> Option<FindingCode> {
    let name = value.name()?;
    let Some(code) = FindingCode::ALL.iter().find(|code| code.as_str() == name) else {
        value.mistake(format!("there is no finding \"{name}\": docs/findings.md lists them"));
        return None;
    };
    match overridable(*code) {
        Ok(()) => Some(*code),
        Err(why) => {
            value.mistake(format!("nobody may override \"{name}\": {why}"));
            None
        }
    }
}
