//! What is running, against what is expected, and what happened so far.

use super::super::happened::happened;
use super::super::html::Page;
use super::super::units::time;
use super::{Fact, capitalised, fact};
use crate::ledger::events::Event;
use crate::model::manifest::{ProbeKind, State};
use crate::model::reconciliation::{Outcome, Side};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct Running {
    tone: &'static str,
    headline: String,
    facts: Vec<Fact>,
    history: Vec<Fact>,
}

/// Says what runs.
pub(super) fn running(page: &Page<'_>) -> Running {
    let manifest = page.manifest;
    let release = &manifest.release;
    let before = match (&release.from.version, release.from.probe) {
        (Some(version), ProbeKind::Given) => format!("{version} (given by the caller, not observed)"),
        (Some(version), _) => version.to_string(),
        (None, ProbeKind::First) => "nothing, this is the first release".to_owned(),
        (None, _) => "unknown, nothing could observe it".to_owned(),
    };
    let mut facts = vec![fact("Before the release", before)];
    if let Some(at) = release.from.observed_at {
        facts.push(fact("Observed", time(at)));
    }
    let commit = release.to.commit.get(..12).unwrap_or(&release.to.commit);
    facts.push(fact("This release", format!("{} (commit {commit})", release.to.version)));
    let expected = match (manifest.state, manifest.reconciliation.expected) {
        (State::Passed, Side::To) => release.to.version.to_string(),
        _ => release.from.version.as_ref().map_or("unchanged".to_owned(), ToString::to_string),
    };
    facts.push(fact("Expected to run", expected));
    let mut history = Vec::new();
    let mut last = None;
    // The steps of the last rollback have a section of their own.
    let begun = page.events.iter().rposition(|record| matches!(record.event, Event::RollbackBegan { .. }));
    for (place, record) in page.events.iter().enumerate() {
        if matches!(record.event, Event::RollbackStep { .. }) && begun.is_some_and(|begun| place > begun) {
            continue;
        }
        let Event::Reconciled { at, expected, outcome, instances, explanation } = &record.event else {
            history.push(fact(&time(record.event.at()), capitalised(&happened(&record.event))));
            continue;
        };
        let side = match expected {
            Side::To => "expecting the new version",
            Side::From => "expecting the version before",
        };
        history.push(fact(&time(*at), format!("{}, {side}: {explanation}", outcome_word(*outcome))));
        last = Some((*at, *outcome, explanation, instances));
    }
    let Some((at, outcome, explanation, instances)) = last else {
        let headline = "Not checked since the gate: what runs now is not known".to_owned();
        let side = if manifest.state == State::Passed { "" } else { " --expect from" };
        facts.push(fact("Check it with", format!("holdpoint reconcile --id {}{side}", manifest.id)));
        return Running { tone: "warn", headline, facts, history };
    };
    for instance in instances {
        let answer = match (&instance.version, &instance.error) {
            (Some(version), _) => version.to_string(),
            (None, Some(error)) => format!("no answer: {error}"),
            (None, None) => "no version".to_owned(),
        };
        facts.push(fact(&instance.name, answer));
    }
    let tone = match outcome {
        Outcome::Matched => "good",
        Outcome::Unchanged => "warn",
        Outcome::Partial | Outcome::Drifted | Outcome::Unknown => "bad",
    };
    let headline = format!("{} at {}: {explanation}", capitalised(outcome_word(outcome)), time(at));
    Running { tone, headline, facts, history }
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Matched => "matched",
        Outcome::Unchanged => "unchanged",
        Outcome::Partial => "partial",
        Outcome::Drifted => "drifted",
        Outcome::Unknown => "unknown",
    }
}
