//! How far a rollback of this release is.

use super::super::html::Page;
use super::super::undoing::{StepOf, Undoing};
use super::super::units::{duration, time};
use super::{Fact, fact};
use crate::model::rollback::StepState;
use jiff::Timestamp;
use serde::Serialize;

/// The rollback.
#[derive(Debug, Serialize)]
pub(super) struct RollbackView {
    tone: &'static str,
    headline: String,
    /// What it means for whoever reads this.
    detail: Option<String>,
    /// The command that goes on with it.
    go_on: Option<String>,
    facts: Vec<Fact>,
    steps: Vec<StepView>,
}

/// One step of it.
#[derive(Debug, Serialize)]
struct StepView {
    number: usize,
    action: String,
    owner: Option<String>,
    destructive: bool,
    tone: &'static str,
    state: &'static str,
    /// When, how long, or how long it should take.
    when: Option<String>,
    /// What came of it.
    message: Option<String>,
}

/// Says how far the rollback is; nothing if none was begun.
pub(super) fn rollback(page: &Page<'_>) -> Option<RollbackView> {
    let undoing = Undoing::of(page.events, page.standing)?;
    let (tone, headline, detail) = headline(&undoing);
    let unfinished = undoing.done.is_none() && undoing.can_go_on;
    let mut facts = vec![
        fact("Begun", format!("{} by {}", time(undoing.at), undoing.by)),
        fact("Observed before", undoing.observed),
    ];
    facts.extend(undoing.forced.map(|reason| fact("Forced", reason)));
    facts.push(fact("Steps done", format!("{} of {}", undoing.done_steps(), undoing.steps.len())));
    facts.extend(undoing.saved.map(|saved| fact("The state before it is saved as", saved.as_str())));
    let steps = (1..).zip(&undoing.steps).map(|(number, step)| step_view(number, step, page.as_of)).collect();
    let command = undoing.go_on.map(str::to_owned);
    let go_on = command.or_else(|| page.manifest.rollback.commands.as_ref().map(|commands| commands.rollback.clone()));
    Some(RollbackView { tone, headline, detail, go_on: go_on.filter(|_| unfinished), facts, steps })
}

fn headline(undoing: &Undoing<'_>) -> (&'static str, String, Option<String>) {
    let count = undoing.steps.len();
    if let Some((at, explanation)) = undoing.done {
        let headline = format!("Rolled back on {}: {explanation}", time(at));
        let names: Vec<_> = undoing.not_verified().map(|(step, _)| step.name).collect();
        if names.is_empty() {
            return ("good", headline, None);
        }
        let detail = format!("Nothing was compared by {}: see for yourself that the data is right.", names.join(", "));
        return ("warn", headline, Some(detail));
    }
    if !undoing.can_go_on {
        let why = "Somebody thawed the environment since: what is there may have changed, so a rollback begins anew.";
        return ("bad", "Not finished".to_owned(), Some(why.to_owned()));
    }
    match undoing.current() {
        Some((number, StepOf { state: Some((StepState::Failed, at)), message, .. })) => {
            let why = message.map(|message| format!(": {message}")).unwrap_or_default();
            let detail = format!("Failed on {}{why}", time(*at));
            ("bad", format!("Stopped at step {number} of {count}: it failed"), Some(detail))
        }
        Some((number, step)) => {
            let since = step.began.map(|at| format!(" since {}", time(at))).unwrap_or_default();
            let if_dead = "If nobody is at it any more, it was interrupted there: go on with it.";
            ("warn", format!("Under way: step {number} of {count}{since}"), Some(if_dead.to_owned()))
        }
        None => {
            let next = undoing.done_steps() + 1;
            let if_dead = "If nobody is at it any more, it was interrupted there: go on with it.";
            let headline = if next > count {
                format!("Under way: all {count} steps are done, and the end is not recorded")
            } else {
                format!("Under way: before step {next} of {count}")
            };
            ("warn", headline, Some(if_dead.to_owned()))
        }
    }
}

fn step_view(number: usize, step: &StepOf<'_>, as_of: Timestamp) -> StepView {
    let seconds = |from: Timestamp, to: Timestamp| duration(to.duration_since(from).as_secs_f64().max(0.0));
    let estimate = step.planned.and_then(|planned| planned.estimate_seconds).map(duration);
    let (tone, state, when) = match (step.state, step.began) {
        (None, _) => ("", "to do", estimate.map(|estimate| format!("about {estimate}"))),
        (Some((StepState::Started, at)), _) => {
            let of = estimate.map(|estimate| format!(" of about {estimate}")).unwrap_or_default();
            ("warn", "running", Some(format!("since {}, {}{of} as of this page", time(at), seconds(at, as_of))))
        }
        (Some((state, at)), began) => {
            let took = began.map(|began| format!(", took {}", seconds(began, at))).unwrap_or_default();
            let (tone, word) = match (state, step.not_verified()) {
                (StepState::Done, None) => ("good", "done"),
                (StepState::Done, Some(_)) => ("warn", "nothing compared"),
                _ => ("bad", "failed"),
            };
            (tone, word, Some(format!("{}{took}", time(at))))
        }
    };
    StepView {
        number,
        action: step.action().to_owned(),
        owner: step.planned.and_then(|planned| planned.owner.clone()),
        destructive: step.planned.is_some_and(|planned| planned.destructive),
        tone,
        state,
        when,
        message: step.message.map(str::to_owned),
    }
}
