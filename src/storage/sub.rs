//! A part of a storage, as a storage.

use super::s3::location::in_url;
use super::{Class, Entry, LockTerms, Parallelism, PutMode, PutOutcome, ReadFrom, SharedStorage, Storage};
use crate::error::Result;
use bytes::Bytes;
use jiff::Timestamp;

/// The objects below one prefix of another storage.
#[derive(Debug, Clone)]
pub struct SubStorage {
    whole: SharedStorage,
    prefix: String,
}

impl SubStorage {
    /// Opens the part of `whole` below `prefix`; nothing is written.
    pub fn new(whole: SharedStorage, prefix: impl Into<String>) -> Self {
        Self { whole, prefix: prefix.into() }
    }

    fn key(&self, key: &str) -> String {
        if key.is_empty() { self.prefix.clone() } else { format!("{}/{key}", self.prefix) }
    }
}

impl Storage for SubStorage {
    fn location(&self) -> String {
        format!("{}/{}", self.whole.location(), self.prefix)
    }

    fn restic_location(&self) -> String {
        let whole = self.whole.restic_location();
        // restic decodes what is in a URL.
        if whole.contains("://") {
            return format!("{}/{}", whole.trim_end_matches('/'), in_url(&self.prefix));
        }
        format!("{whole}/{}", self.prefix)
    }

    fn parallelism(&self) -> Parallelism {
        self.whole.parallelism()
    }

    fn put(&self, key: &str, data: &Bytes, mode: PutMode, class: Class) -> Result<PutOutcome> {
        self.whole.put(&self.key(key), data, mode, class)
    }

    fn get(&self, key: &str, from: ReadFrom) -> Result<Option<Vec<u8>>> {
        self.whole.get(&self.key(key), from)
    }

    fn get_range(&self, key: &str, offset: u64, length: usize) -> Result<Option<Vec<u8>>> {
        self.whole.get_range(&self.key(key), offset, length)
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        self.whole.size(&self.key(key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        let skip = self.prefix.len() + 1;
        let mut entries = self.whole.list(&self.key(prefix))?;
        for entry in &mut entries {
            entry.key = entry.key.split_off(skip.min(entry.key.len()));
        }
        Ok(entries)
    }

    fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.whole.list_names(&self.key(prefix))
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.whole.delete(&self.key(key))
    }

    fn lock_terms(&self) -> Option<LockTerms> {
        self.whole.lock_terms()
    }

    fn locked_until(&self, key: &str) -> Result<Option<Timestamp>> {
        self.whole.locked_until(&self.key(key))
    }

    fn lock_until(&self, key: &str, until: Timestamp) -> Result<()> {
        self.whole.lock_until(&self.key(key), until)
    }
}
