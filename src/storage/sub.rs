//! A part of a storage, as a storage.

use super::s3::location::in_url;
use super::{Class, Entry, Hidden, LockProbe, LockTerms, Look, Parallelism, PutMode, PutOutcome, ReadFrom};
use super::{SharedStorage, Storage, Unfit};
use crate::error::Result;
use bytes::Bytes;
use jiff::Timestamp;
use std::time::Duration;

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

    /// Makes a key of the whole one of this part.
    fn strip(&self, key: &mut String) {
        *key = key.split_off((self.prefix.len() + 1).min(key.len()));
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

    fn get_again(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.whole.get_again(&self.key(key))
    }

    fn get_range(&self, key: &str, offset: u64, length: usize) -> Result<Option<Vec<u8>>> {
        self.whole.get_range(&self.key(key), offset, length)
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        self.whole.size(&self.key(key))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        let mut entries = self.whole.list(&self.key(prefix))?;
        for entry in &mut entries {
            self.strip(&mut entry.key);
        }
        Ok(entries)
    }

    fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.whole.list_names(&self.key(prefix))
    }

    fn list_names_after(&self, prefix: &str, after: &str, most: usize) -> Result<Vec<String>> {
        self.whole.list_names_after(&self.key(prefix), after, most)
    }

    fn lists_at_once(&self) -> bool {
        self.whole.lists_at_once()
    }

    fn delete(&self, key: &str) -> Result<()> {
        self.whole.delete(&self.key(key))
    }

    fn settle(&self, prefix: &str) -> Result<()> {
        self.whole.settle(&self.key(prefix))
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

    fn preflight(&self, look: Look) -> Result<Vec<Unfit>> {
        self.whole.preflight(look)
    }

    fn probe_lock(&self, prefix: &str, keep: Duration) -> Result<Option<LockProbe>> {
        self.whole.probe_lock(&self.key(prefix), keep)
    }

    fn hidden(&self, prefix: &str) -> Result<Vec<Hidden>> {
        let mut hidden = self.whole.hidden(&self.key(prefix))?;
        for object in &mut hidden {
            self.strip(&mut object.key);
        }
        Ok(hidden)
    }
}
