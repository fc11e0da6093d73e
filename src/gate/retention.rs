//! Keeping what the new snapshots need from being deleted, before they are published: [`crate::repository::retention`].

use super::bases::Leaned;
use crate::cancel::Cancel;
use crate::error::{ErrorCode, Result};
use crate::ledger::Ledger;
use crate::model::leaning::Base;
use crate::model::manifest::{ObjectLock, SourceRecord, VerifyMode};
use crate::model::progress::Progress;
use crate::model::release_id::ReleaseId;
use crate::repository::archive::StoredPacks;
use crate::repository::pack::BlobType;
use crate::repository::retention::{self, Known, Needs};
use crate::repository::verify::Verified;
use crate::repository::{FileType, Id, Indexed, Repository, Snapshot, Workers};
use crate::storage::{Class, LockMode, LockTerms, PutMode, ReadFrom, SharedStorage};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// What is known of locks, beside the hint to the newest release. In a store only the holder of the lease writes it; in a copy
/// several may, and what is lost by that costs requests.
const KNOWN: &str = "retention.json";

/// What a run is about to publish.
pub struct Kept<'a> {
    /// The trees of the new snapshots.
    pub trees: Vec<&'a Verified>,
    /// The snapshots that they lean on, and those that stand in.
    pub leaned: &'a [Leaned],
    /// What this run wrote, every object of it locked as it was written.
    pub written: &'a StoredPacks,
    /// A time before the first of that was written.
    pub since: Timestamp,
}

impl Kept<'_> {
    /// Says whether there is nothing to keep.
    fn is_empty(&self) -> bool {
        self.trees.is_empty() && self.leaned.is_empty()
    }
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
    let Some(terms) = storage.lock_terms().filter(|_| !kept.is_empty()) else { return Ok(None) };
    let progress = Progress::new();
    let workers = Workers { threads: storage.parallelism().uploads, progress: &progress, cancel };
    let needs = needs(repository, kept, indexed, &workers)?;
    extend(repository, &needs, kept.written, kept.since, ledger, terms, &workers).map(Some)
}

/// Snapshots that came to a copy, for whatever run they were made.
pub struct Arrivals<'a> {
    /// The snapshots.
    pub snapshots: Vec<Id>,
    /// What came with them, every object of it locked as it was written.
    pub sent: StoredPacks,
    /// A time before the first of that was written.
    pub since: Timestamp,
    /// The ledger that says what they lean on.
    pub releases: &'a Ledger,
}

/// Makes sure that all that they need stays in the copy for as long as the terms of its store say, from now: of what was there
/// before, too. Without terms nothing is asked. `indexed` is the repository that was copied, `ledger` the copy's.
///
/// # Errors
/// As [`keep`].
pub fn keep_arrivals(
    repository: &Repository,
    arrivals: &Arrivals<'_>,
    indexed: &Indexed,
    ledger: &SharedStorage,
    cancel: &Cancel,
) -> Result<()> {
    let storage = repository.storage();
    let Some(terms) = storage.lock_terms().filter(|_| !arrivals.snapshots.is_empty()) else { return Ok(()) };
    let progress = Progress::new();
    let workers = Workers { threads: storage.parallelism().uploads, progress: &progress, cancel };
    let source = indexed.repository();
    let mut snapshots: BTreeSet<Id> = arrivals.snapshots.iter().copied().collect();
    let load = |id: &Id| source.load_json::<Snapshot>(FileType::Snapshot, id, ReadFrom::Anywhere);
    let (mut roots, mut releases) = (BTreeSet::new(), BTreeSet::new());
    for id in &arrivals.snapshots {
        // One that was removed meanwhile needs nothing.
        let Some(snapshot) = load(id)? else { continue };
        let release = snapshot.tags.iter().find_map(|tag| tag.strip_prefix("release="));
        releases.extend(release.and_then(|id| ReleaseId::parse(id).ok()));
        roots.insert(snapshot.tree);
    }
    for release in releases {
        cancel.check()?;
        for base in bases(arrivals.releases, &release)? {
            roots.extend(load(&base)?.map(|snapshot| snapshot.tree));
            snapshots.insert(base);
        }
    }
    let mut needs = Needs::of_repository(repository)?;
    needs.add(FileType::Snapshot, &snapshots);
    let roots: Vec<_> = roots.into_iter().collect();
    // Snapshots may have come since the index was read.
    let packs = if roots.iter().all(|root| indexed.contains(BlobType::Tree, root)) {
        retention::packs_below(indexed, &roots, &workers)?
    } else {
        retention::packs_below(&source.index(cancel)?, &roots, &workers)?
    };
    needs.add(FileType::Pack, &packs);
    extend(repository, &needs, &arrivals.sent, arrivals.since, ledger, terms, &workers).map(drop)
}

/// Returns the snapshots that those of a release lean on; none of a release that has no record that can be read.
fn bases(ledger: &Ledger, release: &ReleaseId) -> Result<Vec<Id>> {
    let manifest = match ledger.get(release.as_str()) {
        Ok(stored) => stored.manifest,
        Err(error) if matches!(error.code(), ErrorCode::NotFound | ErrorCode::ManifestInvalid) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let base = |source: &SourceRecord| Id::parse(&Base::of(&source.content)?.snapshot).ok();
    Ok(manifest.sources.iter().filter_map(base).collect())
}

/// Extends the locks of what is needed; `written` was locked as it was written, after `since`.
fn extend(
    repository: &Repository,
    needs: &Needs,
    written: &StoredPacks,
    since: Timestamp,
    ledger: &SharedStorage,
    terms: LockTerms,
    workers: &Workers<'_>,
) -> Result<ObjectLock> {
    let stored = ledger.get(KNOWN, ReadFrom::Anywhere)?;
    let mut known = match &stored {
        Some(stored) => Known::read(repository, stored, terms.mode),
        None => Known::nothing(terms.mode),
    };
    let written_until = retention::after(since, terms.lasting())?;
    for id in written.packs.iter().chain(&written.index_files) {
        known.learn(id, written_until);
    }
    let result = retention::keep(repository, needs, &mut known, terms, workers);
    workers.cancel.check()?;
    if let Some(bytes) = known.to_store(repository)? {
        // Losing it costs the next run requests, and nothing else.
        let _ = ledger.put(KNOWN, &bytes.into(), PutMode::Overwrite, Class::Transient);
    }
    Ok(record(terms, result?.until))
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
