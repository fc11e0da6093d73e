//! What a prune will do, and what became of it.

use super::Options;
use super::choose::Fate;
use super::held::Asker;
use super::index::Rewrite;
use super::layout::{Batch, Moved, lay_out};
use super::share::Shares;
use super::survey::Survey;
use super::twice;
use super::used::{Used, refused};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::id::{IdMap, IdSet};
use crate::repository::snapshot::Snapshot;
use crate::repository::{FileType, Id, Repository, Workers};
use crate::storage::many::ask_all;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// What a prune will do. Nothing of it happens before [`Plan::perform`].
#[derive(Debug)]
pub struct Plan {
    pub(super) repository: Repository,
    /// What there was when it was made.
    pub(super) seen: Seen,
    snapshots: Vec<Id>,
    /// The same with their sizes.
    pub(super) snapshot_files: Vec<(Id, u64)>,
    /// Packs that are in no index.
    pub(super) orphans: Vec<(Id, u64)>,
    /// Packs that go once no index file names them any more.
    pub(super) packs: Vec<(Id, u64)>,
    /// Where the blobs of `batches` are now.
    pub(super) sources: Vec<Id>,
    pub(super) batches: Vec<Batch>,
    pub(super) rewrite: Rewrite,
    pub(super) left: Vec<Left>,
    pub(super) totals: Totals,
}

/// The files that tell whether a repository changed.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) snapshots: BTreeSet<Id>,
    pub(super) index_files: BTreeSet<Id>,
}

/// How much a prune removes and writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Snapshots that are removed.
    pub snapshots_removed: u64,
    /// Snapshots that stay, whoever wrote them.
    pub snapshots_kept: u64,
    /// Packs that stay as they are.
    pub packs_kept: u64,
    /// Packs of which nothing is needed, or that are in no index.
    pub packs_removed: u64,
    /// Packs of which a part is needed, or that are very small: that part is written anew, and they are removed.
    pub packs_repacked: u64,
    /// Packs that are written.
    pub packs_new: u64,
    /// Bytes of blobs that some snapshot needs.
    pub bytes_needed: u64,
    /// Bytes of blobs that no snapshot needs, or that are stored twice, in packs that stay.
    pub bytes_unused: u64,
    /// Bytes of all files that are removed.
    pub bytes_removed: u64,
    /// Bytes of all files that are written.
    pub bytes_written: u64,
}

impl Totals {
    /// Returns by how many bytes the store becomes smaller; negative where what is written is more than what goes.
    pub fn freed(&self) -> i64 {
        i64::try_from(i128::from(self.bytes_removed) - i128::from(self.bytes_written)).unwrap_or(i64::MAX)
    }
}

/// A file that should go, and stays for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// What it is: a snapshot, or a pack.
    pub kind: FileType,
    /// Its id.
    pub id: Id,
    /// Its size in bytes.
    pub size: u64,
    /// Why it stays.
    pub why: Why,
}

/// Why a file stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// The store keeps it from being deleted until then. A snapshot stays with all that it needs.
    Locked(Timestamp),
    /// What is needed of it, or the other copy of that, lies in a storage class from which it cannot be read at once.
    Cold,
    /// The store refused to delete it, and said so.
    Refused(String),
}

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// What was removed and written. Without anything in `left` that was refused it is what the plan announced.
    pub totals: Totals,
    /// What should have gone, and stays for now.
    pub left: Vec<Left>,
}

/// Finds out what goes when the snapshots `remove` go; those that are gone already are passed over.
///
/// Whoever performs the plan makes it under an exclusive lock ([`crate::repository::lock::LockKind::Exclusive`]), taken
/// before `remove` was decided on, so that nobody comes to lean on one of these snapshots meanwhile. To show it only, a
/// shared lock does. Where the repository holds no snapshot at all and none is to go, nothing is: it may be that they
/// cannot be seen.
///
/// The progress counts the bytes of trees that are read, and of packs that hold what is stored twice.
///
/// # Errors
/// `damaged`, naming what is damaged or missing of what other snapshots need; `object-cold` if it is a tree that cannot
/// be read at once; the store's own; a cancellation.
pub fn plan(repository: &Repository, remove: &BTreeSet<Id>, options: &Options, workers: &Workers<'_>) -> Result<Plan> {
    let cancel = workers.cancel;
    let mut left = Vec::new();
    let snapshots = repository.list(FileType::Snapshot)?;
    let seen = snapshots.iter().map(|(id, _)| *id).collect();
    let (going, mut kept): (Vec<_>, Vec<_>) = snapshots.into_iter().partition(|(id, _)| remove.contains(id));
    let (asker, going) = Asker::start(repository, going, &mut left, cancel)?;
    kept.extend(left.iter().map(|left| (left.id, left.size)));
    let roots = roots(repository, &kept, cancel)?;

    let survey = Survey::take(repository, cancel)?;
    let seen = Seen { snapshots: seen, index_files: survey.listings.iter().map(|listing| listing.id).collect() };
    let snapshots_kept = kept.len() as u64;
    let mut plan = Plan::nothing(repository, seen, Totals { snapshots_kept, ..Totals::default() });
    if roots.is_empty() && remove.is_empty() {
        plan.totals.packs_kept = survey.sizes.len() as u64;
        return Ok(plan);
    }
    let used = Used::find(&survey.indexed, &roots, workers)?;
    let mut shares = Shares::find(&survey, &used);
    let fates = twice::choose(repository, &asker, &mut shares, options, &mut left, workers)?;
    plan.orphans = asker.free(survey.orphans(), &mut left)?;
    let cut = survey.unusable.iter().filter_map(|id| Some((*id, *survey.sizes.get(id)?)));
    plan.packs = asker.free(cut.collect(), &mut left)?;
    plan.left = left;
    plan.snapshots = going.iter().map(|(id, _)| *id).collect();
    plan.snapshot_files = going;
    plan.dispose(&survey, &used, &shares, &fates)?;
    let mut dropped: IdSet = survey.unusable.clone();
    dropped.extend(plan.packs.iter().map(|(id, _)| *id));
    // On a store that locks, the files that others replace would stay, hidden: joining them frees nothing.
    plan.rewrite = Rewrite::plan(repository, &survey.listings, dropped, !asker.locks(), cancel)?;
    plan.add_up();
    Ok(plan)
}

/// Reads the snapshots that stay, and returns the roots of their trees.
fn roots(repository: &Repository, kept: &[(Id, u64)], cancel: &Cancel) -> Result<Vec<Id>> {
    ask_all(repository.storage().parallelism().reads, kept, cancel, |(id, size)| {
        let snapshot = repository
            .load_sized::<Snapshot>(FileType::Snapshot, id, *size)
            .map_err(|error| if error.code() == ErrorCode::Damaged { refused(error) } else { error })?;
        let gone = || {
            let message = format!("the snapshot {} was removed while a prune was planned", id.short());
            Error::new(ErrorCode::Busy, message).hint("run the command again")
        };
        Ok(snapshot.ok_or_else(gone)?.tree)
    })
}

impl Plan {
    fn nothing(repository: &Repository, seen: Seen, totals: Totals) -> Self {
        Self {
            repository: repository.clone(),
            seen,
            snapshots: Vec::new(),
            snapshot_files: Vec::new(),
            orphans: Vec::new(),
            packs: Vec::new(),
            sources: Vec::new(),
            batches: Vec::new(),
            rewrite: Rewrite::default(),
            left: Vec::new(),
            totals,
        }
    }

    /// Notes what becomes of the packs in the index, and lays out what is written anew.
    fn dispose(&mut self, survey: &Survey, used: &Used, shares: &Shares, fates: &[Fate]) -> Result<()> {
        let mut places = IdMap::<u32>::default();
        for (pack, fate) in shares.packs.iter().zip(fates) {
            self.totals.bytes_needed += pack.used;
            if *fate == Fate::Keep {
                self.totals.packs_kept += 1;
                self.totals.bytes_unused += pack.unused;
                continue;
            }
            self.packs.push((pack.id, pack.size));
            if *fate == Fate::Repack {
                places.insert(pack.id, u32::try_from(self.sources.len()).unwrap_or(u32::MAX));
                self.sources.push(pack.id);
            }
        }
        self.totals.packs_repacked = self.sources.len() as u64;
        let moved = survey.indexed.with_index(|index| {
            let mut moved = Vec::new();
            for (pack, blob) in shares.needed(index, used) {
                let fate = fates.get(pack.position()).copied().unwrap_or(Fate::Remove);
                let source = shares.packs.get(pack.position()).and_then(|pack| places.get(&pack.id));
                match (fate, source) {
                    (Fate::Keep, _) => {}
                    (Fate::Repack, Some(source)) => moved.push(Moved { source: *source, blob }),
                    _ => {
                        let message = format!("a pack with the needed {} blob {} would go", blob.kind, blob.id);
                        return Err(Error::new(ErrorCode::Internal, message));
                    }
                }
            }
            Ok(moved)
        })?;
        self.batches = lay_out(moved)?;
        Ok(())
    }

    fn add_up(&mut self) {
        let sum = |files: &[(Id, u64)]| files.iter().map(|(_, size)| size).sum::<u64>();
        let removed = [&self.snapshot_files, &self.orphans, &self.packs, &self.rewrite.files];
        let written = self.batches.iter().map(|batch| batch.bytes + batch.index_size).sum::<u64>();
        let totals = &mut self.totals;
        totals.snapshots_removed = self.snapshot_files.len() as u64;
        totals.packs_removed = (self.orphans.len() + self.packs.len()) as u64 - totals.packs_repacked;
        totals.packs_new = self.batches.iter().map(|batch| batch.packs.len() as u64).sum();
        totals.bytes_removed = removed.into_iter().map(|files| sum(files)).sum();
        totals.bytes_written = written + self.rewrite.sizes.iter().sum::<u64>();
    }

    /// Returns the snapshots that will be removed: of those that were named, the ones that are there and not locked.
    pub fn snapshots(&self) -> &[Id] {
        &self.snapshots
    }

    /// Returns what should go and stays for now: locked, or too cold to be read.
    pub fn left(&self) -> &[Left] {
        &self.left
    }

    /// Returns how much is removed and written. On a store without versions [`Totals::freed`] is to the byte what it
    /// holds less afterwards, but for `locks/`.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Says whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.totals.bytes_removed == 0 && self.totals.bytes_written == 0
    }
}
