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
    /// The snapshots that it names and that are in the repository; of one that goes, those that are removed.
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

    /// Keeps every release of which a snapshot is among `locked`, and says until when it is, and every release that has one
    /// in common with it; snapshots without a release stay, too.
    pub fn withhold(&mut self, locked: &BTreeMap<Id, String>) {
        let mut staying = locked.clone();
        loop {
            let before = staying.len();
            for release in self.releases.iter_mut().filter(|release| release.goes()) {
                release.kept_by = release.snapshots.iter().filter_map(|id| staying.get(id)).cloned().collect();
                if release.goes() {
                    continue;
                }
                for id in &release.snapshots {
                    let why = || format!("{}, which stays, has a snapshot in common with it", release.id);
                    staying.entry(*id).or_insert_with(why);
                }
            }
            if staying.len() == before {
                break;
            }
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

    let mut going: BTreeSet<Id> = BTreeSet::new();
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
        if kept_by.is_empty() {
            going.extend(free);
        }
        choice.releases.push(release(manifest, names.clone(), kept_by));
    }
    going.extend(choice.leftovers.iter().copied());
    for release in &mut choice.releases {
        // Of one that goes, also what another run captured and this one took over, as that goes with it.
        release
            .snapshots
            .retain(|id| if release.kept_by.is_empty() { going.contains(id) } else { facts.present.contains_key(id) });
    }
    choice.releases.retain(|release| !release.snapshots.is_empty());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_of_which_something_is_locked_stays_as_a_whole_and_what_it_leans_on() {
        let id = |number: u8| Id::of(&[number]);
        let release = |name: &str, snapshots: &[u8]| Release {
            id: ReleaseId::parse(&format!("20261120T213000Z-{name}-3f9c2ab1")).unwrap(),
            version: name.to_owned(),
            at: Timestamp::UNIX_EPOCH,
            state: State::Passed,
            purpose: Purpose::Gate,
            snapshots: snapshots.iter().map(|number| id(*number)).collect(),
            bytes: 0,
            kept_by: BTreeSet::new(),
        };
        // The second stands in with what the third captured; nothing of the fourth is locked.
        let releases = vec![release("3", &[1, 2]), release("2", &[3, 4]), release("1", &[2, 3]), release("0", &[5])];
        let mut choice = Choice { releases, leftovers: BTreeSet::from([id(6), id(7)]), ..Choice::default() };
        assert_eq!(choice.remove().len(), 7);
        choice.withhold(&BTreeMap::from([(id(4), "locked".to_owned()), (id(7), "locked".to_owned())]));
        assert_eq!(choice.remove(), BTreeSet::from([id(5), id(6)]));
        assert_eq!(choice.releases[1].kept_by, BTreeSet::from(["locked".to_owned()]));
        assert!(choice.releases[0].kept_by.iter().next().unwrap().contains("20261120T213000Z-1-3f9c2ab1, which stays"));
    }
}
