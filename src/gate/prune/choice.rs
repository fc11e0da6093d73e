//! The decision: which releases stay and why, and which snapshots go.

use super::Request;
use super::facts::Facts;
use crate::model::manifest::{Manifest, Purpose, State};
use crate::model::release_id::ReleaseId;
use crate::policy::retention::{self, Reason, Rules};
use crate::repository::{Id, Snapshot};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What stays and what goes.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// The releases that have snapshots here, the newest first.
    pub releases: Vec<Release>,
    /// Snapshots that no record names, and that are old enough to go; empty unless that was asked for.
    pub unnamed: Vec<Unnamed>,
    /// Snapshots of releases that were let go before, and are there still.
    pub leftovers: BTreeSet<Id>,
    /// Records that nobody can read: what is older than they are stays.
    pub unreadable: Vec<ReleaseId>,
    /// Whether no rule says what is kept, so that no release goes.
    pub without_rule: bool,
}

/// A release, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// The version that it is.
    pub version: String,
    /// When it was recorded.
    pub at: Timestamp,
    /// How its run ended.
    pub state: State,
    /// What its run was for.
    pub purpose: Purpose,
    /// The snapshots of its run that are in the repository.
    pub snapshots: BTreeSet<Id>,
    /// How large its sources were when they were captured, in bytes.
    pub bytes: u64,
    /// Why it stays; it goes if there is nothing.
    pub kept_by: BTreeSet<String>,
}

impl Release {
    /// Says whether it is let go.
    pub fn goes(&self) -> bool {
        self.kept_by.is_empty()
    }
}

/// A snapshot with our tags that no record names: of a run that was cut off before it wrote its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unnamed {
    /// Its id.
    pub id: Id,
    /// When it was taken.
    pub at: Timestamp,
    /// Its tags.
    pub tags: Vec<String>,
}

impl Choice {
    /// Returns the releases that are let go, the newest first.
    pub fn let_go(&self) -> impl Iterator<Item = &Release> {
        self.releases.iter().filter(|release| release.goes())
    }

    /// Returns every snapshot that is removed.
    pub fn remove(&self) -> BTreeSet<Id> {
        let of_releases = self.let_go().flat_map(|release| release.snapshots.iter().copied());
        let unnamed = self.unnamed.iter().map(|unnamed| unnamed.id);
        of_releases.chain(unnamed).chain(self.leftovers.iter().copied()).collect()
    }

    /// Keeps every release of which a snapshot is among `locked`, and says until when it is; snapshots without a release
    /// stay, too.
    pub fn withhold(&mut self, locked: &BTreeMap<Id, String>) {
        for release in self.releases.iter_mut().filter(|release| release.goes()) {
            let why: BTreeSet<String> = release.snapshots.iter().filter_map(|id| locked.get(id)).cloned().collect();
            release.kept_by = why;
        }
        self.unnamed.retain(|unnamed| !locked.contains_key(&unnamed.id));
        self.leftovers.retain(|id| !locked.contains_key(id));
    }
}

/// Decides what stays and what goes; where `shown` is a decision that was looked at, nothing goes that is not in it.
pub(super) fn choose(request: &Request<'_>, facts: &Facts, shown: Option<&Choice>, now: Timestamp) -> Choice {
    let without_rule = !request.empties() && !request.retention.has_rule();
    let mut kept: Vec<BTreeSet<String>> = judge(request, facts, now)
        .into_iter()
        .map(|reasons| reasons.iter().map(ToString::to_string).collect())
        .collect();
    let shown_to_go: Option<BTreeSet<&ReleaseId>> =
        shown.map(|shown| shown.let_go().map(|release| &release.id).collect());
    for (candidate, reasons) in facts.candidates.iter().zip(&mut kept).filter(|(candidate, _)| !candidate.pruned) {
        if reasons.is_empty() && without_rule {
            reasons.insert("no rule says what is kept".to_owned());
        }
        if reasons.is_empty() && shown_to_go.as_ref().is_some_and(|shown| !shown.contains(&candidate.id)) {
            reasons.insert("it was not in the plan that was shown".to_owned());
        }
    }
    // Whatever a release that stays names is needed, whoever captured it; and of what cannot be read nobody knows.
    let stays = facts.names.iter().zip(&kept).filter(|(_, reasons)| !reasons.is_empty());
    let mut needed: BTreeSet<Id> = stays.flat_map(|(names, _)| names.iter().copied()).collect();
    let unreadable = |snapshot: &Snapshot| {
        let tag = snapshot.tag("release").unwrap_or_default();
        facts.unreadable.iter().any(|id| id.as_str() == tag)
    };
    needed.extend(facts.present.iter().filter(|(_, snapshot)| unreadable(snapshot)).map(|(id, _)| *id));

    let mut choice = Choice { without_rule, unreadable: facts.unreadable.clone(), ..Choice::default() };
    for (((candidate, manifest), names), kept_by) in
        facts.candidates.iter().zip(&facts.manifests).zip(&facts.names).zip(kept)
    {
        // A manifest may name anything; a run removes what bears its own id, and nothing of other clients.
        let is_own = |id: &&Id| {
            let snapshot = facts.present.get(id);
            snapshot.and_then(|snapshot| snapshot.tag("release")) == Some(candidate.id.as_str())
        };
        let own: BTreeSet<Id> = names.iter().filter(is_own).copied().collect();
        let free: BTreeSet<Id> = own.difference(&needed).copied().collect();
        if candidate.pruned {
            if kept_by.is_empty() {
                choice.leftovers.extend(free);
            }
            continue;
        }
        let snapshots = if kept_by.is_empty() { free } else { own };
        if !snapshots.is_empty() {
            choice.releases.push(release(manifest, snapshots, kept_by));
        }
    }
    if let Some(age) = request.unreferenced_older_than {
        choice.unnamed = unnamed(request, facts, age, now);
        if let Some(shown) = shown {
            choice.unnamed.retain(|unnamed| shown.unnamed.iter().any(|shown| shown.id == unnamed.id));
        }
    }
    choice
}

fn judge(request: &Request<'_>, facts: &Facts, now: Timestamp) -> Vec<BTreeSet<Reason>> {
    if request.empties() {
        return retention::judge_emptied(&facts.candidates);
    }
    let rules = Rules {
        config: request.retention,
        keep_for: &request.keep_for(),
        pass_valid_for: request.config.gate.pass_valid_for,
        time_zone: &request.settings.calendar.zone,
        now,
    };
    retention::judge(&facts.candidates, &facts.unreadable, &rules)
}

fn release(manifest: &Manifest, snapshots: BTreeSet<Id>, kept_by: BTreeSet<String>) -> Release {
    Release {
        id: manifest.id.clone(),
        version: manifest.release.to.version.to_string(),
        at: manifest.created_at,
        state: manifest.state,
        purpose: manifest.purpose,
        bytes: manifest.sources.iter().filter(|source| source.snapshot.is_some()).map(|source| source.bytes).sum(),
        snapshots,
        kept_by,
    }
}

/// Returns the snapshots of this environment that no record names, and that are older than `age` and than every record
/// that nobody can read.
fn unnamed(request: &Request<'_>, facts: &Facts, age: Duration, now: Timestamp) -> Vec<Unnamed> {
    let named: BTreeSet<&Id> = facts.names.iter().flatten().collect();
    let is_it = |(id, snapshot): &(&Id, &Snapshot)| {
        let is_ours = snapshot.tag("application") == Some(request.application)
            && snapshot.tag("environment") == Some(request.environment);
        let release = snapshot.tag("release").and_then(|tag| ReleaseId::parse(tag).ok());
        let Some(release) = release.filter(|_| is_ours && !named.contains(id)) else { return false };
        let is_old = SignedDuration::try_from(age).is_ok_and(|age| now.duration_since(snapshot.time) > age);
        is_old && !facts.unreadable.iter().any(|unreadable| *unreadable >= release)
    };
    let found = facts.present.iter().filter(is_it);
    found.map(|(id, snapshot)| Unnamed { id: *id, at: snapshot.time, tags: snapshot.tags.clone() }).collect()
}
