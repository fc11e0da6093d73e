//! From a location and its settings to a storage.

use crate::cancel::Cancel;
use crate::config::{BucketConfig, Sse};
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::storage::s3::{CONNECTIONS, Encryption, Location, REQUEST_TIMEOUT, ResticLocation, Settings};
use crate::storage::{LocalStorage, LockMode, LockTerms, S3Storage, SharedStorage};
use std::path::PathBuf;
use std::sync::Arc;

/// A storage, and the directory that it is, if it is one.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The storage.
    pub storage: SharedStorage,
    /// Its directory.
    pub directory: Option<PathBuf>,
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
    let Some((scheme, _)) = location.split_once("://") else {
        let directory =
            std::path::absolute(location).io_context(|| format!("cannot resolve the store's location {location}"))?;
        let storage = Arc::new(LocalStorage::new(&directory)?);
        return Ok(Opened { storage, directory: Some(directory) });
    };
    if scheme.starts_with("s3:") {
        // It may hold a password.
        return Err(usage("the store's location is not of the form s3:https://HOST/BUCKET/PREFIX".to_owned()));
    }
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
    Ok(Opened { storage, directory: None })
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
