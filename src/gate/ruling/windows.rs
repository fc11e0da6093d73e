//! Whether the gate may begin now: the change windows of the environment, and the time that is left.

use super::{Choice, Facts, Ruling};
use crate::error::Result;
use crate::model::finding::{Finding, Level};
use crate::model::manifest::Purpose;
use crate::model::rule::Rule;
use crate::policy::ways::span;
use crate::policy::windows::{
    Asked, Expected, Standing, Took, expect, fits, judge as judge_windows, judge_deadline, standing, took,
};
use std::time::Duration;

/// How many of the newest releases are looked at for how long a gate takes.
const LOOKED_AT: usize = 9;
/// Where there is so many times as much time as the last gate took, no other one is looked at.
const AMPLE: u32 = 4;

/// Judges a gate: a snapshot outside of a deploy, or the one before a rollback, needs no window.
///
/// # Errors
/// The store's own.
pub fn judge(facts: &Facts<'_>, ruling: &mut Ruling) -> Result<()> {
    let request = facts.request;
    if request.purpose != Purpose::Gate {
        return Ok(());
    }
    let settings = &request.settings;
    // How long it takes to see that older snapshots are whole was not measured; it is short, unless one of them is not.
    let may_stand_in = ruling.choices.values().any(|choice| matches!(choice, Choice::StandIn { .. }));
    let expected = expected(facts, may_stand_in)?;
    let asked = Asked {
        environment: &request.environment,
        calendar: &settings.calendar,
        now: facts.now,
        gate: expected.filter(|_| !may_stand_in).map(|expected| left_of(expected, facts)),
        deploy: settings.deploy_takes,
    };
    let (finding, rules) = judge_windows(&asked);
    ruling.findings.extend(finding);
    ruling.rules.extend(rules);
    if let Some(expected) = expected {
        let finding = judge_deadline(expected, facts.left);
        ruling.rules.push(deadline(expected, finding.as_ref(), facts.left));
        ruling.findings.extend(finding.map(|finding| if may_stand_in { finding.softened() } else { finding }));
    }
    Ok(())
}

fn deadline(expected: Expected, finding: Option<&Finding>, left: Duration) -> Rule {
    let outcome = finding.map_or_else(|| "there is time enough".to_owned(), |finding| finding.message.clone());
    let seconds = |duration: Duration| span(duration.as_secs_f64());
    let fired = finding.is_some_and(|finding| finding.level == Level::Refusal);
    Rule { fired, ..Rule::fired("gate.timeout", outcome) }
        .saw("left", seconds(left))
        .saw("capturing_and_reading_back_take", seconds(expected.work))
        .saw("by", expected.by())
}

/// Returns what of the whole is left to do.
fn left_of(expected: Expected, facts: &Facts<'_>) -> Duration {
    let elapsed = facts.request.timeout.saturating_sub(facts.left);
    expected.whole.saturating_sub(elapsed).max(expected.work)
}

/// Returns how long the gate takes, by what it took before. More than the last release is read where it is a near thing only,
/// and never for a gate that may be over in no time.
fn expected(facts: &Facts<'_>, may_stand_in: bool) -> Result<Option<Expected>> {
    let Some(last) = facts.last else { return Ok(None) };
    let last = took(last);
    if may_stand_in || last.is_some_and(|last| is_ample(last, facts)) {
        return Ok(last.and_then(|last| expect(&[last])));
    }
    let listed = facts.ledger.list(LOOKED_AT)?;
    let releases = listed.iter().filter_map(|entry| entry.record.as_ref().ok());
    let took: Vec<_> = releases.filter_map(|stored| took(&stored.manifest)).collect();
    Ok(expect(&took))
}

fn is_ample(last: Took, facts: &Facts<'_>) -> bool {
    let settings = &facts.request.settings;
    let needed = last.whole.saturating_mul(AMPLE).saturating_add(settings.deploy_takes.unwrap_or_default());
    let closes = match standing(&settings.calendar, facts.now) {
        Standing::Open { closes, .. } => closes,
        // It is refused, however long it takes.
        Standing::Outside | Standing::Blackout { .. } => None,
    };
    last.work.saturating_mul(AMPLE) <= facts.left && closes.is_none_or(|closes| fits(facts.now, needed, closes.at))
}
