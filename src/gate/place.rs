//! Where a run keeps its snapshots and records: the store, and the part of it for one application and environment.

use super::stores::{self, Opened};
use crate::cancel::Cancel;
use crate::config::{BucketConfig, Config, Text};
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::model::finding::Finding;
use crate::model::release_id::path_component;
use crate::repository::keyfile::Cost;
use crate::repository::{Creator, Repository};
use crate::storage::s3::ResticLocation;
use crate::storage::{Look, SharedStorage, SubStorage, temporary};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder of the embedded store and its key, in the working tree.
pub const FOLDER: &str = ".holdpoint";

/// How a repository's password becomes known.
#[derive(Debug, Clone)]
pub enum Password {
    /// The random key of the embedded store, in this file.
    KeyFile(PathBuf),
    /// Given by the environment or the configuration.
    Given(Secret),
}

/// A text that is not shown.
#[derive(Clone)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What names a place: all that the caller knows.
#[derive(Debug, Clone)]
pub struct Naming {
    /// `--store` or `HOLDPOINT_STORE`.
    pub store: Option<String>,
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// The top of the working tree, where the embedded store is.
    pub top: PathBuf,
    /// The workspace of a detected CI system, which dies with its runner.
    pub ci_workspace: Option<PathBuf>,
    /// `HOLDPOINT_PASSWORD`, or what `HOLDPOINT_PASSWORD_FILE` or `HOLDPOINT_PASSWORD_COMMAND` gave.
    pub password: Option<Secret>,
}

/// One application in one environment, in a store.
#[derive(Debug, Clone)]
pub struct Place {
    /// The whole store.
    store: Opened,
    /// `APPLICATION/ENVIRONMENT`, each percent-encoded.
    prefix: String,
    password: Password,
    /// What the caller may want to know, such as why there is no cache.
    note: Option<String>,
}

impl Place {
    /// Finds the place that `naming` and the configuration name; nothing is written. Where `naming` names a copy that the
    /// configuration knows, the settings are those of the copy.
    ///
    /// # Errors
    /// `usage`: no password for a named store, an embedded store that would die with a CI runner, or a kind of
    /// location that this version does not know.
    pub fn find(naming: &Naming, config: &Config, cancel: &Cancel) -> Result<Self> {
        let configured = config.store.location.as_ref().map(Text::resolve).transpose()?;
        let embedded = || naming.top.join(FOLDER).join("store").to_string_lossy().into_owned();
        let location = naming.store.clone().or(configured).unwrap_or_else(embedded);
        let bucket = named_copy(naming.store.as_deref(), config, cancel).unwrap_or(&config.store.bucket);
        let opened = stores::open(&location, bucket, cancel)?;
        let (store, note) = stores::cached(opened, &config.store.cache);
        let directory = store.directory.as_deref();
        let key = directory.and_then(embedded_key);
        if let (Some(_), Some(directory), Some(workspace)) = (&key, directory, &naming.ci_workspace)
            && (directory.starts_with(workspace)
                || workspace.canonicalize().is_ok_and(|workspace| directory.starts_with(workspace)))
        {
            let message = format!("the embedded store {} would die with this CI runner", directory.display());
            return Err(Error::new(ErrorCode::Usage, message).hint(
                "name a store that outlives the job: --store LOCATION or HOLDPOINT_STORE, with HOLDPOINT_PASSWORD",
            ));
        }
        let password = match (key, &naming.password) {
            // A password that is set for another store does not open one that has a key.
            (Some(key), _) if key.exists() => Password::KeyFile(key),
            (_, Some(password)) => Password::Given(password.clone()),
            (Some(key), None) => Password::KeyFile(key),
            (None, None) => {
                let message = format!("no password for the store {}", store.storage.location());
                return Err(Error::new(ErrorCode::Usage, message)
                    .hint("set HOLDPOINT_PASSWORD, HOLDPOINT_PASSWORD_FILE or HOLDPOINT_PASSWORD_COMMAND"));
            }
        };
        let prefix = format!("{}/{}", path_component(&naming.application), path_component(&naming.environment));
        Ok(Self { store, prefix, password, note })
    }

    /// Returns the same place, whose repository nothing but `password` opens: no key file is read.
    #[must_use]
    pub fn opened_by(self, password: Secret) -> Self {
        Self { password: Password::Given(password), ..self }
    }

    /// Returns the same place without the cache of this machine, which a gate may have filled: for whoever must know what
    /// is in the store itself.
    #[must_use]
    pub fn uncached(self) -> Self {
        Self { store: self.store.uncached(), ..self }
    }

    /// Returns the names of the application's environments in the store, sorted.
    ///
    /// # Errors
    /// The store's own.
    pub fn environments(&self) -> Result<Vec<String>> {
        let Some((application, _)) = self.prefix.split_once('/') else { return Ok(Vec::new()) };
        let names = self.store.storage.list_names(application)?;
        let decoded = |name: &str| percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
        Ok(names.iter().filter_map(|name| name.strip_suffix('/')).map(decoded).collect())
    }

    /// Returns the same application and environment in another store, under the same password.
    ///
    /// # Errors
    /// As [`stores::open`].
    pub fn copy_at(&self, location: &str, bucket: &BucketConfig, cancel: &Cancel) -> Result<Self> {
        let store = stores::open(location, bucket, cancel)?;
        Ok(Self { store, prefix: self.prefix.clone(), password: self.password.clone(), note: None })
    }

    /// Returns the directory of the store, if it is one.
    pub fn directory(&self) -> Option<&Path> {
        self.store.directory.as_deref()
    }

    /// Returns the location of the whole store with its server, as restic writes it.
    pub fn restic_location(&self) -> String {
        self.store.storage.restic_location()
    }

    /// Says whether `location` names this store; `opened` is what it names, under whatever settings. One in restic's
    /// spelling names its server, too.
    pub fn is_called(&self, location: &str, opened: &Self) -> bool {
        match ResticLocation::parse(location) {
            Some(_) => self.restic_location() == opened.restic_location(),
            None => self.location() == opened.location(),
        }
    }

    /// Returns the location of the whole store for people.
    pub fn location(&self) -> String {
        self.store.storage.location()
    }

    /// Says what makes the store unfit for what the configuration asks of it.
    ///
    /// # Errors
    /// The store's own: it cannot be asked.
    pub fn preflight(&self, look: Look) -> Result<Vec<Finding>> {
        self.store.preflight(look)
    }

    /// Returns what the caller may want to know, such as why there is no cache.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// Returns the location of the repository, as `restic -r` takes it.
    pub fn repository_location(&self) -> String {
        self.repository_storage().restic_location()
    }

    /// Returns the storage of the environment's ledger.
    pub fn ledger_storage(&self) -> SharedStorage {
        Arc::new(SubStorage::new(Arc::clone(&self.store.storage), self.prefix.clone()))
    }

    /// Returns the names and ledgers of the application's other environments in the store.
    ///
    /// # Errors
    /// The store's own.
    pub fn other_environments(&self) -> Result<Vec<(String, SharedStorage)>> {
        let Some((application, own)) = self.prefix.split_once('/') else { return Ok(Vec::new()) };
        let names = self.store.storage.list_names(application)?;
        let others = names.iter().filter_map(|name| name.strip_suffix('/')).filter(|name| *name != own);
        let ledger = |name: &str| {
            let storage = Arc::clone(&self.store.storage);
            let shown = percent_encoding::percent_decode_str(name).decode_utf8_lossy().into_owned();
            let ledger: SharedStorage = Arc::new(SubStorage::new(storage, format!("{application}/{name}")));
            (shown, ledger)
        };
        Ok(others.map(ledger).collect())
    }

    /// Returns the storage of the environment's repository.
    pub fn repository_storage(&self) -> SharedStorage {
        Arc::new(SubStorage::new(Arc::clone(&self.store.storage), format!("{}/repository", self.prefix)))
    }

    /// Returns the paths that no snapshot may hold: the store itself and the key that opens it.
    pub fn never_captured(&self) -> Vec<PathBuf> {
        let mut paths: Vec<_> = self.store.directory.iter().cloned().collect();
        if let Password::KeyFile(key) = &self.password {
            paths.extend(key.parent().map(Path::to_owned));
        }
        // A walk meets canonical paths where a caller wrote a link.
        let canonical: Vec<_> = paths.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
        paths.extend(canonical);
        paths.sort();
        paths.dedup();
        paths
    }

    /// Opens the repository.
    ///
    /// # Errors
    /// As [`Repository::open`]; `wrong-password` also where the key of the embedded store is gone.
    pub fn open(&self) -> Result<Repository> {
        let storage = self.repository_storage();
        match self.existing_password() {
            Ok(password) => Repository::open(storage, &password),
            Err(error) if Repository::exists(&storage)? => Err(error),
            // Says that there is none before it could say that there is no key.
            Err(_) => Repository::open(storage, ""),
        }
    }

    /// Opens the repository, or creates it where there is none.
    ///
    /// # Errors
    /// As [`Repository::open`] and [`Repository::create`].
    pub fn open_or_create(&self, creator: Creator) -> Result<Repository> {
        match self.open() {
            Err(error) if error.code() == ErrorCode::NoRepository => {}
            result => return result,
        }
        let storage = self.repository_storage();
        let (password, cost) = match &self.password {
            Password::KeyFile(path) => (create_key(path)?, Cost::RandomKey),
            Password::Given(password) => (password.0.clone(), Cost::Password),
        };
        match Repository::create(Arc::clone(&storage), &password, cost, creator) {
            // Another run created it at the same moment: it is as good as ours.
            Err(error) if error.code() == ErrorCode::Busy => Repository::open(storage, &password),
            result => result,
        }
    }

    /// Returns the key of the embedded store, if this place is opened by one that can be read.
    pub fn key(&self) -> Option<String> {
        match &self.password {
            Password::Given(_) => None,
            Password::KeyFile(_) => self.existing_password().ok(),
        }
    }

    /// Returns the password of the repository.
    ///
    /// # Errors
    /// `wrong-password`: the key of the embedded store cannot be read.
    pub fn existing_password(&self) -> Result<String> {
        match &self.password {
            Password::Given(password) => Ok(password.0.clone()),
            Password::KeyFile(path) => match fs::read_to_string(path) {
                Ok(key) => Ok(key.trim_end().to_owned()),
                Err(error) => {
                    let message = format!("the key of the embedded store, {}, cannot be read", path.display());
                    Err(Error::new(ErrorCode::WrongPassword, message)
                        .caused_by(error)
                        .hint("restore the key file: without it nobody can read the snapshots of this store"))
                }
            },
        }
    }
}

/// Returns the settings of the copy that `named` is, if the configuration has it as a copy and not as the store.
fn named_copy<'c>(named: Option<&str>, config: &'c Config, cancel: &Cancel) -> Option<&'c BucketConfig> {
    let named = named?;
    let is_at = |location: &Text, bucket: &BucketConfig| {
        // One that cannot be resolved or opened is not meant; whoever needs it hears of it.
        let Ok(location) = Text::resolve(location) else { return false };
        let is_bucket = |location: &str| location.starts_with("s3:");
        if is_bucket(named) != is_bucket(&location) {
            return false;
        }
        let open = |location: &str| stores::open(location, bucket, cancel).map(|opened| opened.storage);
        let (Ok(one), Ok(two)) = (open(named), open(&location)) else { return false };
        one.restic_location() == two.restic_location()
    };
    if config.store.location.as_ref().is_some_and(|location| is_at(location, &config.store.bucket)) {
        return None;
    }
    config.store.copies.values().find(|copy| is_at(&copy.location, &copy.bucket)).map(|copy| &copy.bucket)
}

/// Returns where the key of an embedded store is, if `path` is one or lies in one: `DIR/.holdpoint/store/…`.
pub fn embedded_key(path: &Path) -> Option<PathBuf> {
    let store = path.ancestors().find(|path| path.ends_with(Path::new(FOLDER).join("store")))?;
    Some(store.parent()?.join("key"))
}

/// Returns the key of the embedded store, made on first use: 256 random bits, readable by its owner alone.
fn create_key(path: &Path) -> Result<String> {
    let existing = |path: &Path| {
        fs::read_to_string(path)
            .map(|key| key.trim_end().to_owned())
            .io_context(|| format!("cannot read the store's key {}", path.display()))
    };
    if path.exists() {
        return existing(path);
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .io_context(|| format!("cannot create {}", folder.display()))?;
    let ignore = folder.join(".gitignore");
    if !ignore.exists() {
        fs::write(&ignore, "# The embedded store of holdpoint and its key.\n*\n")
            .io_context(|| format!("cannot write {}", ignore.display()))?;
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| Error::new(ErrorCode::Internal, "no random numbers for a key").caused_by(error))?;
    let key = hex::encode(random);
    // Whole or not at all: a run that is killed here must not leave half a key.
    let write = || -> std::io::Result<()> {
        temporary::remove_abandoned(folder, ".key-");
        let mut file = temporary::create(folder, ".key-", 0o600)?;
        writeln!(file, "{key}")?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error.error),
            Ok(_) => fs::OpenOptions::new().read(true).custom_flags(0).open(folder)?.sync_all(),
        }
    };
    write().io_context(|| format!("cannot write the store's key {}", path.display()))?;
    // Another run may have been faster: its key is the one that counts.
    existing(path)
}
