//! The files of a lease: `lease/N.json`, create-only, of which the highest N rules.

use super::owner::Owner;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::{Class, PutMode, PutOutcome, ReadFrom, SharedStorage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const FOLDER: &str = "lease";

/// What one file of a lease says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Who holds it.
    pub(super) owner: Owner,
    /// When the owner got it, by the owner's clock.
    pub(super) acquired_at: Timestamp,
    /// When it runs out unless it is renewed, by the owner's clock.
    pub(super) expires_at: Timestamp,
    /// Whether the owner gave it back.
    pub(super) released: bool,
}

/// The files of the lease of one environment.
#[derive(Debug, Clone)]
pub(super) struct Files {
    storage: SharedStorage,
}

/// Whether a number became ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// The file is ours and the highest.
    Ours,
    /// Another run was faster.
    Theirs,
}

impl Files {
    pub(super) fn new(storage: SharedStorage) -> Self {
        Self { storage }
    }

    fn key(number: u64) -> String {
        format!("{FOLDER}/{number}.json")
    }

    fn numbers(&self) -> Result<Vec<u64>> {
        let names = self.storage.list_names(FOLDER)?;
        let mut numbers: Vec<u64> =
            names.iter().filter_map(|name| name.strip_suffix(".json").and_then(|name| name.parse().ok())).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Returns the highest number, 0 if there is no file.
    ///
    /// A directory that changes while it is listed may show neither the file that goes nor the one that came, so two
    /// listings must agree where one may be torn.
    pub(super) fn highest(&self) -> Result<u64> {
        let mut before = self.numbers()?.last().copied();
        if self.storage.lists_at_once() {
            return Ok(before.unwrap_or(0));
        }
        loop {
            let now = self.numbers()?.last().copied();
            if now == before {
                return Ok(now.unwrap_or(0));
            }
            before = now;
        }
    }

    /// Reads one file; `None` if it is gone.
    pub(super) fn read(&self, number: u64) -> Result<Option<Record>> {
        let key = Self::key(number);
        let Some(bytes) = self.storage.get(&key, ReadFrom::Anywhere)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let message = format!("{}/{key} cannot be read, so its holder is unknown", self.storage.location());
            Error::new(ErrorCode::Busy, message)
                .caused_by(error)
                .hint("make sure that no run is active, then delete the file")
        })
    }

    /// Creates file `number`; says whether there was none.
    pub(super) fn create(&self, number: u64, record: &Record) -> Result<bool> {
        Ok(self.write(number, record, PutMode::CreateOnly)? == PutOutcome::Written)
    }

    fn write(&self, number: u64, record: &Record, mode: PutMode) -> Result<PutOutcome> {
        let json = serde_json::to_vec_pretty(record)
            .map_err(|error| Error::new(ErrorCode::Internal, "cannot write a lease as JSON").caused_by(error))?;
        self.storage.put(&Self::key(number), &json.into(), mode, Class::Transient)
    }

    /// Creates file `number` and looks whether it rules. A file that lost is removed again.
    pub(super) fn claim(&self, number: u64, record: &Record) -> Result<Claim> {
        if !self.create(number, record)? {
            // An earlier try of ours may have been written although its answer was lost.
            let theirs = self.read(number)?.is_none_or(|other| other.owner.token != record.owner.token);
            if theirs {
                return Ok(Claim::Theirs);
            }
        }
        // While we were slow, others may have taken this number, gone on to higher ones, and deleted it.
        if self.highest()? == number {
            return Ok(Claim::Ours);
        }
        self.storage.delete(&Self::key(number))?;
        Ok(Claim::Theirs)
    }

    /// Deletes one file.
    pub(super) fn delete(&self, number: u64) -> Result<()> {
        self.storage.delete(&Self::key(number))
    }

    /// Makes sure that nobody else could have created file `number`, which we just did: the store must refuse it now.
    ///
    /// # Errors
    /// `store-unsafe` if it does not; then the file says that the lease is given back.
    pub(super) fn prove_created_once(&self, number: u64, record: &Record) -> Result<()> {
        // Other content than the file's, so that it is never taken for an own try whose answer was lost; and still a lease
        // that is held: where a store settles by its versions who was first, others may see it for a moment.
        let expires_at = record.expires_at.checked_add(Duration::from_secs(1)).unwrap_or(Timestamp::MAX);
        if !self.create(number, &Record { expires_at, ..record.clone() })? {
            return Ok(());
        }
        let message = format!(
            "the store {} overwrites what must be created only once, so two runs could hold one lease",
            self.storage.location()
        );
        // Nobody is kept waiting for it; if that fails, it runs out by itself.
        let _ = self.write(number, &Record { released: true, ..record.clone() }, PutMode::Overwrite);
        Err(Error::new(ErrorCode::StoreUnsafe, message)
            .hint("use a server that honours `If-None-Match: *` on PUT, as AWS S3, Ceph and MinIO do"))
    }

    /// Deletes the files below `number`, which no longer mean anything.
    pub(super) fn delete_below(&self, number: u64) -> Result<()> {
        self.numbers()?.into_iter().filter(|old| *old < number).try_for_each(|old| self.delete(old))
    }
}
