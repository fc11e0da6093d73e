//! A drill for people.

use super::text::{Style, findings};
use super::units::{bytes, duration, plain, short};
use crate::ledger::events::EventRecord;
use crate::model::drill::{Drill, DrillKey, DrillResult, DrilledCheck, DrilledSource};
use std::fmt::Write;

/// Renders what a drill found; `record` is its record in the ledger, if there is one.
pub fn drill(drill: &Drill, record: Option<&EventRecord>, style: Style) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "drill {} → {}   release {}",
        plain(&drill.application),
        plain(&drill.environment),
        drill.release
    );
    for source in &drill.sources {
        text += &self::source(source);
    }
    for check in &drill.checks {
        text += &self::check(check);
    }
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "{label:<10}{value}");
    };
    line("took", format!("{}{}", duration(drill.seconds), promised(drill.rto, "rto")));
    let age = drill.data_age_seconds.map_or_else(|| "unknown".to_owned(), duration);
    line("data age", format!("{age}{}", promised(drill.rpo, "rpo")));
    if drill.key == DrillKey::Escrow {
        line("password", "from escrow; the daily one was not used".to_owned());
    }
    match record {
        Some(record) => line("recorded", record.name.clone()),
        None => line("recorded", "no".to_owned()),
    }
    text += &findings(&drill.findings, style);
    let words = match drill.result {
        DrillResult::Passed => "the drill passed: this release can be restored",
        _ => "the drill failed",
    };
    text + words + "\n"
}

/// Says what is promised, in seconds.
fn promised(seconds: Option<u64>, name: &str) -> String {
    #[expect(clippy::cast_precision_loss, reason = "no promise is longer than 52 bits of seconds")]
    seconds.map_or_else(|| format!(" (no {name} is configured)"), |it| format!(" of {} ({name})", duration(it as f64)))
}

fn source(source: &DrilledSource) -> String {
    let mut text = format!(
        "{:<10}{} ({}, snapshot {}), {}, in {}",
        mark(source.result),
        plain(&source.name),
        plain(&source.kind),
        short(&source.snapshot),
        bytes(source.bytes),
        duration(source.seconds)
    );
    if !source.place.is_empty() {
        let _ = write!(text, ": {}", plain(&source.place));
    }
    text + "\n"
}

fn check(check: &DrilledCheck) -> String {
    let answer = check.answer.as_ref().map(|answer| format!("{}; ", plain(answer))).unwrap_or_default();
    format!("{:<10}{}: {answer}expected {}\n", mark(check.result), plain(&check.name), plain(&check.expected))
}

fn mark(result: DrillResult) -> &'static str {
    match result {
        DrillResult::Passed => "ok",
        DrillResult::Failed => "FAILED",
        DrillResult::NotTried => "not tried",
    }
}
