//! Change windows and blackouts: whether may be deployed now, and whether there is time enough for it.

mod expected;
mod local;
mod span;
mod standing;
#[cfg(test)]
mod tests;

pub use expected::{Expected, Took, expect, judge_deadline, took};
pub use span::{Span, When};
pub use standing::{Closing, Opening, Standing, fits, next_fitting, next_opening, standing};

use super::ways::span as in_words;
use crate::config::Calendar;
use crate::model::finding::{Finding, FindingCode};
use crate::model::rule::Rule;
use jiff::Timestamp;
use local::{name, shown};
use std::time::Duration;

/// What is asked of a calendar.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The environment.
    pub environment: &'a str,
    /// Its windows and blackouts.
    pub calendar: &'a Calendar,
    /// The moment.
    pub now: Timestamp,
    /// What is left of the gate, as far as it is known.
    pub gate: Option<Duration>,
    /// What the deploy takes, as far as it is known.
    pub deploy: Option<Duration>,
}

/// Says whether may be deployed, and by which rule. Nothing is said of an environment without windows and blackouts.
pub fn judge(asked: &Asked<'_>) -> (Option<Finding>, Vec<Rule>) {
    let Asked { environment, calendar, now, .. } = *asked;
    if calendar.windows.is_empty() && calendar.blackouts.is_empty() {
        return (None, Vec::new());
    }
    let (finding, which) = match standing(calendar, now) {
        Standing::Blackout { blackout, ends } => {
            let why = blackout.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
            let message = format!(
                "{environment} is closed by the blackout \"{}\"{why} until {}; {}",
                blackout.name,
                shown(&calendar.zone, ends),
                opens(calendar, next_opening(calendar, ends)),
            );
            (Some(Finding::refusal(FindingCode::Blackout, message)), Some(("blackout", &blackout.name)))
        }
        Standing::Outside => {
            let message = format!(
                "{environment} has no open change window at {}; {}",
                shown(&calendar.zone, now),
                opens(calendar, next_opening(calendar, now)),
            );
            (Some(Finding::refusal(FindingCode::OutsideWindow, message)), None)
        }
        Standing::Open { window, closes } => {
            let finding = closes.and_then(|closes| too_short(asked, window.map(|window| window.name.as_str()), closes));
            (finding, window.map(|window| ("window", &window.name)))
        }
    };
    let finding = finding.map(|finding| finding.hint("start again then; a rollback needs no window"));
    let rule = match which {
        Some((kind, name)) => format!("environment.{environment}.{kind}.{name}"),
        None if calendar.windows.is_empty() => format!("environment.{environment}.blackout"),
        None => format!("environment.{environment}.window"),
    };
    let fired = finding.is_some() || which.is_some();
    let outcome = finding.as_ref().map_or_else(|| open_until(calendar, now), |finding| finding.message.clone());
    let mut rule = Rule { fired, ..Rule::fired(rule, outcome) };
    rule = rule.saw("time", shown(&calendar.zone, now)).saw("time_zone", name(&calendar.zone));
    for (name, duration) in [("gate_takes", asked.gate), ("deploy_takes", asked.deploy)] {
        rule = rule.saw(name, duration.map_or_else(|| "unknown".to_owned(), |takes| in_words(takes.as_secs_f64())));
    }
    (finding, vec![rule])
}

/// Says whether the deploy itself may begin at `now`: what `admit` and `guard` ask when the gate is over. `takes` is how long it
/// takes, as far as that is known.
pub fn judge_deploy(
    environment: &str,
    calendar: &Calendar,
    takes: Option<Duration>,
    now: Timestamp,
) -> Option<Finding> {
    judge(&Asked { environment, calendar, now, gate: None, deploy: takes }).0
}

/// Refuses if what is known of gate and deploy does not fit before it closes.
fn too_short(asked: &Asked<'_>, window: Option<&str>, closes: Closing<'_>) -> Option<Finding> {
    let Asked { calendar, now, gate, deploy, .. } = *asked;
    let needed = gate.unwrap_or_default() + deploy.unwrap_or_default();
    if fits(now, needed, closes.at) {
        return None;
    }
    let left = closes.at.duration_since(now).unsigned_abs().as_secs_f64();
    let ends = match (closes.by, window) {
        (Some(blackout), _) => format!("the blackout \"{}\" begins", blackout.name),
        (None, Some(window)) => format!("the window \"{window}\" closes"),
        (None, None) => "the window closes".to_owned(),
    };
    let takes = [("the gate", gate), ("the deploy", deploy)];
    let takes = takes
        .iter()
        .filter_map(|(what, takes)| Some(format!("{what} takes {}", in_words(takes.as_ref()?.as_secs_f64()))));
    let message = format!(
        "{ends} at {}, in {}, and {}; {}",
        shown(&calendar.zone, closes.at),
        in_words(left),
        takes.collect::<Vec<_>>().join(", "),
        opens(calendar, next_fitting(calendar, closes.at, needed)),
    );
    Some(Finding::refusal(FindingCode::WindowTooShort, message))
}

/// Says when may be deployed next, by the clock of the environment.
fn opens(calendar: &Calendar, opening: Option<Opening<'_>>) -> String {
    let zone = name(&calendar.zone);
    match opening {
        Some(Opening { at, window: Some(window) }) => {
            format!("the next window, \"{}\", opens at {} ({zone})", window.name, shown(&calendar.zone, at))
        }
        Some(Opening { at, window: None }) => {
            format!("it opens at {} ({zone})", shown(&calendar.zone, at))
        }
        None => "no later window is long enough, or none opens any more".to_owned(),
    }
}

fn open_until(calendar: &Calendar, now: Timestamp) -> String {
    match standing(calendar, now) {
        Standing::Open { closes: Some(closes), .. } => {
            let next = opens(calendar, next_opening(calendar, closes.at));
            format!("open until {}; {next}", shown(&calendar.zone, closes.at))
        }
        _ => "open".to_owned(),
    }
}
