//! Keeping what the new snapshots need from being deleted, before they are published: [`crate::repository::retention`].

use super::bases::Leaned;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::model::manifest::{ObjectLock, VerifyMode};
use crate::model::progress::Progress;
use crate::repository::archive::StoredPacks;
use crate::repository::retention::{self, Known, Needs};
use crate::repository::verify::Verified;
use crate::repository::{FileType, Id, Indexed, Repository, Workers};
use crate::storage::{Class, LockMode, LockTerms, PutMode, ReadFrom, SharedStorage};
use jiff::Timestamp;

/// What is known of locks, beside the hint to the newest release. Only the holder of the lease writes it.
const KNOWN: &str = "retention.json";

/// What a run is about to publish.
pub struct Kept<'a> {
    /// The trees of the new snapshots.
    pub trees: Vec<&'a Verified>,
    /// The snapshots that they lean on.
    pub leaned: &'a [Leaned],
    /// What this run wrote, every object of it locked as it was written.
    pub written: &'a StoredPacks,
    /// A time before the first of that was written.
    pub since: Timestamp,
}

/// Makes sure that all of it stays for as long as the store's terms say; returns the terms and until when it stays at least.
/// Without terms nothing is asked. `ledger` is the environment's part of the store.
///
/// # Errors
/// `store-refused`, `store-unavailable` or `damaged`, naming what could not be locked; a cancellation.
pub fn keep(kept: &Kept<'_>, indexed: &Indexed, ledger: &SharedStorage, cancel: &Cancel) -> Result<Option<ObjectLock>> {
    keep_at(indexed.repository(), kept, indexed, ledger, cancel)
}

/// Does what [`keep`] does at a copy of the repository, under the terms of its store; `ledger` is the copy's.
///
/// # Errors
/// As [`keep`].
pub fn keep_at(
    repository: &Repository,
    kept: &Kept<'_>,
    indexed: &Indexed,
    ledger: &SharedStorage,
    cancel: &Cancel,
) -> Result<Option<ObjectLock>> {
    let storage = repository.storage();
    let Some(terms) = storage.lock_terms().filter(|_| !kept.trees.is_empty()) else { return Ok(None) };
    let progress = Progress::new();
    let workers = Workers { threads: storage.parallelism().uploads, progress: &progress, cancel };
    let needs = needs(repository, kept, indexed, &workers)?;
    let stored = ledger.get(KNOWN, ReadFrom::Anywhere)?;
    let mut known = match &stored {
        Some(stored) => Known::read(repository, stored, terms.mode),
        None => Known::nothing(terms.mode),
    };
    let written_until = retention::after(kept.since, terms.lasting())?;
    for id in kept.written.packs.iter().chain(&kept.written.index_files) {
        known.learn(id, written_until);
    }
    let result = retention::keep(repository, &needs, &mut known, terms, &workers);
    cancel.check()?;
    if let Some(bytes) = known.to_store(repository)? {
        // Losing it costs the next run requests, and nothing else.
        let _ = ledger.put(KNOWN, &bytes.into(), PutMode::Overwrite, Class::Transient);
    }
    Ok(Some(record(terms, result?.until)))
}

/// Collects every object that the new snapshots cannot be restored without.
fn needs(repository: &Repository, kept: &Kept<'_>, indexed: &Indexed, workers: &Workers<'_>) -> Result<Needs> {
    let mut needs = Needs::of_repository(repository)?;
    let trees = || kept.trees.iter().copied().chain(kept.leaned.iter().map(|leaned| &leaned.verified));
    for tree in trees() {
        needs.add(FileType::Pack, tree.packs());
    }
    // Where nothing was read back, nobody has looked yet.
    let unseen: Vec<Id> = trees().filter(|tree| tree.mode() == VerifyMode::None).map(Verified::tree).collect();
    if !unseen.is_empty() {
        needs.add(FileType::Pack, &retention::packs_below(indexed, &unseen, workers)?);
    }
    needs.add(FileType::Snapshot, kept.leaned.iter().map(|leaned| &leaned.snapshot));
    Ok(needs)
}

fn record(terms: LockTerms, retain_until: Timestamp) -> ObjectLock {
    let mode = match terms.mode {
        LockMode::Governance => crate::model::manifest::LockMode::Governance,
        LockMode::Compliance => crate::model::manifest::LockMode::Compliance,
    };
    ObjectLock { mode, retain_until }
}
