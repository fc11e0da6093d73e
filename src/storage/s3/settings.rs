//! What has to be known to use a bucket.

use super::super::LockTerms;
use aws_sdk_s3::config::Credentials;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Requests under way at once, unless the configuration says otherwise; measured, see `docs/performance.md`.
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

/// `s3://BUCKET[/PREFIX]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The bucket.
    pub bucket: String,
    /// What all keys begin with, without slashes at its ends; may be empty.
    pub prefix: String,
}

impl Location {
    /// Reads a location; `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let prefix = prefix.trim_matches('/');
        let is_prefix = prefix.is_empty()
            || prefix.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains(char::is_control));
        let is_bucket = !bucket.is_empty() && bucket.chars().all(is_name);
        (is_bucket && is_prefix).then(|| Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// Returns the key of an object in the bucket.
    pub(super) fn key(&self, key: &str) -> String {
        match (self.prefix.as_str(), key) {
            ("", key) => key.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, key) => format!("{prefix}/{key}"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.key_of_all())
    }
}

impl Location {
    fn key_of_all(&self) -> String {
        match self.prefix.as_str() {
            "" => self.bucket.clone(),
            prefix => format!("{}/{prefix}", self.bucket),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        let read = |text| Location::parse(text).map(|location| (location.to_string(), location.key("a/b")));
        let both = |location: &str, key: &str| Some((location.to_owned(), key.to_owned()));
        assert_eq!(read("s3://acme-backups"), both("s3://acme-backups", "a/b"));
        assert_eq!(read("s3://acme/"), both("s3://acme", "a/b"));
        assert_eq!(read("s3://acme/hold/point/"), both("s3://acme/hold/point", "hold/point/a/b"));
        for wrong in ["s3://", "s3:///x", "s3://a b", "s3://user:secret@host/x", "s3://a/../b", "s3://a/b//c", "gs://a"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
