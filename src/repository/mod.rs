//! The restic repository format, version 2: our engine.
//!
//! What we write, stock restic lists, checks, mounts and restores; what restic writes, we read. The format is
//! described in `doc/design.rst` of restic/restic.
//!
//! From the bottom up: [`id`], [`crypto`], [`keyfile`], [`compression`], [`chunker`]; [`pack`], [`index`], [`tree`]
//! (with [`name`] and [`mode`]), [`snapshot`], [`files`], [`config`]; and on top of them what is done with them.
//! [`lock`], [`verify`], [`retention`] and [`publish`], [`restore`], [`stream`], [`tar`] and [`ls`], [`check`], [`copy`], [`prune`].
//! The order of work is held by types: a [`Repository`] is open, an [`Indexed`] one can look up blobs.

pub mod archive;
pub mod blobs;
pub mod check;
pub mod chunker;
pub mod compression;
pub mod config;
pub mod copy;
pub mod crypto;
pub mod exclude;
pub mod files;
pub mod id;
pub mod index;
mod inode;
pub mod keyfile;
pub mod lock;
pub mod ls;
pub mod mode;
pub mod name;
pub mod pack;
pub mod parallel;
pub mod prune;
pub mod publish;
pub mod restore;
pub mod retention;
pub mod snapshot;
pub mod stream;
pub mod tar;
pub mod tree;
mod trees;
pub mod verify;

pub use blobs::Indexed;
pub use files::FileType;
pub use id::Id;
pub use keyfile::Cost;
pub use parallel::Workers;
pub use snapshot::Snapshot;

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::many::{ask_all, both};
use crate::storage::{Class, Entry, PutMode, PutOutcome, ReadFrom, SharedStorage};
use config::RepositoryConfig;
use crypto::Key;
use keyfile::KeyFile;
use std::fmt;

/// The key of the configuration in the storage.
const CONFIG: &str = "config";

/// An open repository: its master key is known.
#[derive(Clone)]
pub struct Repository {
    storage: SharedStorage,
    key: Key,
    config: RepositoryConfig,
}

/// Who creates a repository, for its key file.
#[derive(Debug, Clone, Default)]
pub struct Creator {
    /// The name of the machine.
    pub hostname: String,
    /// The name of the user.
    pub username: String,
}

impl Repository {
    /// Creates a repository on a storage that holds none.
    ///
    /// # Errors
    /// `store-unavailable`, `store-full`; `busy` if another process created one at the same moment.
    pub fn create(storage: SharedStorage, password: &str, cost: Cost, creator: Creator) -> Result<Self> {
        let failed = |error: &dyn fmt::Display| {
            Error::new(ErrorCode::Internal, format!("cannot create the repository: {error}"))
        };
        // The key first: a config without its key could never be opened. The key that a killed creator left is used, for
        // of two keys with one password restic takes any, and only one would open the config.
        let (key, written) = match find_key(&storage, &storage.list(FileType::Key.folder())?, password, |_| true)? {
            Some(key) => (key, None),
            None => {
                let key = Key::random().map_err(|error| failed(&error))?;
                let file = KeyFile::create(&key, password, cost, creator.hostname, creator.username)?;
                let json = serde_json::to_vec(&file).map_err(|error| failed(&error))?;
                let name = FileType::Key.key(&Id::of(&json));
                let _ = storage.put(&name, &json.into(), PutMode::CreateOnly, Class::Record)?;
                (key, Some(name))
            }
        };
        let config = RepositoryConfig::create()?;
        let plain = serde_json::to_vec(&config).map_err(|error| failed(&error))?;
        let sealed = key.seal(&plain).map_err(|error| failed(&error))?;
        match storage.put(CONFIG, &sealed.into(), PutMode::CreateOnly, Class::Record)? {
            PutOutcome::Written => Ok(Self { storage, key, config }),
            PutOutcome::Exists => {
                // The faster one may have used our key.
                let theirs = storage.get(CONFIG, ReadFrom::Anywhere)?.unwrap_or_default();
                if let Some(name) = written.filter(|_| !opens(&key, &theirs)) {
                    storage.delete(&name)?;
                }
                let message = format!("a repository appeared at {} while this one was created", storage.location());
                Err(Error::new(ErrorCode::Busy, message).hint("run the command again"))
            }
        }
    }

    /// Says whether the storage holds a repository.
    ///
    /// # Errors
    /// `store-unavailable`.
    pub fn exists(storage: &SharedStorage) -> Result<bool> {
        Ok(storage.size(CONFIG)?.is_some())
    }

    /// Opens a repository with its password.
    ///
    /// # Errors
    /// `no-repository`, `wrong-password`, `damaged`, `foreign-repository`, `store-unavailable`.
    pub fn open(storage: SharedStorage, password: &str) -> Result<Self> {
        let location = storage.location();
        let (names, sealed) = both(|| storage.list(FileType::Key.folder()), || storage.get(CONFIG, ReadFrom::Anywhere));
        let Some(sealed) = sealed? else {
            let error = Error::new(ErrorCode::NoRepository, format!("there is no repository at {location}"));
            return Err(error.hint("check --store and --environment, or run `holdpoint gate` once to create it"));
        };
        let mut password_fits = false;
        let key = find_key(&storage, &names?, password, |key| {
            password_fits = true;
            opens(key, &sealed)
        })?;
        let key = key.ok_or_else(|| {
            if password_fits {
                let message = format!("the config of the repository at {location} was altered or cut");
                return Error::new(ErrorCode::Damaged, message);
            }
            let message = format!("the password does not open the repository at {location}");
            Error::new(ErrorCode::WrongPassword, message)
                .hint("check HOLDPOINT_PASSWORD, HOLDPOINT_PASSWORD_FILE or HOLDPOINT_PASSWORD_COMMAND")
        })?;
        let mut sealed = sealed;
        let plain = key.open(&mut sealed).map_err(|error| {
            Error::new(ErrorCode::Damaged, format!("the config of the repository at {location} was altered or cut"))
                .caused_by(error)
        })?;
        let config = RepositoryConfig::parse(plain)?;
        Ok(Self { storage, key, config })
    }

    /// Returns the id of the repository.
    pub fn id(&self) -> Id {
        self.config.id
    }

    /// Returns the location for people, as `restic -r` takes it.
    pub fn location(&self) -> String {
        self.storage.location()
    }

    /// Returns the configuration.
    pub fn config(&self) -> &RepositoryConfig {
        &self.config
    }

    /// Returns the storage below.
    pub fn storage(&self) -> &SharedStorage {
        &self.storage
    }

    /// Returns how many threads read: more than there are cores where most of them wait for the store.
    pub fn readers(&self) -> usize {
        self.storage.parallelism().reads
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// Reads every snapshot, oldest first.
    ///
    /// # Errors
    /// `damaged`, naming the snapshot; `store-unavailable`.
    pub fn snapshots(&self) -> Result<Vec<(Id, Snapshot)>> {
        let mut snapshots: Vec<(Id, Snapshot)> = self.load_all(FileType::Snapshot, &Cancel::new())?;
        snapshots.sort_by_key(|(_, snapshot)| snapshot.time);
        Ok(snapshots)
    }
}

/// Tries the password on the key files `names`, and returns the first key that it opens and that `fits`.
fn find_key(
    storage: &SharedStorage,
    names: &[Entry],
    password: &str,
    mut fits: impl FnMut(&Key) -> bool,
) -> Result<Option<Key>> {
    let mut broken = None;
    let files =
        ask_all(storage.parallelism().reads, names, &Cancel::new(), |name| storage.get(&name.key, ReadFrom::Anywhere))?;
    for json in files.into_iter().flatten() {
        let opened = serde_json::from_slice::<KeyFile>(&json)
            .map_err(|error| Error::new(ErrorCode::Damaged, "a key file is not what it should be").caused_by(error))
            .and_then(|file| file.open(password));
        match opened {
            Ok(Some(key)) if fits(&key) => return Ok(Some(key)),
            Ok(_) => {}
            Err(error) => broken = Some(error),
        }
    }
    // A damaged file may be the one that this password opens: damage speaks before a wrong password.
    broken.map_or(Ok(None), Err)
}

fn opens(key: &Key, sealed: &[u8]) -> bool {
    key.open(&mut sealed.to_vec()).is_ok()
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository").field("location", &self.location()).field("id", &self.config.id).finish()
    }
}
