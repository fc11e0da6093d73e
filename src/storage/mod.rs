//! Bytes at rest: one trait, its drivers, and wrappers around it.
//!
//! A storage maps keys such as `shop/production/repository/config` to immutable or overwritable objects. Calls block;
//! every method may be called from many threads at once.

pub mod cache;
pub mod local;
pub mod many;
pub mod s3;
mod setup;
mod sub;
pub mod temporary;
pub mod transfer;

pub use local::LocalStorage;
pub use s3::S3Storage;
pub use setup::{Hidden, HiddenBy, LockProbe, Look, Unfit, UnfitKind};
pub use sub::SubStorage;

use crate::error::Result;
use bytes::Bytes;
use jiff::Timestamp;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// What may happen to an object that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutMode {
    /// The object must not exist; of several writers at once exactly one succeeds.
    CreateOnly,
    /// The object is replaced in one step; readers see the old or the new one, whole.
    Overwrite,
}

/// What an object is for: how long it stays, and how fast it must be had again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// A pack of file content: most of the bytes, and seldom read. Kept, and may lie in a colder storage class.
    Data,
    /// What is needed to find and to trust the data: index, trees, snapshots, keys, manifests, events. Kept.
    Record,
    /// What we replace or delete ourselves: locks, leases, hints, pages. Never kept from being deleted.
    Transient,
}

/// How long objects are kept from being deleted, by the storage itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockTerms {
    /// Who may lift it.
    pub mode: LockMode,
    /// How long, from the last snapshot that needs the object.
    pub retain: Duration,
}

impl LockTerms {
    /// Returns how long a lock is set for: a quarter longer than it must last, so that what is needed again and again is
    /// extended once a quarter of that time and not every time.
    pub fn lasting(&self) -> Duration {
        self.retain.saturating_add(self.retain / 4)
    }
}

/// The modes of S3 Object Lock, the stricter one last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// Whoever has the right to bypass it may lift it.
    Governance,
    /// Nobody may lift it.
    Compliance,
}

/// How many requests may be under way at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parallelism {
    /// Packs that are written.
    pub uploads: usize,
    /// Objects that are read.
    pub reads: usize,
}

/// Whether a [`PutMode::CreateOnly`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum PutOutcome {
    /// The object was written and is durable.
    Written,
    /// The object existed; nothing was changed.
    Exists,
}

/// Where the bytes of a read may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFrom {
    /// Any cache on the way may answer.
    Anywhere,
    /// The medium itself must answer: caches of this machine are dropped first. For read-back.
    Medium,
}

/// One object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, relative to the storage that listed it.
    pub key: String,
    /// The size in bytes.
    pub size: u64,
    /// When it was last written, by the storage's clock.
    pub modified: Timestamp,
}

/// A place for objects. Keys are `/`-separated, non-empty, and have no empty, `.` or `..` component.
pub trait Storage: Send + Sync + Debug {
    /// Returns the location for people, without user information or secrets.
    fn location(&self) -> String;

    /// Returns the location as `restic -r` takes it.
    fn restic_location(&self) -> String {
        self.location()
    }

    /// Returns how many requests may be under way at once; more only wait.
    fn parallelism(&self) -> Parallelism;

    /// Writes an object and returns once it is durable; on failure nothing is visible under `key`.
    ///
    /// # Errors
    /// `store-full`, `store-refused` or `store-unavailable`, naming the key.
    fn put(&self, key: &str, data: &Bytes, mode: PutMode, class: Class) -> Result<PutOutcome>;

    /// Reads a whole object; `None` if it does not exist.
    ///
    /// # Errors
    /// `store-unavailable`, naming the key.
    fn get(&self, key: &str, from: ReadFrom) -> Result<Option<Vec<u8>>>;

    /// Reads a whole object that later runs will want again, such as a pack of trees: a cache on the way keeps it.
    ///
    /// # Errors
    /// As [`Storage::get`].
    fn get_again(&self, key: &str) -> Result<Option<Vec<u8>>> {
        self.get(key, ReadFrom::Anywhere)
    }

    /// Reads `length` bytes from `offset`; `None` if the object does not exist.
    ///
    /// # Errors
    /// `damaged` if the object is shorter than that, `store-unavailable` for all else.
    fn get_range(&self, key: &str, offset: u64, length: usize) -> Result<Option<Vec<u8>>>;

    /// Returns the size of an object in bytes; `None` if it does not exist.
    ///
    /// # Errors
    /// `store-unavailable`, naming the key.
    fn size(&self, key: &str) -> Result<Option<u64>>;

    /// Lists every object whose key starts with `prefix` followed by `/`, or all of them for `""`; sorted by key.
    ///
    /// # Errors
    /// `store-unavailable`, naming the prefix.
    fn list(&self, prefix: &str) -> Result<Vec<Entry>>;

    /// Returns the names directly below `prefix`, sorted: folders end with `/`, objects do not.
    ///
    /// # Errors
    /// `store-unavailable`, naming the prefix.
    fn list_names(&self, prefix: &str) -> Result<Vec<String>>;

    /// Returns the first names directly below `prefix` that sort after `after`, at most `most`; as [`Storage::list_names`].
    ///
    /// # Errors
    /// `store-unavailable`, naming the prefix.
    fn list_names_after(&self, prefix: &str, after: &str, most: usize) -> Result<Vec<String>> {
        let names = self.list_names(prefix)?;
        Ok(names.into_iter().filter(|name| name.as_str() > after).take(most).collect())
    }

    /// Says whether one listing shows a folder of few objects as it was at one moment. A directory may show neither what
    /// goes nor what comes while it is read.
    fn lists_at_once(&self) -> bool {
        false
    }

    /// Deletes an object; one that does not exist is no error.
    ///
    /// # Errors
    /// `store-unavailable`, naming the key.
    fn delete(&self, key: &str) -> Result<()>;

    /// Returns once what was deleted directly below `prefix` stays deleted, even if the machine stops at once.
    ///
    /// # Errors
    /// `store-unavailable`, naming the prefix.
    fn settle(&self, _prefix: &str) -> Result<()> {
        Ok(())
    }

    /// Returns the terms under which objects of the classes that are kept are locked; `None` where nothing is.
    fn lock_terms(&self) -> Option<LockTerms> {
        None
    }

    /// Returns until when an object is locked in the mode of [`Storage::lock_terms`] or a stricter one; `None` if it is not.
    ///
    /// # Errors
    /// `store-unavailable`, naming the key.
    fn locked_until(&self, _key: &str) -> Result<Option<Timestamp>> {
        Ok(None)
    }

    /// Locks an object, or extends its lock, under [`Storage::lock_terms`]; never shortens it.
    ///
    /// # Errors
    /// `store-refused` or `store-unavailable`, naming the key.
    fn lock_until(&self, _key: &str, _until: Timestamp) -> Result<()> {
        Ok(())
    }

    /// Looks at how the storage is set up, and returns what makes it unfit for what its settings ask of it.
    ///
    /// # Errors
    /// `store-refused` or `store-unavailable`: it cannot be asked.
    fn preflight(&self, _look: Look) -> Result<Vec<Unfit>> {
        Ok(Vec::new())
    }

    /// Writes an object whose key begins with `prefix`, locks it for `keep`, and tries to delete it for good; `None` where
    /// nothing is locked. Earlier ones of these whose locks have run out are removed.
    ///
    /// # Errors
    /// `store-refused` or `store-unavailable`: it could not be tried.
    fn probe_lock(&self, _prefix: &str, _keep: Duration) -> Result<Option<LockProbe>> {
        Ok(None)
    }

    /// Lists what the storage holds below `prefix` without showing it: deleted or overwritten, and still there.
    ///
    /// # Errors
    /// `store-refused` or `store-unavailable`, naming the prefix.
    fn hidden(&self, _prefix: &str) -> Result<Vec<Hidden>> {
        Ok(Vec::new())
    }
}

/// A storage as the rooms share it.
pub type SharedStorage = Arc<dyn Storage>;
