//! What an archive call found and added.

use super::super::id::Id;
use crate::error::{Error, ErrorCode, Result};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// How many issues are kept in full; the rest is only counted.
const MAX_ISSUES: usize = 1000;

/// What became of an archived source; nothing is visible before it is verified and published.
#[derive(Debug, Clone)]
pub struct Archived {
    /// The root of the tree.
    pub tree: Id,
    /// Regular files.
    pub files: u64,
    /// Directories below the root.
    pub dirs: u64,
    /// Nodes of all types below the root.
    pub items: u64,
    /// Bytes of content, as they are in the source.
    pub bytes: u64,
    /// Files that the parent had with the same content, by size, times and inode.
    pub files_unmodified: u64,
    /// Files that were read.
    pub files_read: u64,
    /// Blobs of content that were added.
    pub data_blobs: u64,
    /// Blobs of trees that were added.
    pub tree_blobs: u64,
    /// Bytes that were added, before compression.
    pub bytes_added: u64,
    /// Bytes that were added, as stored.
    pub bytes_stored: u64,
    /// What could not be archived as it is; at most a thousand, see `issues_total`.
    pub issues: Vec<Issue>,
    /// How many issues there were.
    pub issues_total: u64,
}

/// Something in the source that could not be archived as it is.
#[derive(Debug, Clone)]
pub struct Issue {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub kind: IssueKind,
    /// Why, in words.
    pub message: String,
}

/// What kept something from being archived as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IssueKind {
    /// It could not be read.
    Unreadable,
    /// It changed while it was read, twice.
    Changed,
    /// It was listed, and gone when it was to be read.
    Vanished,
}

/// Counters that the workers of one archive call share.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub files: AtomicU64,
    pub dirs: AtomicU64,
    pub items: AtomicU64,
    pub bytes: AtomicU64,
    pub files_unmodified: AtomicU64,
    pub files_read: AtomicU64,
    pub data_blobs: AtomicU64,
    pub tree_blobs: AtomicU64,
    pub bytes_added: AtomicU64,
    pub bytes_stored: AtomicU64,
    issues: Mutex<Vec<Issue>>,
    issues_total: AtomicU64,
}

impl Tally {
    /// Notes something that could not be archived as it is.
    pub fn issue(&self, path: PathBuf, kind: IssueKind, message: String) {
        self.issues_total.fetch_add(1, Relaxed);
        let mut issues = self.issues.lock().unwrap_or_else(PoisonError::into_inner);
        if issues.len() < MAX_ISSUES {
            issues.push(Issue { path, kind, message });
        }
    }

    /// Ends the count for a tree whose root is `tree`.
    pub fn into_archived(self, tree: Option<Id>) -> Result<Archived> {
        let tree = tree.ok_or_else(|| Error::new(ErrorCode::Internal, "the archiver ended without a tree"))?;
        Ok(Archived {
            tree,
            files: self.files.into_inner(),
            dirs: self.dirs.into_inner(),
            items: self.items.into_inner(),
            bytes: self.bytes.into_inner(),
            files_unmodified: self.files_unmodified.into_inner(),
            files_read: self.files_read.into_inner(),
            data_blobs: self.data_blobs.into_inner(),
            tree_blobs: self.tree_blobs.into_inner(),
            bytes_added: self.bytes_added.into_inner(),
            bytes_stored: self.bytes_stored.into_inner(),
            issues: self.issues.into_inner().unwrap_or_else(PoisonError::into_inner),
            issues_total: self.issues_total.into_inner(),
        })
    }
}
