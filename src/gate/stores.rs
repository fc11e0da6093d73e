//! From a location and its settings to a storage.

use crate::cancel::Cancel;
use crate::config::{BucketConfig, CacheConfig, Sse};
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::storage::cache::{CacheDirectory, CachedStorage, DEFAULT_SIZE};
use crate::storage::s3::{CONNECTIONS, Encryption, Location, REQUEST_TIMEOUT, ResticLocation, Settings};
use crate::storage::{LocalStorage, LockMode, LockTerms, Look, S3Storage, SharedStorage, Storage, Unfit, UnfitKind};
use std::path::PathBuf;
use std::sync::Arc;

/// A storage, and the directory that it is, if it is one.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The storage.
    pub storage: SharedStorage,
    /// Its directory.
    pub directory: Option<PathBuf>,
    /// What is behind the cache, if there is one.
    pub origin: Option<SharedStorage>,
    /// What a directory cannot give although it is asked for; a bucket has to be asked.
    pub lacks: Vec<Unfit>,
}

impl Opened {
    /// Returns the same store without a cache in front of it: whoever asks it learns what is in the store itself.
    #[must_use]
    pub fn uncached(self) -> Self {
        let storage = self.origin.unwrap_or(self.storage);
        Self { storage, origin: None, ..self }
    }

    /// Says what makes the store unfit for what the configuration asks of it.
    ///
    /// # Errors
    /// The store's own: it cannot be asked.
    pub fn preflight(&self, look: Look) -> Result<Vec<Finding>> {
        let mut unfit = self.lacks.clone();
        unfit.extend(self.storage.preflight(look)?);
        Ok(unfit.into_iter().map(finding).collect())
    }
}

fn finding(unfit: Unfit) -> Finding {
    let code = match unfit.kind {
        UnfitKind::NoObjectLock => FindingCode::StoreNotImmutable,
        UnfitKind::LocksEverything => FindingCode::StoreLocksEverything,
        UnfitKind::Region => FindingCode::RegionNotAllowed,
    };
    Finding::refusal(code, unfit.message).hint(unfit.hint)
}

/// Opens what a location names: a directory, or `s3://BUCKET/PREFIX` with the settings of `bucket`, or the same as restic
/// spells it. Nothing is written.
///
/// # Errors
/// `usage`: the location or the settings cannot be used.
pub fn open(location: &str, bucket: &BucketConfig, cancel: &Cancel) -> Result<Opened> {
    let usage = |message: String| Error::new(ErrorCode::Usage, message).hint("name a directory, or s3://BUCKET/PREFIX");
    if location.trim().is_empty() {
        return Err(usage("the store's location is empty".to_owned()));
    }
    if let Some(ResticLocation { endpoint, region, location }) = ResticLocation::parse(location) {
        // What the location says is nearer than the configuration, which may be about another store.
        let bucket = BucketConfig {
            endpoint: Some(endpoint),
            region: region.or_else(|| bucket.region.clone()),
            path_style: bucket.path_style.or(Some(true)),
            ..bucket.clone()
        };
        return open_bucket(location, &bucket, cancel);
    }
    if location.starts_with("s3:") && !location.starts_with("s3://") {
        // It may hold a password.
        return Err(usage("the store's location is not of the form s3:https://HOST/BUCKET/PREFIX".to_owned()));
    }
    let Some((scheme, _)) = location.split_once("://") else {
        let directory =
            std::path::absolute(location).io_context(|| format!("cannot resolve the store's location {location}"))?;
        let storage = Arc::new(LocalStorage::new(&directory)?);
        let lacks = lacks(&*storage, bucket);
        return Ok(Opened { storage, directory: Some(directory), origin: None, lacks });
    };
    if scheme != "s3" {
        // The rest of it may hold a password.
        return Err(usage(format!("stores of the kind `{scheme}://` are not supported by this version")));
    }
    let location = Location::parse(location)
        .ok_or_else(|| usage("the store's location is not of the form s3://BUCKET/PREFIX".to_owned()))?;
    open_bucket(location, bucket, cancel)
}

fn open_bucket(location: Location, bucket: &BucketConfig, cancel: &Cancel) -> Result<Opened> {
    let storage = Arc::new(S3Storage::open(settings(location, bucket), cancel.clone())?);
    Ok(Opened { storage, directory: None, origin: None, lacks: Vec::new() })
}

/// Says what is asked of a bucket that a directory does not have.
fn lacks(storage: &dyn Storage, bucket: &BucketConfig) -> Vec<Unfit> {
    let location = storage.location();
    let asked = [
        (
            bucket.object_lock.is_some(),
            UnfitKind::NoObjectLock,
            "object_lock",
            "cannot keep anything from being deleted",
        ),
        (!bucket.allowed_regions.is_empty(), UnfitKind::Region, "allowed_regions", "is in no region"),
    ];
    let unfit = |(_, kind, key, lack): (bool, _, &str, &str)| Unfit {
        kind,
        message: format!("the store {location} is a directory and {lack}, which `{key}` asks for"),
        hint: format!("name a bucket (s3://BUCKET/PREFIX), or take `{key}` out of [store]"),
    };
    asked.into_iter().filter(|(is_asked, ..)| *is_asked).map(unfit).collect()
}

/// Puts the cache that the configuration asks for in front of a remote store. Where there can be none, the second part of
/// the answer says why, unless none is wanted.
pub fn cached(opened: Opened, config: &CacheConfig) -> (Opened, Option<String>) {
    let max_size = config.max_size.unwrap_or(DEFAULT_SIZE);
    if opened.directory.is_some() || max_size == 0 {
        return (opened, None);
    }
    let Some(directory) = config.directory.clone().or_else(default_cache) else {
        let why =
            "no cache: neither XDG_CACHE_HOME nor HOME is set; set `directory` in [store] cache, or `max_size = 0`";
        return (opened, Some(why.to_owned()));
    };
    match CacheDirectory::open(&directory, max_size) {
        Ok(directory) => {
            let storage = Arc::new(CachedStorage::new(Arc::clone(&opened.storage), directory));
            (Opened { storage, origin: Some(Arc::clone(&opened.storage)), ..opened }, None)
        }
        Err(error) => {
            let why = format!("no cache: {} cannot be used: {error}", directory.display());
            (opened, Some(why))
        }
    }
}

/// Returns where caches are kept by custom (XDG Base Directory Specification).
fn default_cache() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("holdpoint"))
}

fn settings(location: Location, bucket: &BucketConfig) -> Settings {
    let BucketConfig { region, endpoint, path_style, allow_http, ca_file, storage_class, .. } = bucket.clone();
    Settings {
        location,
        region,
        endpoint,
        path_style,
        allow_http,
        ca_file,
        storage_class,
        encryption: bucket.sse.as_ref().map(|sse| match sse {
            Sse::Aes256 => Encryption::S3,
            Sse::Kms(key) => Encryption::Kms(key.clone()),
        }),
        object_lock: bucket.object_lock.map(|lock| LockTerms {
            mode: if lock.compliance { LockMode::Compliance } else { LockMode::Governance },
            retain: lock.retain,
        }),
        allowed_regions: bucket.allowed_regions.clone(),
        credentials: None,
        connections: bucket.connections.map_or(CONNECTIONS, |connections| connections as usize),
        request_timeout: bucket.request_timeout.unwrap_or(REQUEST_TIMEOUT),
    }
}
