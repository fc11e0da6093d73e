//! What a check found.

use crate::storage::Hidden;
use jiff::Timestamp;
use std::sync::{Mutex, PoisonError};

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// What is damaged; empty if the repository is sound.
    pub problems: Vec<Problem>,
    /// What is unusual and harmless.
    pub notes: Vec<String>,
    /// How much was looked at.
    pub counts: Counts,
    /// What is locked, on a store that locks.
    pub locked: Option<Locked>,
    /// What the store holds of the repository without showing it.
    pub hidden: Vec<Hidden>,
}

/// How much is kept from being deleted by the store itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// Locked objects among those that snapshots need whose time has not run out.
    pub objects: u64,
    /// Until when all of these are locked at least.
    pub until: Option<Timestamp>,
}

/// How much a check looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Key files.
    pub keys: u64,
    /// Index files.
    pub index_files: u64,
    /// Packs in the store.
    pub packs: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Distinct trees.
    pub trees: u64,
    /// Files in these trees.
    pub files: u64,
    /// The sizes of these files, added up, in bytes.
    pub bytes: u64,
    /// Blobs that were compared with their ids.
    pub blobs: u64,
    /// Bytes of packs that were read whole.
    pub bytes_read: u64,
}

/// One thing that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it is about.
    pub kind: ProblemKind,
    /// What is wrong with what.
    pub message: String,
}

/// What a problem is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// The repository's configuration.
    Config,
    /// A key file.
    Key,
    /// An index file, or what it says.
    Index,
    /// A pack, or a blob in it.
    Pack,
    /// A snapshot.
    Snapshot,
    /// A tree, or what it refers to.
    Tree,
    /// A record of a release.
    Record,
    /// A lock that ran out, or was never set.
    Lock,
}

impl ProblemKind {
    /// Returns the stable text, such as `pack`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Key => "key",
            Self::Index => "index",
            Self::Pack => "pack",
            Self::Snapshot => "snapshot",
            Self::Tree => "tree",
            Self::Record => "record",
            Self::Lock => "lock",
        }
    }
}

impl CheckReport {
    /// Says whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Collects a report from several threads.
#[derive(Default)]
pub(super) struct Collector(Mutex<CheckReport>);

impl Collector {
    pub(super) fn problem(&self, kind: ProblemKind, message: String) {
        self.with(|report| report.problems.push(Problem { kind, message }));
    }

    pub(super) fn note(&self, note: String) {
        self.with(|report| report.notes.push(note));
    }

    pub(super) fn locked(&self, locked: Locked) {
        self.with(|report| report.locked = Some(locked));
    }

    /// Says whether nothing is damaged so far.
    pub(super) fn is_sound(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_sound()
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counts)) {
        self.with(|report| count(&mut report.counts));
    }

    fn with(&self, change: impl FnOnce(&mut CheckReport)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns the report, its problems in a stable order.
    pub(super) fn into_report(self) -> CheckReport {
        let mut report = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.problems.sort_by(|one, two| (one.kind, &one.message).cmp(&(two.kind, &two.message)));
        report.notes.sort();
        report
    }
}
