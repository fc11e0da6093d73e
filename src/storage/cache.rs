//! A cache in front of a remote store: a directory with its index files, snapshots and tree packs.
//!
//! These objects are named by the SHA-256 of what they hold, so whatever the directory holds is compared with its name
//! before it is believed: a broken cache is slow, never wrong. Only reads that any cache may answer look here
//! ([`ReadFrom::Anywhere`]). Several runs may use one directory at once; a run that is killed leaves at most a temporary
//! file behind. No failure of the directory is a failure of the run.

mod directory;

pub use directory::{CacheDirectory, DEFAULT_SIZE};

use super::{
    Class, Entry, Hidden, LockProbe, LockTerms, Look, Parallelism, PutMode, PutOutcome, ReadFrom, SharedStorage,
    Storage, Unfit,
};
use crate::error::Result;
use bytes::Bytes;
use jiff::Timestamp;
use std::time::Duration;

/// How many digits the name of an object has that is named by its SHA-256.
const NAME: usize = 64;

/// A storage whose index files, snapshots and tree packs are kept at hand.
#[derive(Debug)]
pub struct CachedStorage {
    whole: SharedStorage,
    directory: CacheDirectory,
}

impl CachedStorage {
    /// Puts `directory` in front of `whole`.
    pub fn new(whole: SharedStorage, directory: CacheDirectory) -> Self {
        Self { whole, directory }
    }

    /// Reads an object from the directory or, failing that, from the store; keeps what the store gave if `keeps` says so.
    fn read(&self, key: &str, keeps: impl FnOnce(Kind) -> bool) -> Result<Option<Vec<u8>>> {
        let Some((kind, name)) = keepable(key) else { return self.whole.get(key, ReadFrom::Anywhere) };
        if let Some(data) = self.directory.find(name) {
            return Ok(Some(data));
        }
        let data = self.whole.get(key, ReadFrom::Anywhere)?;
        if let Some(data) = data.as_ref().filter(|_| keeps(kind)) {
            self.directory.keep(name, data);
        }
        Ok(data)
    }
}

/// What an object is, as far as its key tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// An index file or a snapshot: small, and read by every run.
    File,
    /// A pack of trees or of content.
    Pack,
}

/// Says whether a name is a SHA-256.
fn is_digest(name: &str) -> bool {
    name.len() == NAME && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Returns the kind and the name of an object that may be kept, whatever prefix the repository has in the store.
fn keepable(key: &str) -> Option<(Kind, &str)> {
    let mut parts = key.rsplit('/');
    let name = parts.next()?;
    let kind = match parts.next()? {
        "index" | "snapshots" => Kind::File,
        folder if name.get(..2) == Some(folder) && parts.next() == Some("data") => Kind::Pack,
        _ => return None,
    };
    is_digest(name).then_some((kind, name))
}

impl Storage for CachedStorage {
    fn location(&self) -> String {
        self.whole.location()
    }

    fn restic_location(&self) -> String {
        self.whole.restic_location()
    }

    fn parallelism(&self) -> Parallelism {
        self.whole.parallelism()
    }

    fn put(&self, key: &str, data: &Bytes, mode: PutMode, class: Class) -> Result<PutOutcome> {
        let outcome = self.whole.put(key, data, mode, class)?;
        if class == Class::Record
            && let Some((_, name)) = keepable(key)
        {
            self.directory.keep(name, data);
        }
        Ok(outcome)
    }

    fn get(&self, key: &str, from: ReadFrom) -> Result<Option<Vec<u8>>> {
        match from {
            ReadFrom::Medium => self.whole.get(key, from),
            // A pack may be one of content, which is too much to keep.
            ReadFrom::Anywhere => self.read(key, |kind| kind == Kind::File),
        }
    }

    fn get_again(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.read(key, |_| true)
    }

    fn get_range(&self, key: &str, offset: u64, length: usize) -> Result<Option<Vec<u8>>> {
        self.whole.get_range(key, offset, length)
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        self.whole.size(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        self.whole.list(prefix)
    }

    fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.whole.list_names(prefix)
    }

    fn list_names_after(&self, prefix: &str, after: &str, most: usize) -> Result<Vec<String>> {
        self.whole.list_names_after(prefix, after, most)
    }

    fn lists_at_once(&self) -> bool {
        self.whole.lists_at_once()
    }

    fn delete(&self, key: &str) -> Result<()> {
        if let Some((_, name)) = keepable(key) {
            self.directory.forget(name);
        }
        self.whole.delete(key)
    }

    fn settle(&self, prefix: &str) -> Result<()> {
        self.whole.settle(prefix)
    }

    fn lock_terms(&self) -> Option<LockTerms> {
        self.whole.lock_terms()
    }

    fn locked_until(&self, key: &str) -> Result<Option<Timestamp>> {
        self.whole.locked_until(key)
    }

    fn lock_until(&self, key: &str, until: Timestamp) -> Result<()> {
        self.whole.lock_until(key, until)
    }

    fn preflight(&self, look: Look) -> Result<Vec<Unfit>> {
        self.whole.preflight(look)
    }

    fn probe_lock(&self, prefix: &str, keep: Duration) -> Result<Option<LockProbe>> {
        self.whole.probe_lock(prefix, keep)
    }

    fn hidden(&self, prefix: &str) -> Result<Vec<Hidden>> {
        self.whole.hidden(prefix)
    }
}
