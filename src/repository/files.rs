//! The repository's files beside packs: sealed JSON, named by the SHA-256 of what is stored.

use super::Repository;
use super::compression;
use super::crypto;
use super::id::Id;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::many::ask_all;
use crate::storage::{Class, PutMode, ReadFrom};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The first byte of a file whose JSON is compressed.
const COMPRESSED: u8 = 2;

/// The folders of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileType {
    /// Packs, in a sub-folder of the first byte of their name.
    Pack,
    /// Index files.
    Index,
    /// Key files.
    Key,
    /// Locks.
    Lock,
    /// Snapshots.
    Snapshot,
}

impl FileType {
    /// Returns the folder.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Pack => "data",
            Self::Index => "index",
            Self::Key => "keys",
            Self::Lock => "locks",
            Self::Snapshot => "snapshots",
        }
    }

    /// Returns what people call such a file.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Pack => "pack",
            Self::Index => "index",
            Self::Key => "key",
            Self::Lock => "lock",
            Self::Snapshot => "snapshot",
        }
    }

    /// Returns the key of a file in the storage.
    pub fn key(self, id: &Id) -> String {
        match self {
            Self::Pack => {
                let id = id.to_string();
                format!("data/{}/{id}", id.get(..2).unwrap_or_default())
            }
            _ => format!("{}/{id}", self.folder()),
        }
    }
}

impl Repository {
    /// Lists the files of a type with their sizes in bytes; names that are no ids are passed over, as restic does.
    ///
    /// # Errors
    /// `store-unavailable`.
    pub fn list(&self, kind: FileType) -> Result<Vec<(Id, u64)>> {
        let entries = self.storage().list(kind.folder())?;
        let id = |key: &str| Id::parse(key.rsplit('/').next()?).ok();
        Ok(entries.into_iter().filter_map(|entry| Some((id(&entry.key)?, entry.size))).collect())
    }

    /// Reads a file as it is stored and compares it with its name; `None` if it does not exist.
    ///
    /// # Errors
    /// `damaged` if it is not what its name says, `store-unavailable`.
    pub fn read_file(&self, kind: FileType, id: &Id, from: ReadFrom) -> Result<Option<Vec<u8>>> {
        let Some(stored) = self.storage().get(&kind.key(id), from)? else { return Ok(None) };
        if Id::of(&stored) == *id { Ok(Some(stored)) } else { Err(altered(kind, id)) }
    }

    /// Reads and opens a sealed JSON file; `None` if it does not exist.
    ///
    /// # Errors
    /// `damaged` if it was altered or is not what it should be, `store-unavailable`.
    pub fn load_json<T: DeserializeOwned>(&self, kind: FileType, id: &Id, from: ReadFrom) -> Result<Option<T>> {
        let Some(stored) = self.read_file(kind, id, from)? else { return Ok(None) };
        self.open_file(kind, id, stored).map(Some)
    }

    /// Reads and opens a sealed JSON file that was listed with `size` bytes, from wherever it is at hand; `None` if it does not
    /// exist. What a cache still has whole may be cut in the store: that shows in the size.
    ///
    /// # Errors
    /// As [`Repository::load_json`].
    pub(super) fn load_sized<T: DeserializeOwned>(&self, kind: FileType, id: &Id, size: u64) -> Result<Option<T>> {
        let Some(stored) = self.read_file(kind, id, ReadFrom::Anywhere)? else { return Ok(None) };
        if stored.len() as u64 != size {
            return Err(altered(kind, id));
        }
        self.open_file(kind, id, stored).map(Some)
    }

    fn open_file<T: DeserializeOwned>(&self, kind: FileType, id: &Id, mut stored: Vec<u8>) -> Result<T> {
        let plain = self.key().open(&mut stored).map_err(|error| altered(kind, id).caused_by(error))?;
        parse_json(plain).map_err(|error| {
            Error::new(ErrorCode::Damaged, format!("the {} {id} is not what it should be", kind.noun()))
                .caused_by(error)
        })
    }

    /// Reads all sealed JSON files of a type, many at once, in any order; one that is removed meanwhile is left out.
    ///
    /// # Errors
    /// As [`Repository::load_json`]; a cancellation.
    pub fn load_all<T: DeserializeOwned + Send>(&self, kind: FileType, cancel: &Cancel) -> Result<Vec<(Id, T)>> {
        let ids = self.list(kind)?;
        let files = ask_all(self.storage().parallelism().reads, &ids, cancel, |(id, size)| {
            Ok(self.load_sized(kind, id, *size)?.map(|value| (*id, value)))
        })?;
        Ok(files.into_iter().flatten().collect())
    }

    /// Opens a sealed value that is not a file of the repository.
    ///
    /// # Errors
    /// `damaged` if it was altered or is not what it should be.
    pub fn open_json<T: DeserializeOwned>(&self, mut sealed: Vec<u8>) -> Result<T> {
        let damaged = || Error::new(ErrorCode::Damaged, "what was sealed was altered or cut");
        let plain = self.key().open(&mut sealed).map_err(|error| damaged().caused_by(error))?;
        parse_json(plain)
    }

    /// Seals a value as files of the repository are.
    ///
    /// # Errors
    /// `internal`: it cannot be written, or no random numbers.
    pub fn seal_json<T: Serialize>(&self, value: &T) -> Result<Vec<u8>> {
        self.seal_plain(&plain_file(value)?)
    }

    fn seal_plain(&self, plain: &[u8]) -> Result<Vec<u8>> {
        let failed = |error| Error::new(ErrorCode::Internal, "cannot seal a value").caused_by(error);
        self.key().seal(plain).map_err(failed)
    }

    /// Seals and stores a value as a file, and returns its id.
    ///
    /// # Errors
    /// `store-full` or `store-unavailable`.
    pub fn save_json<T: Serialize>(&self, kind: FileType, value: &T) -> Result<Id> {
        let (id, sealed) = self.seal_file(kind, value)?;
        self.put_file(kind, &id, sealed)?;
        Ok(id)
    }

    /// Seals and stores a value as a file of exactly `size` bytes where it takes less; returns its id and size.
    ///
    /// # Errors
    /// `store-full` or `store-unavailable`.
    pub(super) fn save_padded<T: Serialize>(&self, kind: FileType, value: &T, size: u64) -> Result<(Id, u64)> {
        let mut plain = plain_file(value)?;
        let missing = size.saturating_sub((plain.len() + crypto::OVERHEAD) as u64);
        compression::pad(&mut plain, usize::try_from(missing).unwrap_or(0));
        let sealed = self.seal_plain(&plain)?;
        let (id, size) = (Id::of(&sealed), sealed.len() as u64);
        self.put_file(kind, &id, sealed)?;
        Ok((id, size))
    }

    /// Seals a value as a file, and returns its id and what is to be stored.
    pub(super) fn seal_file<T: Serialize>(&self, kind: FileType, value: &T) -> Result<(Id, Vec<u8>)> {
        let failed = |error: Error| error.under(ErrorCode::Internal, format!("cannot write a {}", kind.noun()));
        let sealed = self.seal_json(value).map_err(failed)?;
        Ok((Id::of(&sealed), sealed))
    }

    /// Stores a sealed file.
    pub(super) fn put_file(&self, kind: FileType, id: &Id, sealed: Vec<u8>) -> Result<()> {
        let class = if kind == FileType::Lock { Class::Transient } else { Class::Record };
        // The random initialisation vector makes every sealed file another one: it cannot exist before.
        self.storage().put(&kind.key(id), &sealed.into(), PutMode::CreateOnly, class).map(drop)
    }
}

/// Returns how many bytes a value takes as a stored file.
pub(super) fn stored_size<T: Serialize>(value: &T) -> Result<u64> {
    Ok((plain_file(value)?.len() + crypto::OVERHEAD) as u64)
}

/// Returns a value as what is sealed of it.
fn plain_file<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let failed = |error| Error::new(ErrorCode::Internal, "cannot write a value").caused_by(error);
    let json = serde_json::to_vec(value).map_err(failed)?;
    let mut plain = vec![COMPRESSED];
    plain.extend(compression::compress(&json)?);
    Ok(plain)
}

/// Reads the opened content of a sealed file.
fn parse_json<T: DeserializeOwned>(plain: &[u8]) -> Result<T> {
    let decompressed;
    let json: &[u8] = match plain.split_first() {
        Some((&COMPRESSED, rest)) => {
            decompressed = compression::decompress_file(rest)?;
            &decompressed
        }
        _ => plain,
    };
    serde_json::from_slice(json)
        .map_err(|error| Error::new(ErrorCode::Damaged, "it is not the JSON that it should be").caused_by(error))
}

/// Returns the error for a stored file that is not what its name says.
pub fn altered(kind: FileType, id: &Id) -> Error {
    Error::new(ErrorCode::Damaged, format!("the {} {id} was altered or cut", kind.noun()))
        .hint("run `holdpoint check --read-data` to find out what else is damaged")
}
