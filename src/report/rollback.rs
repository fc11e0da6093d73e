//! A rollback for people: the plan before it, and what became of it.

use super::html::Standing;
use super::text::{Style, findings};
use super::undoing::Undoing;
use super::units::{duration, plain, time};
use super::ways;
use crate::error::Error;
use crate::ledger::events::EventRecord;
use crate::ledger::freeze::Freeze;
use crate::model::rollback::{RollbackPlan, RollbackStep, StepState};
use crate::model::way::WayKind;
use std::fmt::Write;

/// Renders what a rollback will do.
pub fn plan(plan: &RollbackPlan, style: Style) -> String {
    let mut text = String::new();
    let back_to = plan.back_to.as_ref().map_or("(no version before)", |version| version.as_str());
    let _ = writeln!(
        text,
        "roll back {} → {}   {} → {}   release {}",
        plain(&plan.application),
        plain(&plan.environment),
        plain(plan.undone.as_str()),
        plain(back_to),
        plan.id
    );
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "{label:<13}{value}");
    };
    line("observed", plain(&plan.observed));
    if let Some(began) = plan.resumes {
        line("goes on with", format!("the rollback that began {}", time(began)));
    }
    line("way", plan.way.to_string());
    match (plan.way, plan.data_loss_from) {
        (WayKind::FullRestore, Some(from)) => line("LOST", format!("what was written since {}", time(from))),
        (WayKind::FullRestore, None) => line("LOST", "when the snapshots were taken is unknown".to_owned()),
        (WayKind::DownMigration, _) => line("LOST", "what the migration drops".to_owned()),
        _ => line("LOST", "nothing: the data stays as it is".to_owned()),
    }
    for lost in ways::lost(&plan.lost) {
        line("", lost);
    }
    match (plan.way, plan.estimate_seconds) {
        (_, Some(seconds)) => line("takes", format!("about {} for the restores", duration(seconds))),
        (WayKind::FullRestore, None) => line("takes", "unknown: nothing was measured".to_owned()),
        (_, None) => {}
    }
    if let Some(better) = plan.better() {
        let reason = better.reasons.first().map(|reason| format!(": {}", plain(reason))).unwrap_or_default();
        line("recommended", format!("{}{reason}", better.way));
    }
    text += "\n";
    let _ = writeln!(text, "   freeze {}, until somebody thaws it", plain(&plan.environment));
    text += &steps(&plan.steps);
    for left in &plan.not_reverted {
        let _ = writeln!(text, "   not reverted: {}", plain(left));
    }
    text + &findings(&plan.findings, style)
}

/// Renders every way back, weighed.
pub fn ways(plan: &RollbackPlan) -> String {
    ways::ways(&plan.ways)
}

/// Renders how far a rollback came, and by the events of the release what of it nothing could verify.
pub fn outcome(plan: &RollbackPlan, freeze: Option<&Freeze>, error: Option<&Error>, events: &[EventRecord]) -> String {
    let mut text = steps(&plan.steps);
    let undoing = Undoing::of(events, Standing::Unknown);
    for (step, why) in undoing.iter().flat_map(Undoing::not_verified) {
        let _ = writeln!(text, "warning: nothing was compared by `{}`: {}", plain(step.name), plain(why));
    }
    let what = plain(plan.undone.as_str());
    let _ = match error {
        None => writeln!(text, "rolled back: {what} is undone"),
        Some(error) => writeln!(text, "not rolled back: {}", plain(&error.chain())),
    };
    if let Some(freeze) = freeze {
        let _ = writeln!(text, "{} is {}", plain(&plan.environment), plain(&freeze.to_string()));
    }
    text
}

fn steps(steps: &[RollbackStep]) -> String {
    let mut text = String::new();
    for (number, step) in (1..).zip(steps) {
        let mark = match step.state {
            None => "",
            Some(StepState::Started) => "interrupted",
            Some(state) => state.as_str(),
        };
        let owner = step.owner.as_ref().map(|owner| format!(", by {}", plain(owner))).unwrap_or_default();
        let by = step.estimated_by.as_ref().map(|by| format!(" ({})", plain(by))).unwrap_or_default();
        let takes = step.estimate_seconds.map(|seconds| format!(", about {}{by}", duration(seconds)));
        let takes = takes.unwrap_or_default();
        let mark = if mark.is_empty() { String::new() } else { format!("   [{mark}]") };
        let _ = writeln!(text, "{number:>2} {}{owner}{takes}{mark}", plain(&step.action));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::ledger::events::Event;
    use crate::model::rollback::NOT_VERIFIED;

    #[test]
    fn what_had_nothing_to_compare_is_a_warning_and_not_plainly_done() {
        let plan = sample::plan();
        let mut events = sample::rolling_back(false);
        let told = |events: &[EventRecord]| outcome(&plan, None, None, events);
        assert!(!told(&events).contains("warning"), "{}", told(&events));
        let at = "2026-11-20T22:12:00Z".parse().unwrap();
        let step = "verify media".to_owned();
        let message = Some(format!("{NOT_VERIFIED}this kind cannot be looked at"));
        let verified = Event::RollbackStep { at, step, state: StepState::Done, message, saved: None };
        let done = Event::RolledBack { at, by: "ada".to_owned(), explanation: "1.3.0 runs again".to_owned() };
        events.extend([verified, done].map(|event| EventRecord { name: "rollback-y".to_owned(), event }));
        let warning = "warning: nothing was compared by `verify media`: this kind cannot be looked at\n";
        assert!(told(&events).contains(warning), "{}", told(&events));
    }
}
