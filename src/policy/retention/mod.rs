//! Which releases keep their snapshots.
//!
//! A release keeps them as long as one rule says so, and there is no rule that takes anything away: what is let go is what
//! nothing keeps. Rules that count do so for each source by itself, so that a run which captured one source alone never
//! takes the place of one that captured all. What a kept release leans on is kept with it.

mod calendar;
mod reason;
#[cfg(test)]
mod tests;

pub use reason::Reason;

use crate::config::RetentionConfig;
use crate::model::manifest::{Purpose, Severity};
use crate::model::release_id::ReleaseId;
use calendar::Period;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A release of the ledger, with what its retention depends on.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its id.
    pub id: ReleaseId,
    /// When its manifest was written.
    pub at: Timestamp,
    /// Whether it passed.
    pub passed: bool,
    /// What its run was for.
    pub purpose: Purpose,
    /// How large a step it is, if its run came to know that.
    pub severity: Option<Severity>,
    /// Whether its pass was used, or it was seen to run.
    pub deployed: bool,
    /// Whether it was let go before.
    pub pruned: bool,
    /// The sources of which it names a snapshot, and of each whether that is in the store with what it leans on.
    pub sources: BTreeMap<String, bool>,
    /// The releases whose snapshots it needs.
    pub leans_on: BTreeSet<ReleaseId>,
    /// What keeps it, whatever the rules say.
    pub bound: Vec<Reason>,
}

impl Candidate {
    /// Says whether rules that count may count it for a source: somebody may go back to what it has of it.
    fn counts(&self, source: &str) -> bool {
        self.passed && self.has(source) && self.purpose != Purpose::Safety
    }

    /// Says whether it has a snapshot of a source that is whole.
    fn has(&self, source: &str) -> bool {
        !self.pruned && self.sources.get(source) == Some(&true)
    }

    /// Says whether it is a way back, if all of it is there.
    fn is_way_back(&self) -> bool {
        self.passed && !self.pruned && self.purpose == Purpose::Gate
    }

    /// Says whether everything that it names is in the store.
    fn is_whole(&self) -> bool {
        !self.sources.is_empty() && self.sources.values().all(|whole| *whole)
    }
}

/// By what it is decided.
#[derive(Debug)]
pub struct Rules<'a> {
    /// `[retention]`, and what the command line says instead.
    pub config: &'a RetentionConfig,
    /// How long releases of a severity keep their snapshots at least.
    pub keep_for: &'a [(Severity, Duration)],
    /// How long a pass may be used.
    pub pass_valid_for: Duration,
    /// In which days, weeks, months and years begin.
    pub time_zone: &'a TimeZone,
    /// The time of the decision.
    pub now: Timestamp,
}

/// Returns what keeps each of `candidates`, in their order, each reason once; what nothing keeps is let go. Candidates are
/// ordered by age, the newest first; `unreadable` are records that nobody can read.
pub fn judge(candidates: &[Candidate], unreadable: &[ReleaseId], rules: &Rules<'_>) -> Vec<BTreeSet<Reason>> {
    let mut kept: Vec<BTreeSet<Reason>> =
        candidates.iter().map(|candidate| candidate.bound.iter().cloned().collect()).collect();
    for (candidate, reasons) in candidates.iter().zip(&mut kept) {
        reasons.extend(by_itself(candidate, rules));
        // It may name any snapshot that is older than itself.
        let newer = unreadable.iter().filter(|id| id.as_str() >= candidate.id.as_str());
        reasons.extend(newer.max().cloned().map(Reason::Unreadable));
        // And it may be a release whose rollback saved what ran, which is younger than itself.
        let older = unreadable.iter().filter(|id| id.as_str() < candidate.id.as_str());
        let is_safety = candidate.purpose == Purpose::Safety;
        reasons.extend(older.min().filter(|_| is_safety).cloned().map(Reason::MaySave));
    }
    let sources: BTreeSet<&String> = candidates.iter().flat_map(|candidate| candidate.sources.keys()).collect();
    for source in sources {
        count(candidates, source, rules, &mut kept);
        newest(candidates, source, &mut kept);
    }
    let targets = rules.config.keep_targets as usize;
    // Where nobody asks for passes, it is not known which of them were used.
    ways_back(candidates, &Candidate::is_way_back, targets, &mut kept);
    ways_back(candidates, &|candidate| candidate.is_way_back() && candidate.deployed, targets, &mut kept);
    // What was let go before is gone, or about to be.
    for (candidate, reasons) in candidates.iter().zip(&mut kept) {
        if candidate.pruned {
            reasons.retain(Reason::outlives_the_mark);
        }
    }
    lean(candidates, &mut kept);
    kept
}

/// Returns what keeps each of `candidates` in an environment that is emptied: nothing but a hold, and what cannot go.
pub fn judge_emptied(candidates: &[Candidate]) -> Vec<BTreeSet<Reason>> {
    let stays = |reason: &&Reason| reason.outlives_the_environment();
    let holds = |candidate: &Candidate| candidate.bound.iter().filter(stays).cloned().collect();
    let mut kept: Vec<BTreeSet<Reason>> = candidates.iter().map(holds).collect();
    lean(candidates, &mut kept);
    kept
}

/// Returns what keeps a release whatever the others are.
fn by_itself(candidate: &Candidate, rules: &Rules<'_>) -> Vec<Reason> {
    let young = |age: Duration| is_within(candidate.at, age, rules.now);
    let mut reasons = Vec::new();
    if young(rules.config.floor.age) {
        reasons.push(Reason::FloorAge);
    }
    if !candidate.passed {
        return reasons;
    }
    if candidate.purpose == Purpose::Gate {
        if young(rules.pass_valid_for) {
            reasons.push(Reason::PassIsFresh);
        }
        let keeps = |(severity, age): &&(Severity, Duration)| Some(*severity) == candidate.severity && young(*age);
        reasons.extend(rules.keep_for.iter().find(keeps).map(|(severity, _)| Reason::KeepFor(severity.as_str())));
    }
    if rules.config.keep_within.is_some_and(young) {
        reasons.push(Reason::Within);
    }
    reasons
}

/// Says whether a moment is not longer ago than `age`; one in the future never is, and a tie keeps.
fn is_within(at: Timestamp, age: Duration, now: Timestamp) -> bool {
    SignedDuration::try_from(age).map_or(true, |age| now.duration_since(at) <= age)
}

/// Applies the rules that count to the releases that hold one source.
fn count(candidates: &[Candidate], source: &str, rules: &Rules<'_>, kept: &mut [BTreeSet<Reason>]) {
    let RetentionConfig { keep_last, keep_daily, keep_weekly, keep_monthly, keep_yearly, floor, .. } = rules.config;
    let counted = |candidate: &Candidate| candidate.counts(source);
    take(candidates, &counted, floor.releases as usize, Reason::FloorReleases, kept);
    take(candidates, &counted, keep_last.unwrap_or(0) as usize, Reason::Last, kept);
    for (most, period, reason) in [
        (keep_daily, Period::Day, Reason::Daily),
        (keep_weekly, Period::Week, Reason::Weekly),
        (keep_monthly, Period::Month, Reason::Monthly),
        (keep_yearly, Period::Year, Reason::Yearly),
    ] {
        let mut left = most.unwrap_or(0);
        let mut last = None;
        for (candidate, reasons) in candidates.iter().zip(&mut *kept).filter(|(candidate, _)| counted(candidate)) {
            let number = period.of(candidate.at, rules.time_zone);
            if left > 0 && last != Some(number) {
                reasons.insert(reason.clone());
                left -= 1;
            }
            last = Some(number);
        }
    }
}

/// Keeps the newest `most` of those that `are` meant.
fn take(
    candidates: &[Candidate],
    are: &dyn Fn(&Candidate) -> bool,
    most: usize,
    reason: Reason,
    kept: &mut [BTreeSet<Reason>],
) {
    let meant = candidates.iter().zip(kept).filter(|(candidate, _)| are(candidate));
    meant.take(most).for_each(|(_, reasons)| reasons.extend([reason.clone()]));
}

/// Keeps the newest snapshot of a source: nothing goes before something newer was verified. One of a run that did not pass
/// counts where no run passed that has the source.
fn newest(candidates: &[Candidate], source: &str, kept: &mut [BTreeSet<Reason>]) {
    let reason = || Reason::NewestOf(source.to_owned());
    if candidates.iter().any(|candidate| candidate.counts(source)) {
        take(candidates, &|candidate| candidate.counts(source), 1, reason(), kept);
    } else {
        take(candidates, &|candidate| candidate.has(source), 1, reason(), kept);
    }
}

/// Keeps the newest `most` of those that `are` meant and whole. Of one between them that is not whole, what is there stays:
/// it may be all that somebody needs of it.
fn ways_back(candidates: &[Candidate], are: &dyn Fn(&Candidate) -> bool, most: usize, kept: &mut [BTreeSet<Reason>]) {
    let mut left = most;
    for (candidate, reasons) in candidates.iter().zip(kept).filter(|(candidate, _)| are(candidate)) {
        if left == 0 {
            return;
        }
        reasons.insert(Reason::Target);
        left -= usize::from(candidate.is_whole());
    }
}

/// Keeps what kept releases lean on, and what that leans on.
fn lean(candidates: &[Candidate], kept: &mut [BTreeSet<Reason>]) {
    let place: BTreeMap<&ReleaseId, usize> =
        candidates.iter().enumerate().map(|(place, candidate)| (&candidate.id, place)).collect();
    let is_kept = |place: &usize| kept.get(*place).is_some_and(|reasons| !reasons.is_empty());
    let mut left: Vec<usize> = (0..candidates.len()).filter(is_kept).collect();
    let mut seen: BTreeSet<usize> = left.iter().copied().collect();
    while let Some(next) = left.pop() {
        let Some(candidate) = candidates.get(next) else { continue };
        for leaned in &candidate.leans_on {
            let Some(place) = place.get(leaned).copied().filter(|place| *place != next) else { continue };
            if let Some(reasons) = kept.get_mut(place) {
                reasons.insert(Reason::NeededBy(candidate.id.clone()));
            }
            if seen.insert(place) {
                left.push(place);
            }
        }
    }
}
