//! The decision: which releases stay and why, and which snapshots go.

use super::Request;
use super::facts::Facts;
use super::unnamed;
use crate::error::Result;
use crate::model::manifest::{Manifest, Purpose, State};
use crate::model::release_id::ReleaseId;
use crate::policy::retention::{self, Reason, Rules};
use crate::repository::{Id, Snapshot};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

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

    /// Keeps snapshots without a release that are among `locked`.
    fn withhold(&mut self, locked: &BTreeMap<Id, String>) {
        self.unnamed.retain(|unnamed| !locked.contains_key(&unnamed.id));
        self.leftovers.retain(|id| !locked.contains_key(id));
    }
}

/// Decides what stays and what goes; where `shown` is a decision that was looked at, nothing goes that is not in it. Why a
/// release stays for now is added to what binds it: what it leans on stays with it.
///
/// # Errors
/// `not-found`: what no record names was asked for, and there is no record.
pub(super) fn choose(
    request: &Request<'_>,
    facts: &mut Facts,
    shown: Option<&Choice>,
    now: Timestamp,
) -> Result<Choice> {
    let without_rule = !request.empties() && !request.retention.has_rule();
    let shown_to_go: Option<BTreeSet<&ReleaseId>> =
        shown.map(|shown| shown.let_go().map(|release| &release.id).collect());
    let kept = loop {
        let kept = judge(request, facts, now);
        let going = facts.candidates.iter_mut().zip(&kept);
        let going = going.filter(|(candidate, reasons)| reasons.is_empty() && !candidate.pruned);
        let mut is_done = true;
        for (candidate, _) in going {
            let was_shown = shown_to_go.as_ref().is_none_or(|shown| shown.contains(&candidate.id));
            let stays = without_rule.then_some(Reason::NoRule).or((!was_shown).then_some(Reason::NotShown));
            is_done &= stays.is_none();
            candidate.bound.extend(stays);
        }
        // Every round binds something more, so that the last one comes.
        if is_done {
            break kept;
        }
    };
    let mut choice = settle(facts, &kept);
    choice.without_rule = without_rule;
    if let Some(age) = request.unreferenced_older_than {
        choice.unnamed = unnamed::find(request, facts, &kept, age, now)?;
        if let Some(shown) = shown {
            choice.unnamed.retain(|unnamed| shown.unnamed.iter().any(|shown| shown.id == unnamed.id));
        }
    }
    choice.withhold(&facts.locked);
    Ok(choice)
}

/// Returns what becomes of the snapshots; `kept` is why each candidate stays.
fn settle(facts: &Facts, kept: &[BTreeSet<Reason>]) -> Choice {
    // Whatever a release that stays names is needed, whoever captured it; and of what cannot be read nobody knows.
    let stays = facts.names.iter().zip(kept).filter(|(_, reasons)| !reasons.is_empty());
    let mut needed: BTreeSet<Id> = stays.flat_map(|(names, _)| names.iter().copied()).collect();
    let unreadable = |snapshot: &Snapshot| {
        let tag = snapshot.tag("release").unwrap_or_default();
        facts.unreadable.iter().any(|id| id.as_str() == tag)
    };
    needed.extend(facts.present.iter().filter(|(_, snapshot)| unreadable(snapshot)).map(|(id, _)| *id));

    // What is there still of one that was let go before goes if an event said so, or is about to: whoever takes it over goes.
    let goes = facts.candidates.iter().zip(&facts.names).zip(kept);
    let goes = goes.filter(|((candidate, _), reasons)| reasons.is_empty() && !candidate.pruned);
    let mut marked: BTreeSet<Id> = goes.flat_map(|((_, names), _)| names.iter().copied()).collect();
    marked.extend(facts.marked.iter().copied());

    let mut going: BTreeSet<Id> = BTreeSet::new();
    let mut choice = Choice { unreadable: facts.unreadable.clone(), ..Choice::default() };
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
                choice.leftovers.extend(free.intersection(&marked));
            }
            continue;
        }
        if kept_by.is_empty() {
            going.extend(free);
        }
        let kept_by = kept_by.iter().map(ToString::to_string).collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sample;
    use crate::policy::retention::Candidate;

    const IDS: [&str; 3] =
        ["20261120T213000Z-1.2.0-3f9c2ab1", "20261120T212000Z-1.1.0-3f9c2ab2", "20261120T211000Z-1.0.0-3f9c2ab3"];

    /// Three releases, the newest first, each with the snapshots that it names; each snapshot is of the last one to name it.
    fn facts(names: [&[u8]; 3]) -> Facts {
        let mut facts = Facts { has_records: true, ..Facts::default() };
        for (name, numbers) in IDS.iter().zip(names) {
            let manifest = sample::passed(name);
            facts.candidates.push(Candidate {
                id: manifest.id.clone(),
                at: manifest.created_at,
                passed: true,
                purpose: Purpose::Gate,
                severity: None,
                deployed: false,
                pruned: false,
                sources: BTreeMap::from([("orders".to_owned(), true)]),
                leans_on: BTreeSet::new(),
                bound: Vec::new(),
            });
            facts.manifests.push(manifest);
            facts.names.push(numbers.iter().map(|number| id(*number)).collect());
            for number in numbers {
                let snapshot = serde_json::json!({
                    "time": "2026-11-20T21:00:00Z", "tree": "ab".repeat(32), "paths": ["/"], "hostname": "h", "username": "u",
                    "tags": [format!("release={name}")],
                });
                facts.present.insert(id(*number), serde_json::from_value(snapshot).unwrap());
            }
        }
        facts
    }

    fn id(number: u8) -> Id {
        Id::of(&[number])
    }

    #[test]
    fn of_one_that_was_let_go_goes_what_an_event_names_or_another_takes_along() {
        let mut facts = facts([&[1], &[2, 3], &[3, 4, 5]]);
        facts.candidates[2].pruned = true;
        facts.marked = BTreeSet::from([id(4)]);
        let none = BTreeSet::new;
        let kept = [BTreeSet::from([Reason::Last]), none(), none()];
        let choice = settle(&facts, &kept);
        assert_eq!(choice.leftovers, BTreeSet::from([id(3), id(4)]), "nobody said of 5 that it goes");
        assert_eq!(choice.let_go().map(|release| release.snapshots.len()).collect::<Vec<_>>(), [2]);
        // While the second stays, so does what it took over; and what binds the third keeps all of it.
        let kept = [none(), BTreeSet::from([Reason::Last]), none()];
        assert_eq!(settle(&facts, &kept).leftovers, BTreeSet::from([id(4)]));
        let kept = [none(), none(), BTreeSet::from([Reason::Live])];
        assert_eq!(settle(&facts, &kept).leftovers, BTreeSet::new());
    }

    #[test]
    fn a_release_of_which_something_is_locked_is_bound_and_so_is_what_it_leans_on() {
        let mut facts = facts([&[1, 2], &[3], &[2, 4]]);
        facts.candidates[0].leans_on = BTreeSet::from([facts.candidates[1].id.clone()]);
        let going = facts.candidates.iter().map(|candidate| candidate.id.clone()).collect();
        assert!(facts.lock(&going, BTreeMap::from([(id(1), "locked".to_owned())])));
        assert!(!facts.lock(&BTreeSet::new(), facts.locked.clone()), "nothing new");
        let kept = retention::judge_emptied(&facts.candidates);
        assert_eq!(kept[0], BTreeSet::from([Reason::Locked("locked".to_owned())]));
        assert_eq!(kept[1], BTreeSet::from([Reason::NeededBy(facts.candidates[0].id.clone())]));
        // The third goes, without what the first names.
        assert_eq!(settle(&facts, &kept).remove(), BTreeSet::from([id(4)]));
        let mut choice = Choice { leftovers: BTreeSet::from([id(1), id(4)]), ..Choice::default() };
        choice.withhold(&facts.locked);
        assert_eq!(choice.leftovers, BTreeSet::from([id(4)]));
    }
}
