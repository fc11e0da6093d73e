//! What retention depends on, gathered: the records, what they name, and which of it is in the repository.

use super::Request;
use super::live::{self, Running};
use crate::cancel::Cancel;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::events::{Event, EventRecord, tells_bound, tells_pruned};
use crate::ledger::inventory::{Kept, Named};
use crate::model::leaning::Base;
use crate::model::manifest::{Manifest, Purpose, SourceRecord, State};
use crate::model::release_id::ReleaseId;
use crate::policy::retention::{Candidate, Reason};
use crate::repository::{FileType, Id, Repository, Snapshot};
use crate::storage::many::ask_all;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// How many of the newest records are read though they were let go.
const NEWEST: usize = 32;

/// What the decision rests on.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Every release whose retention is to be decided, the newest first.
    pub(super) candidates: Vec<Candidate>,
    /// The snapshots that each of them names, in their order: those of its run, and those that stand in or are leaned on.
    pub(super) names: Vec<BTreeSet<Id>>,
    /// Their manifests, in their order.
    pub(super) manifests: Vec<Manifest>,
    /// Records that nobody can read, and those that are gone and that another one names as the one before it.
    pub(super) unreadable: Vec<ReleaseId>,
    /// Whether the ledger holds any record at all.
    pub(super) has_records: bool,
    /// The snapshots that releases which were let go before said that they take along.
    pub(super) marked: BTreeSet<Id>,
    /// Every snapshot in the repository, whoever wrote it.
    pub(super) present: BTreeMap<Id, Snapshot>,
    /// Snapshots that should go and that the store does not let go yet, each with why.
    pub(super) locked: BTreeMap<Id, String>,
}

impl Facts {
    /// Takes note of snapshots that the store does not let go: a release that should go and names one stays. Says whether
    /// anything of it was new.
    pub(super) fn lock(&mut self, going: &BTreeSet<ReleaseId>, locked: BTreeMap<Id, String>) -> bool {
        let known = self.locked.len();
        self.locked.extend(locked);
        for (candidate, names) in self.candidates.iter_mut().zip(&self.names) {
            let why = names.iter().find_map(|id| self.locked.get(id)).filter(|_| going.contains(&candidate.id));
            candidate.bound.extend(why.cloned().map(Reason::Locked));
        }
        self.locked.len() > known
    }
}

/// Reads the ledger, and compares it with the repository that is pruned. What a gate would have to believe of what runs is
/// asked by `running`.
///
/// # Errors
/// The store's own; a cancellation. Records that cannot be read are in the answer.
pub(super) fn gather(
    request: &Request<'_>,
    ledger: &Ledger,
    repository: &Repository,
    running: &Running,
    cancel: &Cancel,
) -> Result<Facts> {
    // Snapshots first: one that comes meanwhile is not removed by anybody who does not know of it.
    let present = snapshots(repository, cancel)?;
    let listed = ledger.inventory()?;
    let mut facts = Facts::default();
    let tagged: BTreeSet<&str> = present.values().filter_map(|snapshot| snapshot.tag("release")).collect();
    // What was let go is looked at only if something of it is there still, or if it may have been marked by mistake: what
    // stands in for others' snapshots has none of its own.
    let newest: BTreeSet<&ReleaseId> = listed.iter().rev().take(NEWEST).map(|named| &named.id).collect();
    let is_wanted = |named: &&Named| {
        let is_over = named.events.iter().any(|name| tells_pruned(name)) && request.copy.is_none();
        let is_in_doubt = || newest.contains(&named.id) || named.events.iter().any(|name| tells_bound(name));
        named.is_record() && (!is_over || tagged.contains(named.id.as_str()) || is_in_doubt())
    };
    let wanted: Vec<Named> = listed.iter().filter(is_wanted).cloned().collect();
    facts.has_records = listed.iter().any(Named::is_record);
    let mut read = Vec::new();
    for Kept { id, record } in ledger.read_all(&wanted, cancel)? {
        match record {
            Ok((stored, events)) => read.push((stored.manifest, events)),
            Err(_) => facts.unreadable.push(id),
        }
    }
    let known: BTreeSet<&ReleaseId> = listed.iter().filter(|named| named.is_record()).map(|named| &named.id).collect();
    facts.unreadable.extend(missing(&read, &known));
    // Of one second, the record that was written later is newer.
    let order = |manifest: &Manifest| (manifest.id.as_str().get(..16).map(str::to_owned), manifest.created_at);
    read.sort_by_key(|(manifest, _)| Reverse(order(manifest)));
    let owners = owners(&read);
    for (manifest, events) in &read {
        let names = names(manifest);
        facts.candidates.push(candidate(request, manifest, events, &names, &owners, &present));
        facts.names.push(names);
        facts.marked.extend(events.iter().flat_map(|record| marked(request, &record.event)));
    }
    if !request.empties() {
        live::bind(&mut facts.candidates, &read, running);
    }
    facts.manifests = read.into_iter().map(|(manifest, _)| manifest).collect();
    facts.present = present;
    Ok(facts)
}

/// Returns the records that others name as those before them, and that are not there: what they named nobody knows.
fn missing(read: &[(Manifest, Vec<EventRecord>)], known: &BTreeSet<&ReleaseId>) -> BTreeSet<ReleaseId> {
    let before = read.iter().filter_map(|(manifest, _)| manifest.previous.as_ref());
    before.filter(|previous| !known.contains(&previous.id)).map(|previous| previous.id.clone()).collect()
}

/// Returns the snapshots of which an event says that they go from what is pruned.
fn marked(request: &Request<'_>, event: &Event) -> Vec<Id> {
    match event {
        Event::Pruned { snapshots, copy, .. } if copy.as_deref() == request.copy.map(|copy| copy.name.as_str()) => {
            snapshots.iter().filter_map(|id| Id::parse(id).ok()).collect()
        }
        _ => Vec::new(),
    }
}

fn snapshots(repository: &Repository, cancel: &Cancel) -> Result<BTreeMap<Id, Snapshot>> {
    let ids: Vec<Id> = repository.list(FileType::Snapshot)?.into_iter().map(|(id, _)| id).collect();
    let read = ask_all(repository.readers(), &ids, cancel, |id| {
        repository.load_json::<Snapshot>(FileType::Snapshot, id, crate::storage::ReadFrom::Anywhere)
    })?;
    // One that vanished since it was listed is not there.
    Ok(ids.into_iter().zip(read).filter_map(|(id, snapshot)| Some((id, snapshot?))).collect())
}

/// Returns the snapshots that a manifest names.
fn names(manifest: &Manifest) -> BTreeSet<Id> {
    let of = |source: &SourceRecord| {
        let own = source.snapshot.as_ref().map(|snapshot| snapshot.id.clone());
        own.into_iter().chain(Base::of(&source.content).map(|base| base.snapshot)).collect::<Vec<_>>()
    };
    manifest.sources.iter().flat_map(of).filter_map(|id| Id::parse(&id).ok()).collect()
}

/// Returns which release captured each snapshot: the oldest that names it.
fn owners(read: &[(Manifest, Vec<EventRecord>)]) -> BTreeMap<Id, ReleaseId> {
    let mut owners = BTreeMap::new();
    for (manifest, _) in read {
        // The newest comes first, so that the oldest stays.
        owners.extend(names(manifest).into_iter().map(|id| (id, manifest.id.clone())));
    }
    owners
}

fn candidate(
    request: &Request<'_>,
    manifest: &Manifest,
    events: &[EventRecord],
    names: &BTreeSet<Id>,
    owners: &BTreeMap<Id, ReleaseId>,
    present: &BTreeMap<Id, Snapshot>,
) -> Candidate {
    let events = || events.iter().map(|record| &record.event);
    let copy = request.copy.map(|copy| copy.name.as_str());
    let mut leans_on: BTreeSet<ReleaseId> = names.iter().filter_map(|id| owners.get(id)).cloned().collect();
    let stands_in = |source: &SourceRecord| source.stand_in.as_ref().map(|stand_in| stand_in.release.clone());
    leans_on.extend(manifest.sources.iter().filter_map(stands_in));
    // What its rollback saved is of use as long as the rollback can be understood.
    leans_on.extend(events().filter_map(|event| match event {
        Event::RollbackStep { saved, .. } => saved.clone(),
        _ => None,
    }));
    leans_on.remove(&manifest.id);
    let is_there = |id: &str| Id::parse(id).is_ok_and(|id| present.contains_key(&id));
    let whole = |source: &SourceRecord| {
        let base = Base::of(&source.content);
        let own = source.snapshot.as_ref()?;
        Some((source.name.clone(), is_there(&own.id) && base.is_none_or(|base| is_there(&base.snapshot))))
    };
    Candidate {
        id: manifest.id.clone(),
        at: manifest.created_at,
        passed: manifest.state == State::Passed,
        purpose: manifest.purpose,
        severity: (manifest.purpose == Purpose::Gate).then_some(manifest.release.to.severity),
        deployed: events().any(was_deployed),
        pruned: events().any(|event| matches!(event, Event::Pruned { copy: of, .. } if of.as_deref() == copy)),
        sources: manifest.sources.iter().filter_map(whole).collect(),
        leans_on,
        bound: bound(events().collect(), Timestamp::now()),
    }
}

fn was_deployed(event: &Event) -> bool {
    event.matched().is_some() || matches!(event, Event::Admitted { .. } | Event::RollbackBegan { .. })
}

/// Returns what events say that keeps a release, whatever the rules say; `events` are oldest first.
fn bound(events: Vec<&Event>, now: Timestamp) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let lifted = events.iter().rposition(|event| matches!(event, Event::HoldLifted { .. }));
    let since = lifted.map_or(0, |place| place + 1);
    let held = events.iter().skip(since).find_map(|event| match event {
        Event::Held { reason, until, .. } if until.is_none_or(|until| now < until) => Some(reason),
        _ => None,
    });
    reasons.extend(held.cloned().map(Reason::Held));
    let is_rollback = |event: &&&Event| matches!(event, Event::RollbackBegan { .. } | Event::RolledBack { .. });
    if matches!(events.iter().rev().find(is_rollback), Some(Event::RollbackBegan { .. })) {
        reasons.push(Reason::RollbackBegan);
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_gone_is_missed_by_the_next() {
        use crate::ledger::sample;
        use crate::model::manifest::Previous;
        let [first, second, third] =
            ["20261120T213000Z-1.4.0-3f9c2ab1", "20261120T213100Z-1.4.1-3f9c2ab2", "20261120T213200Z-1.4.2-3f9c2ab3"];
        let record = |id: &str, before: Option<&str>| {
            let previous = before.map(|id| ReleaseId::parse(id).unwrap());
            let digest = "sha256:00".to_owned();
            let previous = previous.map(|id| Previous { id, digest });
            (Manifest { previous, ..sample::passed(id) }, Vec::new())
        };
        let read = [record(third, Some(second)), record(second, Some(first))];
        let ids = [first, second, third].map(|id| ReleaseId::parse(id).unwrap());
        assert_eq!(missing(&read, &ids.iter().collect()), BTreeSet::new());
        assert_eq!(missing(&read, &ids[1..].iter().collect()), BTreeSet::from([ids[0].clone()]));
    }

    #[test]
    fn holds_last_until_they_are_lifted_or_over() {
        let at = |hour: i64| Timestamp::from_second(1_800_000_000 + hour * 3600).unwrap();
        let held = |hour, until: Option<i64>| Event::Held {
            at: at(hour),
            by: "ada".to_owned(),
            reason: format!("case {hour}"),
            until: until.map(at),
        };
        let lifted = |hour| Event::HoldLifted { at: at(hour), by: "ada".to_owned(), reason: "done".to_owned() };
        let case = |number: i64| vec![Reason::Held(format!("case {number}"))];
        for (events, kept) in [
            (vec![], vec![]),
            (vec![held(0, None)], case(0)),
            (vec![held(0, Some(5))], case(0)),
            (vec![held(0, Some(1))], vec![]),
            (vec![held(0, Some(1)), held(1, None)], case(1)),
            (vec![held(0, None), held(1, Some(1))], case(0)),
            (vec![held(0, None), lifted(1)], vec![]),
            (vec![held(0, None), lifted(1), held(2, None)], case(2)),
        ] {
            assert_eq!(bound(events.iter().collect(), at(2)), kept, "{events:?}");
        }
    }
}
