//! A storage that shows every access to a test, which may make it fail.

use bytes::Bytes;
use holdpoint::error::Result;
use holdpoint::storage::{Class, Entry, LocalStorage, Parallelism, PutMode, PutOutcome, ReadFrom, Storage};
use std::fmt;
use std::path::Path;

type Watch = Box<dyn Fn(&str, &str) -> Result<()> + Send + Sync>;

/// A directory as a storage, and who sees what happens to it: `read`, `write`, `list` or `delete`, and the key; and
/// `written` once something is there, so that its answer can be lost.
pub struct Watched {
    inner: LocalStorage,
    watch: Watch,
}

impl Watched {
    /// Watches a directory.
    pub fn new(root: &Path, watch: impl Fn(&str, &str) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { inner: LocalStorage::new(root).unwrap(), watch: Box::new(watch) }
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
        self.inner.delete(key)
    }
}
