//! Snapshots with our tags that no record names: of runs that were cut off, or of records that are lost.

use super::Request;
use super::choice::Unnamed;
use super::facts::Facts;
use crate::error::{Error, ErrorCode, Result};
use crate::model::release_id::ReleaseId;
use crate::policy::retention::Reason;
use crate::repository::{Id, Snapshot};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Returns the snapshots of this environment that no record names, and that are older than `age`, than every record that
/// nobody can read, and than a snapshot of the same source that passed and stays; `kept` is why each candidate stays. Where
/// the ledger is older than the repository, what is younger than its newest records may be all that there is of them.
///
/// # Errors
/// `not-found`: there are such snapshots, and no record at all: the ledger is lost, and not what it would name.
pub(super) fn find(
    request: &Request<'_>,
    facts: &Facts,
    kept: &[BTreeSet<Reason>],
    age: Duration,
    now: Timestamp,
) -> Result<Vec<Unnamed>> {
    let is_ours = |snapshot: &Snapshot| {
        snapshot.tag("application") == Some(request.application)
            && snapshot.tag("environment") == Some(request.environment)
    };
    if !facts.has_records && facts.present.values().any(is_ours) {
        let message = format!(
            "the store holds snapshots of {} and no record of a release: what they are of nobody knows",
            request.environment
        );
        return Err(Error::new(ErrorCode::NotFound, message)
            .hint("bring the records back from a copy of the store; nothing was removed"));
    }
    let named: BTreeSet<&Id> = facts.names.iter().flatten().collect();
    let newest = newest(facts, kept);
    let is_it = |(id, snapshot): &(&Id, &Snapshot)| {
        let release = snapshot.tag("release").and_then(|tag| ReleaseId::parse(tag).ok());
        let Some(release) = release.filter(|_| is_ours(snapshot) && !named.contains(id)) else { return false };
        let is_old = SignedDuration::try_from(age).is_ok_and(|age| now.duration_since(snapshot.time) > age);
        let newer = snapshot.tag("source").and_then(|source| newest.get(source));
        // What goes from an emptied environment is in the archive.
        let is_surpassed = request.empties() || newer.is_some_and(|newer| *newer > snapshot.time);
        is_old && is_surpassed && !facts.unreadable.iter().any(|unreadable| *unreadable >= release)
    };
    let found = facts.present.iter().filter(is_it);
    Ok(found.map(|(id, snapshot)| Unnamed { id: *id, at: snapshot.time, tags: snapshot.tags.clone() }).collect())
}

/// Returns when the newest snapshot of each source was taken that is whole, that a release names which passed, and that stays.
fn newest<'a>(facts: &'a Facts, kept: &[BTreeSet<Reason>]) -> BTreeMap<&'a str, Timestamp> {
    let mut newest = BTreeMap::new();
    let staying = facts.candidates.iter().zip(&facts.manifests).zip(kept);
    for ((candidate, manifest), _) in staying.filter(|((candidate, _), kept)| candidate.passed && !kept.is_empty()) {
        for source in manifest.sources.iter().filter(|source| candidate.sources.get(&source.name) == Some(&true)) {
            let id = source.snapshot.as_ref().and_then(|snapshot| Id::parse(&snapshot.id).ok());
            let Some(snapshot) = id.and_then(|id| facts.present.get(&id)) else { continue };
            let time = newest.entry(source.name.as_str()).or_insert(snapshot.time);
            *time = snapshot.time.max(*time);
        }
    }
    newest
}
