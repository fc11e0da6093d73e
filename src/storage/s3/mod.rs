//! A bucket as a storage: AWS S3 and everything that speaks its protocol.

mod calls;
mod client;
mod failure;
mod http;
mod list;
pub(super) mod location;
mod lock;
mod preflight;
mod probe;
mod put;
mod settings;
mod versions;

pub use location::{Location, ResticLocation};
pub use settings::{CONNECTIONS, Encryption, REQUEST_TIMEOUT, Settings};

use super::{
    Class, Entry, Hidden, LockProbe, LockTerms, Look, Parallelism, PutMode, PutOutcome, ReadFrom, Storage, Unfit,
};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use calls::{Answered, Calls};
use client::Connected;
use failure::{Failure, Subject, is_page};
use jiff::Timestamp;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Room that is made for an answer before it is there, in bytes.
const LARGEST_AT_ONCE: usize = 32 << 20;

/// The objects below one prefix of a bucket.
#[derive(Debug)]
pub struct S3Storage {
    settings: Settings,
    connected: Connected,
    calls: Calls,
    /// Whether the bucket was seen to keep versions.
    is_versioned: AtomicBool,
    /// Whether the bucket is known to exist: only then a `404` without a reason is about an object.
    is_known: AtomicBool,
}

impl S3Storage {
    /// Prepares to speak to a bucket; asks nothing yet. What is under way when `cancel` is cancelled is given up; after
    /// that there are a few seconds more to give back what the run holds.
    ///
    /// # Errors
    /// `usage`: the settings cannot be used; `internal`: no threads to be had.
    pub fn open(settings: Settings, cancel: Cancel) -> Result<Self> {
        let calls = Calls::start(settings.connections, settings.request_timeout, cancel)?;
        let connected = calls.run(client::connect(&settings))?;
        let (is_known, is_versioned) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Self { settings, connected, calls, is_known, is_versioned })
    }

    fn client(&self) -> &Client {
        &self.connected.client
    }

    fn bucket(&self) -> &str {
        &self.settings.location.bucket
    }

    /// Returns the whole key of an object in the bucket.
    fn key(&self, key: &str) -> String {
        self.settings.location.key(key)
    }

    fn subject<'a>(&'a self, verb: &'a str, key: &str) -> Subject<'a> {
        Subject {
            verb,
            object: format!("s3://{}/{}", self.bucket(), self.key(key)),
            bucket: self.bucket(),
            region: &self.connected.region,
        }
    }

    fn no_bucket(&self, subject: &Subject<'_>) -> Error {
        let hint = "see that the bucket exists and that the endpoint is one of an S3 server";
        subject.error(ErrorCode::StoreRefused, "the server does not know this place").hint(hint)
    }

    /// Makes sure that what was not found is an object: answers to `HEAD` say no more than `404`, and other servers say
    /// that of everything. Asks once.
    fn know_bucket(&self) -> Result<()> {
        if self.is_known.load(Relaxed) {
            return Ok(());
        }
        let subject = self.subject("look into", "");
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().list_objects_v2().bucket(self.bucket()).prefix(self.key("")).max_keys(1);
            request.send().await.map_err(|error| Failure::read(&subject, error))
        })?;
        answered.found().ok_or_else(|| self.no_bucket(&subject))?;
        self.is_known.store(true, Relaxed);
        Ok(())
    }

    /// Returns what was found; an error where there is not even a bucket.
    fn found<T>(&self, answered: Answered<T>) -> Result<Option<T>> {
        let found = answered.found();
        if found.is_none() {
            self.know_bucket()?;
        }
        Ok(found)
    }

    /// Reads an object or one `version` of it, or the `range` of it.
    fn read(&self, key: &str, range: Option<String>, version: Option<String>) -> Result<Option<Vec<u8>>> {
        let subject = self.subject("read", key);
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().get_object().bucket(self.bucket()).key(self.key(key));
            let request = request.set_range(range.clone()).set_version_id(version.clone());
            let answer = request.send().await.map_err(|error| Failure::read(&subject, error))?;
            if is_page(answer.content_type()) && !self.is_known.load(Relaxed) {
                return Err(Failure::Final(subject.no_s3()));
            }
            let length = answer.content_length.and_then(|length| usize::try_from(length).ok());
            collect(&subject, answer.body, length).await
        })?;
        self.found(answered)
    }
}

/// Reads a body to its end; one that ends early was cut on the way.
async fn collect(subject: &Subject<'_>, mut body: ByteStream, length: Option<usize>) -> Result<Vec<u8>, Failure> {
    let cut = |why: &str| Failure::Transient(subject.unavailable(why));
    // No more at once than a large pack has: it is only what the server says.
    let mut data = Vec::with_capacity(length.unwrap_or(0).min(LARGEST_AT_ONCE));
    while let Some(part) = body.next().await {
        data.extend_from_slice(&part.map_err(|error| cut(&format!("the answer broke off: {error}")))?);
    }
    match length {
        Some(length) if length != data.len() => Err(cut("the answer broke off")),
        _ => Ok(data),
    }
}

impl Storage for S3Storage {
    fn location(&self) -> String {
        self.settings.location.to_string()
    }

    fn restic_location(&self) -> String {
        let region = &self.connected.region;
        let server = match &self.connected.endpoint {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None => format!("https://s3.{region}.amazonaws.com"),
        };
        let path = self.location();
        format!("s3:{server}/{}", location::in_url(path.trim_start_matches("s3://")))
    }

    fn parallelism(&self) -> Parallelism {
        // A pack takes 12 MiB of memory while it is on its way; what else is asked takes little.
        Parallelism { uploads: self.settings.connections.div_ceil(2), reads: self.settings.connections }
    }

    fn put(&self, key: &str, data: &Bytes, mode: PutMode, class: Class) -> Result<PutOutcome> {
        self.write(key, data, mode, class)
    }

    fn get(&self, key: &str, _from: ReadFrom) -> Result<Option<Vec<u8>>> {
        // No cache is between us and the server: every answer is the medium's.
        self.read(key, None, None)
    }

    fn get_range(&self, key: &str, offset: u64, length: usize) -> Result<Option<Vec<u8>>> {
        if length == 0 {
            return Ok(self.size(key)?.map(|_| Vec::new()));
        }
        let last = offset.saturating_add(length as u64 - 1);
        let data = self.read(key, Some(format!("bytes={offset}-{last}")), None)?;
        match data {
            Some(data) if data.len() != length => {
                let message = format!(
                    "{} is shorter than its index says ({length} bytes at {offset})",
                    self.subject("read", key).object
                );
                Err(Error::new(ErrorCode::Damaged, message))
            }
            data => Ok(data),
        }
    }

    fn size(&self, key: &str) -> Result<Option<u64>> {
        let subject = self.subject("look at", key);
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().head_object().bucket(self.bucket()).key(self.key(key));
            let answer = request.send().await.map_err(|error| Failure::read(&subject, error))?;
            let size = answer.content_length.and_then(|size| u64::try_from(size).ok());
            size.ok_or_else(|| Failure::Transient(subject.unavailable("the answer has no size")))
        })?;
        self.found(answered)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        self.entries(prefix)
    }

    fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.names(prefix)
    }

    fn list_names_after(&self, prefix: &str, after: &str, most: usize) -> Result<Vec<String>> {
        self.names_after(prefix, after, most)
    }

    fn lists_at_once(&self) -> bool {
        // Listings of S3 are strongly consistent, and a folder of few objects is one page.
        true
    }

    fn delete(&self, key: &str) -> Result<()> {
        let subject = self.subject("delete", key);
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().delete_object().bucket(self.bucket()).key(self.key(key));
            request.send().await.map_err(|error| Failure::read(&subject, error))
        })?;
        self.found(answered).map(drop)
    }

    fn lock_terms(&self) -> Option<LockTerms> {
        self.settings.object_lock
    }

    fn locked_until(&self, key: &str) -> Result<Option<Timestamp>> {
        self.retained_until(key)
    }

    fn lock_until(&self, key: &str, until: Timestamp) -> Result<()> {
        self.retain(key, until)
    }

    fn preflight(&self, look: Look) -> Result<Vec<Unfit>> {
        self.unfit(look)
    }

    fn probe_lock(&self, prefix: &str, keep: Duration) -> Result<Option<LockProbe>> {
        self.probe(prefix, keep)
    }

    fn hidden(&self, prefix: &str) -> Result<Vec<Hidden>> {
        self.hidden_versions(prefix)
    }
}
