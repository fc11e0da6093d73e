//! What a copy came to, counted by several threads.

use crate::error::{Error, ErrorCode, Result};
use std::sync::{Mutex, PoisonError};

/// What a copy came to.
#[derive(Debug, Default)]
pub struct CopyReport {
    /// Objects that were written and read back.
    pub sent: u64,
    /// Their sizes, added up, in bytes.
    pub sent_bytes: u64,
    /// Objects that were there already.
    pub present: u64,
    /// How many of those were read back.
    pub read_back: u64,
    /// Their sizes, added up, in bytes.
    pub read_back_bytes: u64,
    /// Files of the repository that only the copy has.
    pub extra: u64,
    /// What is not what it should be, here or there; empty if the copy is whole.
    pub problems: Vec<Error>,
}

/// A report that several threads write.
#[derive(Debug, Default)]
pub struct Tally(Mutex<CopyReport>);

impl Tally {
    /// Changes the report.
    pub fn count(&self, change: impl FnOnce(&mut CopyReport)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Counts one object that was written.
    pub fn sent(&self, bytes: u64) {
        self.count(|report| {
            report.sent += 1;
            report.sent_bytes += bytes;
        });
    }

    /// Counts one object that was there already and was read back.
    pub fn read_back(&self, bytes: u64) {
        self.count(|report| {
            report.present += 1;
            report.read_back += 1;
            report.read_back_bytes += bytes;
        });
    }

    /// Turns damage and conflicts into problems, and hands on what keeps the copy itself from going on.
    ///
    /// # Errors
    /// Every other error of `result`.
    pub fn collect<T>(&self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if matches!(error.code(), ErrorCode::Damaged | ErrorCode::CopyConflict) => {
                self.count(|report| report.problems.push(error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Says whether nothing was wrong so far.
    pub fn is_sound(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).problems.is_empty()
    }

    /// Returns the report, its problems in a stable order.
    pub fn into_report(self) -> CopyReport {
        let mut report = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.problems.sort_by_cached_key(Error::chain);
        report
    }
}
