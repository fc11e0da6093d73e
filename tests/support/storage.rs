//! A storage that shows every access to a test, which may make it fail.

use bytes::Bytes;
use holdpoint::error::Result;
use holdpoint::storage::{
    Class, Entry, LocalStorage, LockMode, LockTerms, Parallelism, PutMode, PutOutcome, ReadFrom, Storage,
};
use jiff::Timestamp;
use std::fmt;
use std::path::Path;
use std::time::Duration;

type LockedUntil = Box<dyn Fn(&str) -> Option<Timestamp> + Send + Sync>;
type Watch = Box<dyn Fn(&str, &str) -> Result<()> + Send + Sync>;

/// A directory as a storage, and who sees what happens to it: `read`, `write`, `list` or `delete`, and the key; and
/// `written` or `deleted` once it is done, so that its answer can be lost.
pub struct Watched {
    inner: LocalStorage,
    watch: Watch,
    locked_until: Option<LockedUntil>,
}

impl Watched {
    /// Watches a directory.
    pub fn new(root: &Path, watch: impl Fn(&str, &str) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { inner: LocalStorage::new(root).unwrap(), watch: Box::new(watch), locked_until: None }
    }

    /// Says until when objects are locked, as a storage that locks would.
    #[must_use]
    pub fn locking(self, until: impl Fn(&str) -> Option<Timestamp> + Send + Sync + 'static) -> Self {
        Self { locked_until: Some(Box::new(until)), ..self }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl Storage for Watched {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn parallelism(&self) -> Parallelism {
        self.inner.parallelism()
    }

    fn put(&self, key: &str, data: &Bytes, mode: PutMode, class: Class) -> Result<PutOutcome> {
        (self.watch)("write", key)?;
        let outcome = self.inner.put(key, data, mode, class)?;
        (self.watch)("written", key)?;
        Ok(outcome)
    }

    fn get(&self, key: &str, from: ReadFrom) -> Result<Option<Vec<u8>>> {
        (self.watch)("read", key)?;
        self.inner.get(key, from)
    }

    fn get_range(&self, key: &str, offset: u64, length: usize) -> Result<Option<Vec<u8>>> {
        (self.watch)("read", key)?;
        self.inner.get_range(key, offset, length)
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        (self.watch)("read", key)?;
        self.inner.size(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        (self.watch)("list", prefix)?;
        self.inner.list(prefix)
    }

    fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        (self.watch)("list", prefix)?;
        self.inner.list_names(prefix)
    }

    fn delete(&self, key: &str) -> Result<()> {
        (self.watch)("delete", key)?;
        self.inner.delete(key)?;
        (self.watch)("deleted", key)
    }

    fn lock_terms(&self) -> Option<LockTerms> {
        self.locked_until.as_ref().map(|_| LockTerms { mode: LockMode::Governance, retain: Duration::from_secs(3600) })
    }

    fn locked_until(&self, key: &str) -> Result<Option<Timestamp>> {
        Ok(self.locked_until.as_ref().and_then(|until| until(key)))
    }
}

/// Removes every lock of a repository, as whoever takes them for stale does; several threads may at once.
pub fn remove_locks(repository: &Path) {
    for lock in std::fs::read_dir(repository.join("locks")).unwrap() {
        match std::fs::remove_file(lock.unwrap().path()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            result => result.unwrap(),
        }
    }
}
