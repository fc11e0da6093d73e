//! What a prune will do, and what became of it.

use super::Options;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::lock::LockGuard;
use crate::repository::{FileType, Id, Repository, Workers};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// What a prune will do. Nothing of it happens before [`Plan::perform`].
#[derive(Debug)]
pub struct Plan {
    repository: Repository,
    snapshots: Vec<Id>,
    left: Vec<Left>,
    totals: Totals,
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
    /// It is partly needed, and lies in a storage class from which that part cannot be read at once.
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
/// The progress counts the bytes of trees that are read.
///
/// # Errors
/// `damaged`, naming what is damaged or missing of what other snapshots need; `object-cold` if it is a tree that cannot
/// be read at once; the store's own; a cancellation.
pub fn plan(repository: &Repository, remove: &BTreeSet<Id>, options: &Options, workers: &Workers<'_>) -> Result<Plan> {
    let _ = (remove, options, workers);
    let _ = Plan { repository: repository.clone(), snapshots: Vec::new(), left: Vec::new(), totals: Totals::default() };
    Err(Error::new(ErrorCode::Internal, "pruning is not there yet"))
}

impl Plan {
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

    /// Does it. `lock` must be exclusive; once it is lost, nothing more is removed.
    ///
    /// What is kept is written and read back first, then snapshots, index files and packs are removed, in this order. Ended
    /// early, by whatever, it leaves a repository that is whole; a new plan goes on from there. The progress counts the
    /// bytes that are read and written, and the files that are removed.
    ///
    /// # Errors
    /// `busy` if the repository changed since the plan was made; `lease-lost` if the lock was lost; `damaged`, naming a
    /// needed blob that is not what its id says, before anything but packs without index is removed; `store-refused` if
    /// snapshots or index files cannot be deleted; `store-full` or `store-unavailable`; a cancellation.
    pub fn perform(&self, lock: &LockGuard, workers: &Workers<'_>) -> Result<Pruned> {
        let _ = (lock, workers, &self.repository);
        Err(Error::new(ErrorCode::Internal, "pruning is not there yet"))
    }
}
