//! A directory as a storage.
//!
//! An object is written to a temporary file in a folder of its own (`.tmp`), synced, then linked or renamed into
//! place and the directory synced, so that a crash at any instant leaves the whole object or none.

use super::{Class, Entry, Parallelism, PutMode, PutOutcome, ReadFrom, Storage, temporary};
use crate::error::{Error, ErrorCode, IoContext, Result};
use bytes::Bytes;
use jiff::Timestamp;
use rustix::fs::{Advice, fadvise};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Once;

/// Where unfinished objects are; never listed.
const TEMPORARY: &str = ".tmp";
/// Packs that are written at once: two, so that one can be hashed while the other waits for the disk.
const UPLOADS: usize = 2;
/// How their names begin.
const PREFIX: &str = "put-";

/// A directory whose files are the objects.
#[derive(Debug)]
pub struct LocalStorage {
    root: PathBuf,
    /// Done once something was written: what killed writers left is removed before.
    cleaned: Once,
}

impl LocalStorage {
    /// Opens a directory, which need not exist until something is written.
    ///
    /// # Errors
    /// The current directory cannot be told, which a relative `root` needs.
    pub fn new(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref();
        let root = std::path::absolute(root).io_context(|| format!("cannot resolve {}", root.display()))?;
        Ok(Self { root, cleaned: Once::new() })
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    /// Writes and syncs the temporary file of an object, its directories made first.
    fn stage(&self, key: &str, data: &[u8]) -> std::io::Result<(tempfile::NamedTempFile, PathBuf)> {
        let path = self.path(key);
        let parent = path.parent().unwrap_or(&self.root).to_owned();
        create_dirs(&parent)?;
        let temporary = self.root.join(TEMPORARY);
        create_dirs(&temporary)?;
        self.cleaned.call_once(|| temporary::remove_abandoned(&temporary, PREFIX));
        let mut file = temporary::create(&temporary, PREFIX, 0o600)?;
        file.write_all(data)?;
        file.as_file().sync_data()?;
        Ok((file, parent))
    }
}

impl Storage for LocalStorage {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn parallelism(&self) -> Parallelism {
        let reads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16);
        Parallelism { uploads: UPLOADS, reads }
    }

    fn put(&self, key: &str, data: &Bytes, mode: PutMode, _class: Class) -> Result<PutOutcome> {
        let path = self.path(key);
        let write = || -> std::io::Result<PutOutcome> {
            let (file, parent) = self.stage(key, data)?;
            match mode {
                PutMode::Overwrite => {
                    file.persist(&path).map_err(|error| error.error)?;
                }
                PutMode::CreateOnly => match file.persist_noclobber(&path) {
                    Ok(_) => {}
                    Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return Ok(PutOutcome::Exists),
                    Err(error) => return Err(error.error),
                },
            }
            if let Err(error) = File::open(parent).and_then(|parent| parent.sync_all()) {
                // What may not be durable must not be visible either.
                fs::remove_file(&path)?;
                return Err(error);
            }
            Ok(PutOutcome::Written)
        };
        write().map_err(|error| unavailable("write", &path, error))
    }

    fn get(&self, key: &str, from: ReadFrom) -> Result<Option<Vec<u8>>> {
        let path = self.path(key);
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&path)?;
            if from == ReadFrom::Medium {
                // Dirty pages cannot be dropped; `put` synced them.
                fadvise(&file, 0, None, Advice::DontNeed)?;
            }
            let size = usize::try_from(file.metadata()?.len()).unwrap_or(0);
            let mut data = Vec::with_capacity(size + 1);
            file.read_to_end(&mut data)?;
            Ok(data)
        };
        found(read(), |error| unavailable("read", &path, error))
    }

    fn get_range(&self, key: &str, offset: u64, length: usize) -> Result<Option<Vec<u8>>> {
        let path = self.path(key);
        let read = || -> std::io::Result<Vec<u8>> {
            let file = File::open(&path)?;
            let mut data = vec![0; length];
            file.read_exact_at(&mut data, offset)?;
            Ok(data)
        };
        found(read(), |error| match error.kind() {
            ErrorKind::UnexpectedEof => Error::new(
                ErrorCode::Damaged,
                format!("{} is shorter than its index says ({length} bytes at {offset})", path.display()),
            ),
            _ => unavailable("read", &path, error),
        })
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        let path = self.path(key);
        let metadata = found(fs::metadata(&path), |error| unavailable("read", &path, error))?;
        Ok(metadata.filter(fs::Metadata::is_file).map(|metadata| metadata.len()))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let mut folders = vec![prefix.to_owned()];
        while let Some(folder) = folders.pop() {
            for name in self.list_names(&folder)? {
                let key = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                if let Some(folder) = key.strip_suffix('/') {
                    folders.push(folder.to_owned());
                    continue;
                }
                let path = self.path(&key);
                let metadata = found(fs::metadata(&path), |error| unavailable("read", &path, error))?;
                // An object that was deleted while we listed is not there.
                let Some(metadata) = metadata else { continue };
                let modified = metadata.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
                entries.push(Entry { key, size: metadata.len(), modified: modified.unwrap_or(Timestamp::UNIX_EPOCH) });
            }
        }
        entries.sort_unstable_by(|one, two| one.key.cmp(&two.key));
        Ok(entries)
    }

    fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        let path = self.path(prefix);
        let read = || -> std::io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                // Our keys are UTF-8; a name that is not was not put here by us.
                let Ok(name) = entry.file_name().into_string() else { continue };
                if name == TEMPORARY {
                    continue;
                }
                let folder = entry.file_type()?.is_dir();
                names.push(if folder { name + "/" } else { name });
            }
            names.sort_unstable();
            Ok(names)
        };
        Ok(found(read(), |error| unavailable("list", &path, error))?.unwrap_or_default())
    }

    fn delete(&self, key: &str) -> Result<()> {
        let path = self.path(key);
        found(fs::remove_file(&path), |error| unavailable("delete", &path, error)).map(drop)
    }

    fn settle(&self, prefix: &str) -> Result<()> {
        let path = self.path(prefix);
        let synced = File::open(&path).and_then(|folder| folder.sync_all());
        found(synced, |error| unavailable("sync", &path, error)).map(drop)
    }
}

/// Creates a directory, its parents, and their entries on the medium.
fn create_dirs(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_dirs(parent)?;
        match fs::DirBuilder::new().create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => File::open(parent)?.sync_all()?,
        }
    }
    Ok(())
}

/// Turns "does not exist" into `None`.
fn found<T>(result: std::io::Result<T>, explain: impl FnOnce(std::io::Error) -> Error) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(explain(error)),
    }
}

fn unavailable(verb: &str, path: &Path, error: std::io::Error) -> Error {
    let message = format!("cannot {verb} {}", path.display());
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Error::new(ErrorCode::StoreFull, message)
            .caused_by(error)
            .hint("free some space where the store is, or name another store with --store"),
        _ => Error::new(ErrorCode::StoreUnavailable, message).caused_by(error),
    }
}
