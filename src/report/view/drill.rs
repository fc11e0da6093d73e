//! When a restore of this release was last practised, and what came of it.

use super::super::drilled::drills;
use super::super::html::Page;
use super::super::units::{bytes, counted, duration, time};
use super::record::FindingView;
use super::{Fact, fact};
use crate::model::drill::{Drill, DrillKey, DrillResult};
use jiff::Timestamp;
use serde::Serialize;

/// The drills of this release.
#[derive(Debug, Serialize)]
pub(super) struct DrillView {
    tone: &'static str,
    headline: String,
    facts: Vec<Fact>,
    findings: Vec<FindingView>,
    sources: Vec<Part>,
    checks: Vec<Part>,
    /// The drills before the last one.
    earlier: Vec<Fact>,
}

/// One source, or one check.
#[derive(Debug, Serialize)]
struct Part {
    tone: &'static str,
    name: String,
    result: &'static str,
    took: String,
    detail: String,
}

/// Says what the drills of this release came to.
pub(super) fn drill(page: &Page<'_>) -> DrillView {
    let mut all = drills(page.events);
    match all.next() {
        Some((at, drill)) => {
            let earlier = all.map(|(at, drill)| fact(&time(at), in_short(drill))).collect();
            DrillView { earlier, ..last(at, drill) }
        }
        None => never(page),
    }
}

fn never(page: &Page<'_>) -> DrillView {
    let before = page.manifest.measured.last_drill;
    let facts = before.map(|at| fact("Last drill of the environment before this release", time(at)));
    DrillView {
        tone: "warn",
        headline: "Never: nobody has tried yet whether this release can be restored".to_owned(),
        facts: facts.into_iter().collect(),
        findings: Vec::new(),
        sources: Vec::new(),
        checks: Vec::new(),
        earlier: Vec::new(),
    }
}

fn last(at: Timestamp, drill: &Drill) -> DrillView {
    let (tone, headline) = match drill.result {
        DrillResult::Passed => {
            ("good", format!("Passed on {}: restored and checked in {}", time(at), duration(drill.seconds)))
        }
        DrillResult::Failed | DrillResult::NotTried => ("bad", format!("FAILED on {}", time(at))),
    };
    let key = match drill.key {
        DrillKey::Daily => "the daily password",
        DrillKey::Escrow => "the password in escrow; the daily one was not used",
    };
    let mut facts = vec![fact("Recovery time", against(drill.seconds, drill.rto))];
    facts.extend(drill.data_age_seconds.map(|age| fact("Age of the data", against(age, drill.rpo))));
    facts.extend([fact("Opened with", key), fact("By", &drill.by)]);
    DrillView {
        tone,
        headline,
        facts,
        findings: drill.findings.iter().map(FindingView::new).collect(),
        sources: drill
            .sources
            .iter()
            .map(|source| Part {
                tone: tone_of(source.result),
                name: source.name.clone(),
                result: source.result.as_str(),
                took: duration(source.seconds),
                detail: format!("{}, {} into {}", source.kind, bytes(source.bytes), source.place),
            })
            .collect(),
        checks: drill
            .checks
            .iter()
            .map(|check| {
                let of = check.source.as_ref().map(|source| format!("{source}: ")).unwrap_or_default();
                let answer = check.answer.as_ref().map(|answer| format!(", answered {answer}")).unwrap_or_default();
                Part {
                    tone: tone_of(check.result),
                    name: check.name.clone(),
                    result: check.result.as_str(),
                    took: duration(check.seconds),
                    detail: format!("{of}expected {}{answer}", check.expected),
                }
            })
            .collect(),
        earlier: Vec::new(),
    }
}

fn in_short(drill: &Drill) -> String {
    let found = match drill.findings.len() {
        0 => String::new(),
        number => format!(", {}", counted(number as u64, "finding")),
    };
    format!("{} in {}{found}, by {}", drill.result.as_str(), duration(drill.seconds), drill.by)
}

/// Compares what was measured with what the environment promises.
fn against(seconds: f64, promised: Option<u64>) -> String {
    let measured = duration(seconds);
    match promised {
        Some(most) if seconds > most as f64 => {
            format!("{measured}, MORE than the {} this environment allows", duration(most as f64))
        }
        Some(most) => format!("{measured}, within the {} this environment allows", duration(most as f64)),
        None => format!("{measured}; the environment promises nothing to compare it with"),
    }
}

fn tone_of(result: DrillResult) -> &'static str {
    match result {
        DrillResult::Passed => "good",
        DrillResult::Failed => "bad",
        DrillResult::NotTried => "warn",
    }
}
