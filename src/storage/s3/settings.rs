//! What has to be known to use a bucket.

use super::super::LockTerms;
use super::location::Location;
use aws_sdk_s3::config::Credentials;
use std::path::PathBuf;
use std::time::Duration;

/// Requests under way at once, unless the configuration says otherwise; see `docs/performance.md`.
pub const CONNECTIONS: usize = 16;
/// How long one request may take.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A bucket and how to speak to it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the objects are.
    pub location: Location,
    /// The region; else the environment's or the profile's.
    pub region: Option<String>,
    /// The server, `https://HOST[:PORT]`; else AWS's, or what the environment or the profile names.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path and not in the host name; else wherever an endpoint is named.
    pub path_style: Option<bool>,
    /// Whether a server on another machine may be spoken to without TLS.
    pub allow_http: bool,
    /// A file of certificates (PEM) to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The storage class of packs of file content.
    pub storage_class: Option<String>,
    /// How the server encrypts what it stores.
    pub encryption: Option<Encryption>,
    /// How objects are kept from being deleted.
    pub object_lock: Option<LockTerms>,
    /// The regions that the bucket may be in; any if empty.
    pub allowed_regions: Vec<String>,
    /// The credentials; else those that the standard chain finds.
    pub credentials: Option<Credentials>,
    /// Requests under way at once.
    pub connections: usize,
    /// How long one request may take.
    pub request_timeout: Duration,
}

impl Settings {
    /// Returns the settings of a bucket with all else as it is by default.
    pub fn new(location: Location) -> Self {
        Self {
            location,
            region: None,
            endpoint: None,
            path_style: None,
            allow_http: false,
            ca_file: None,
            storage_class: None,
            encryption: None,
            object_lock: None,
            allowed_regions: Vec::new(),
            credentials: None,
            connections: CONNECTIONS,
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

/// Encryption at rest by the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// SSE-S3: keys of the server.
    S3,
    /// SSE-KMS: this key, or the account's default one.
    Kms(Option<String>),
}
