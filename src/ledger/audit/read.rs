//! Reading the lines of the audit again.

use super::super::manifest::digest;
use super::super::releases::Ledger;
use super::key;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::audit::{AUDIT_SCHEMA_VERSION, AuditLine};
use crate::storage::many::ask_all;

/// A line as it was found.
#[derive(Debug)]
pub struct ReadLine {
    /// The number of its object.
    pub number: u64,
    /// The digest of its bytes.
    pub digest: String,
    /// Its bytes, as they are stored.
    pub bytes: Vec<u8>,
    /// What they say, or why nobody can tell.
    pub line: Result<AuditLine>,
}

impl Ledger {
    /// Returns the newest lines, oldest first, at most `limit`; one that cannot be read is among them as that.
    ///
    /// # Errors
    /// The store's own.
    pub fn newest_audit(&self, limit: usize) -> Result<Vec<ReadLine>> {
        let mut folders = self.audit_folders()?;
        let mut numbers: Vec<u64> = Vec::new();
        while let Some(folder) = folders.pop().filter(|_| numbers.len() < limit) {
            numbers.splice(0..0, self.audit_numbers(folder)?);
        }
        numbers.drain(..numbers.len().saturating_sub(limit));
        self.read_audit(&numbers)
    }

    /// Calls `each` with every line, in the order of their numbers; a folder of them is in memory at once.
    ///
    /// # Errors
    /// The store's own; those of `each`; a cancellation.
    pub(super) fn each_audit(&self, cancel: &Cancel, mut each: impl FnMut(ReadLine) -> Result<()>) -> Result<()> {
        for folder in self.audit_folders()? {
            cancel.check()?;
            self.read_audit(&self.audit_numbers(folder)?)?.into_iter().try_for_each(&mut each)?;
        }
        Ok(())
    }

    /// Reads lines, many at once; without those that are not there.
    fn read_audit(&self, numbers: &[u64]) -> Result<Vec<ReadLine>> {
        let width = self.storage.parallelism().reads;
        let read = ask_all(width, numbers, &Cancel::new(), |number| self.audit_bytes(*number))?;
        let found = numbers.iter().zip(read).filter_map(|(number, bytes)| Some((*number, bytes?)));
        Ok(found
            .map(|(number, bytes)| ReadLine { number, digest: digest(&bytes), line: parse(number, &bytes), bytes })
            .collect())
    }
}

fn parse(number: u64, bytes: &[u8]) -> Result<AuditLine> {
    let damaged = |why: String| {
        Error::new(ErrorCode::ManifestInvalid, format!("{} {why}", key(number)))
            .hint("it was altered, or a newer holdpoint wrote it: use that version")
    };
    let line: AuditLine =
        serde_json::from_slice(bytes).map_err(|error| damaged("is no line of an audit".to_owned()).caused_by(error))?;
    match line.schema_version {
        AUDIT_SCHEMA_VERSION => Ok(line),
        other => Err(damaged(format!("has the schema version {other}, and this program reads {AUDIT_SCHEMA_VERSION}"))),
    }
}
