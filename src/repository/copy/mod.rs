//! Copying a repository to another storage, object by object: the copy has the same keys, so the same password opens
//! it, and stock restic takes it for what it is.
//!
//! At no instant does the copy refer to something that it does not hold: key files and config first, then packs, index
//! files, snapshots, one stage after the other. What the source holds is listed the other way round, so that what is
//! added to it meanwhile is either copied with all it needs or left for the next time. Nothing is overwritten.

mod foundation;
mod plan;
mod tally;

pub use plan::CopyPlan;
pub use tally::{CopyReport, Tally};

use super::Repository;
use super::files::{FileType, altered};
use super::id::Id;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::transfer::put_verified;
use crate::storage::{Class, PutMode, ReadFrom, SharedStorage};
use jiff::Timestamp;

/// Which objects of a copy are taken for whole because they have the right name and size; all others are read back.
#[derive(Debug, Clone, Copy)]
pub struct Trust {
    /// Everything older than this was read back by a run that came to its end; by the clock of the copy's storage.
    pub confirmed: Option<Timestamp>,
    /// Whether all is read back nevertheless.
    pub nothing: bool,
}

impl Trust {
    /// Says whether an object that was written at `modified` need not be read back.
    pub fn holds(&self, modified: Timestamp) -> bool {
        !self.nothing && self.was_whole(modified)
    }

    /// Says whether the copy was whole with an object that was written at `modified`.
    fn was_whole(&self, modified: Timestamp) -> bool {
        self.confirmed.is_some_and(|confirmed| modified < confirmed)
    }
}

/// A repository and the storage that its files are copied to.
pub(super) struct Route<'a> {
    pub(super) source: &'a Repository,
    pub(super) to: &'a SharedStorage,
}

impl Route<'_> {
    /// Copies a file that is named by its SHA-256.
    ///
    /// # Errors
    /// `damaged`: the source holds something else under the name; as [`put_verified`].
    pub(super) fn send(&self, kind: FileType, id: &Id, class: Class) -> Result<()> {
        let location = self.source.location();
        let data = self.source.read_file(kind, id, ReadFrom::Anywhere).map_err(|error| {
            error.under_same_code(format!("the {} {id} cannot be copied from {location}", kind.noun()))
        })?;
        let data = data.ok_or_else(|| {
            Error::new(ErrorCode::Damaged, format!("the {} {id} is missing in {location}", kind.noun()))
        })?;
        put_verified(&**self.to, &kind.key(id), data.into(), id.as_bytes(), PutMode::CreateOnly, class)
    }

    /// Reads a file of the copy and compares it with its name.
    ///
    /// # Errors
    /// `damaged`, naming it; the storage's own.
    pub(super) fn read_back(&self, kind: FileType, id: &Id) -> Result<()> {
        let stored = self.to.get(&kind.key(id), ReadFrom::Medium)?;
        if stored.is_some_and(|stored| Id::of(&stored) == *id) {
            return Ok(());
        }
        let message = format!("the copy at {} is damaged", self.to.location());
        Err(Error::new(ErrorCode::Damaged, message).caused_by(altered(kind, id)).hint(format!(
            "delete {}/{} and copy again: the source still has it",
            self.to.location(),
            kind.key(id)
        )))
    }
}

impl Repository {
    /// Returns the same repository on the storage of its copy, whose config was compared.
    #[must_use]
    pub fn copy_at(&self, to: SharedStorage) -> Self {
        Self { storage: to, key: self.key.clone(), config: self.config.clone() }
    }
}
