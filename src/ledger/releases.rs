//! The release records of one environment: written once, found again with few requests.

use super::manifest::{digest, parse};
use super::search::Listed;
use super::search::SEARCHED_WITHIN;
use super::walk::{ATTEMPTS, RELEASES, Walk, second};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::{Manifest, Previous};
use crate::model::release_id::ReleaseId;
use crate::storage::many::{ask_all, both};
use crate::storage::{Class, PutMode, PutOutcome, ReadFrom, SharedStorage};
use std::collections::HashSet;
use std::time::Duration;

/// The hint that names the newest release; never trusted without a look.
const HEAD: &str = "head.json";

/// The records of one application in one environment.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(super) storage: SharedStorage,
    /// How many releases a search looks at.
    pub(super) searched_within: usize,
}

/// A manifest as the ledger holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The object that holds it, relative to the environment's part of the store.
    pub key: String,
    /// Its digest, `sha256:…`.
    pub digest: String,
    /// Its bytes, as written.
    pub bytes: Vec<u8>,
    /// What they say.
    pub manifest: Manifest,
}

/// A record whose bytes were read and not yet understood.
pub(super) struct Raw {
    pub(super) id: ReleaseId,
    pub(super) key: String,
    pub(super) bytes: Vec<u8>,
}

impl Raw {
    pub(super) fn parse(self) -> Result<Stored> {
        let manifest = parse(&self.bytes, &self.key)?;
        if manifest.id != self.id {
            let message = format!("manifest {} calls itself {}", self.key, manifest.id);
            return Err(Error::new(ErrorCode::ManifestInvalid, message)
                .hint("the record was moved or altered; records are never edited"));
        }
        Ok(Stored { key: self.key, digest: digest(&self.bytes), bytes: self.bytes, manifest })
    }

    pub(super) fn previous(&self) -> Previous {
        Previous { id: self.id.clone(), digest: digest(&self.bytes) }
    }
}

impl Ledger {
    /// Opens the ledger on a storage rooted at `APPLICATION/ENVIRONMENT`; nothing is read or written.
    pub fn new(storage: SharedStorage) -> Self {
        Self { storage, searched_within: SEARCHED_WITHIN }
    }

    /// Makes searches end after `releases`.
    #[cfg(test)]
    pub(crate) fn searching_within(mut self, releases: usize) -> Self {
        self.searched_within = releases;
        self
    }

    /// Returns the storage, for the lease of the environment.
    pub fn storage(&self) -> SharedStorage {
        SharedStorage::clone(&self.storage)
    }

    /// Returns how old the manifest of a release is by the store's own clock: from when it was written until the holder of
    /// the lease last wrote that. `None` where either cannot be told.
    ///
    /// # Errors
    /// The store's own.
    pub fn age_by_store(&self, id: &ReleaseId) -> Result<Option<Duration>> {
        let folder = Self::folder(id);
        let (beside, leases) = both(|| self.storage.list(&folder), || self.storage.list("lease"));
        let manifest = format!("{folder}/manifest.json");
        let written = beside?.into_iter().find(|entry| entry.key == manifest).map(|entry| entry.modified);
        let newest = leases?.into_iter().map(|entry| entry.modified).max();
        Ok(written.zip(newest).and_then(|(written, newest)| newest.duration_since(written).try_into().ok()))
    }

    /// Returns the newest runs that never came to hold the lease, newest first, at most `limit`; an unreadable record is
    /// listed as that.
    ///
    /// # Errors
    /// The store's own.
    pub fn newest_attempts(&self, limit: usize) -> Result<Vec<Listed>> {
        let ids = Walk::new(&*self.storage, ATTEMPTS, "").take(limit).collect::<Result<Vec<_>>>()?;
        let mut attempts = Vec::new();
        for id in ids {
            // One that was removed since it was listed is not there.
            let Some(raw) = self.read(&id)? else { continue };
            attempts.push(Listed { id, record: raw.parse() });
        }
        Ok(attempts)
    }

    /// Returns the folder of a release, relative to the environment's part of the store.
    pub fn folder(id: &ReleaseId) -> String {
        format!("{RELEASES}/{}/{id}", id.date_path())
    }

    /// Writes the manifest of a release, create-only, then the hint to it. Only the holder of the lease may call this,
    /// with `manifest.previous` from [`Ledger::previous`].
    ///
    /// # Errors
    /// The store's own, or `manifest-invalid` if there is a release of this id already: then nothing is recorded.
    pub fn record(&self, manifest: &Manifest) -> Result<Stored> {
        let stored = self.create(format!("{}/manifest.json", Self::folder(&manifest.id)), manifest)?;
        let head = Previous { id: manifest.id.clone(), digest: stored.digest.clone() };
        let head = serde_json::to_vec(&head).map_err(unwritable)?;
        // The release is recorded; a hint that could not be written is an old one, and no hint is trusted anyway.
        let _ = self.storage.put(HEAD, &head.into(), PutMode::Overwrite, Class::Transient);
        Ok(stored)
    }

    /// Writes the manifest of a run that never held the lease; it is no part of the chain.
    ///
    /// # Errors
    /// As [`Ledger::record`].
    pub fn record_attempt(&self, manifest: &Manifest) -> Result<Stored> {
        self.create(attempt_key(&manifest.id), manifest)
    }

    fn create(&self, key: String, manifest: &Manifest) -> Result<Stored> {
        let bytes = manifest.to_json().map_err(unwritable)?;
        let is_there = || Ok(self.storage.get(&key, ReadFrom::Medium)?.as_deref() == Some(&*bytes));
        match self.storage.put(&key, &bytes.clone().into(), PutMode::CreateOnly, Class::Record) {
            Ok(PutOutcome::Written) => {}
            // Only the answer may have been lost: what the ledger holds is what counts for whoever asks it.
            Err(error) => {
                if !is_there().unwrap_or(false) {
                    return Err(error);
                }
            }
            // Something on the way may repeat a request: then the record is there, and is ours.
            Ok(PutOutcome::Exists) if is_there()? => {}
            Ok(PutOutcome::Exists) => {
                return Err(Error::new(ErrorCode::ManifestInvalid, format!("the ledger has a record {key} already"))
                    .hint("records are never edited; run the gate again for a new release id"));
            }
        }
        Ok(Stored { key, digest: digest(&bytes), bytes, manifest: manifest.clone() })
    }

    /// Writes the signature of a release's manifest beside it; before the manifest, so that none is there without.
    ///
    /// # Errors
    /// The store's own, or `manifest-invalid` if there is another one already.
    pub fn record_signature(&self, id: &ReleaseId, signature: &str) -> Result<()> {
        let key = signature_key(id);
        let bytes = signature.to_owned().into();
        if self.storage.put(&key, &bytes, PutMode::CreateOnly, Class::Record)? == PutOutcome::Exists
            && self.storage.get(&key, ReadFrom::Medium)?.as_deref() != Some(&*bytes)
        {
            return Err(Error::new(ErrorCode::ManifestInvalid, format!("the ledger has a signature {key} already"))
                .hint("records are never edited; run the gate again for a new release id"));
        }
        Ok(())
    }

    /// Returns the signature of a release's manifest, as it is stored; `None` if it has none.
    ///
    /// # Errors
    /// The store's own.
    pub fn signature(&self, id: &ReleaseId) -> Result<Option<Vec<u8>>> {
        self.storage.get(&signature_key(id), ReadFrom::Anywhere)
    }

    /// Writes the page of a release, over an older one.
    ///
    /// # Errors
    /// The store's own.
    pub fn write_page(&self, id: &ReleaseId, html: &str) -> Result<()> {
        let key = format!("{}/manifest.html", Self::folder(id));
        self.storage.put(&key, &html.to_owned().into(), PutMode::Overwrite, Class::Transient).map(drop)
    }

    /// Returns the newest release; `None` in an empty ledger.
    ///
    /// # Errors
    /// The store's own, or `manifest-invalid` if the newest record cannot be read.
    pub fn newest(&self) -> Result<Option<Stored>> {
        self.tip()?.map(Raw::parse).transpose()
    }

    /// Returns the id and digest of the newest release, for the manifest that follows it. Its content may be damaged:
    /// the chain goes on over what is there.
    ///
    /// # Errors
    /// The store's own.
    pub fn previous(&self) -> Result<Option<Previous>> {
        Ok(self.tip()?.as_ref().map(Raw::previous))
    }

    /// Returns the release of this id, or the only one that starts with it; attempts count too.
    ///
    /// # Errors
    /// `not-found` for none and `usage` for several, `manifest-invalid` if it cannot be read.
    pub fn get(&self, id: &str) -> Result<Stored> {
        if let Ok(id) = ReleaseId::parse(id)
            && let Some(raw) = self.read(&id)?
        {
            return raw.parse();
        }
        let mut found = Vec::new();
        for root in [RELEASES, ATTEMPTS] {
            for candidate in Walk::new(&*self.storage, root, id) {
                found.push(candidate?);
            }
        }
        match found.as_slice() {
            [] => Err(Error::new(ErrorCode::NotFound, format!("no release `{id}` in {}", self.storage.location()))
                .hint("list the releases with `holdpoint releases`")),
            [one] => match self.read(one)? {
                Some(raw) => raw.parse(),
                None => Err(Error::new(ErrorCode::ManifestInvalid, format!("release {one} has no manifest.json"))
                    .hint("the record was removed or never finished")),
            },
            several => {
                let names: Vec<&str> = several.iter().take(5).map(ReleaseId::as_str).collect();
                let message = format!("`{id}` is the start of {} releases: {}", several.len(), names.join(", "));
                Err(Error::new(ErrorCode::Usage, message).hint("give more characters of the id"))
            }
        }
    }

    /// Reads the manifest of a release or an attempt; `None` if it is not there.
    pub(super) fn read(&self, id: &ReleaseId) -> Result<Option<Raw>> {
        for key in [format!("{}/manifest.json", Self::folder(id)), attempt_key(id)] {
            if let Some(bytes) = self.storage.get(&key, ReadFrom::Anywhere)? {
                return Ok(Some(Raw { id: id.clone(), key, bytes }));
            }
        }
        Ok(None)
    }

    /// Reads the manifest of a release; `None` if it is not there, as after a crash between folder and file.
    pub(super) fn read_release(&self, id: &ReleaseId) -> Result<Option<Raw>> {
        let key = format!("{}/manifest.json", Self::folder(id));
        let bytes = self.storage.get(&key, ReadFrom::Anywhere)?;
        Ok(bytes.map(|bytes| Raw { id: id.clone(), key, bytes }))
    }

    /// Returns the hint, if there is one that can be read.
    pub(super) fn head(&self) -> Result<Option<Previous>> {
        let bytes = self.storage.get(HEAD, ReadFrom::Anywhere)?;
        // A hint that cannot be read is no hint: the walk finds what it should have said.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Finds the newest release: the hint if it holds, and whatever came after it.
    ///
    /// Ids sort by the second, so several may share the newest one; of those the one that no other names as its
    /// previous is the newest.
    fn tip(&self) -> Result<Option<Raw>> {
        let newest = match self.head()? {
            Some(head) => self.newest_by(&head)?,
            None => None,
        };
        match newest {
            Some(group) => Ok(last_of(group)),
            None => Ok(last_of(self.newest_second(Walk::new(&*self.storage, RELEASES, ""))?)),
        }
    }

    /// Returns the releases of the newest second, as the hint leads to them; `None` if it does not hold.
    fn newest_by(&self, head: &Previous) -> Result<Option<Vec<Raw>>> {
        let (hinted, walk) = both(|| self.read_release(&head.id), || Walk::since(&*self.storage, RELEASES, &head.id));
        let Some(hinted) = hinted?.filter(|raw| digest(&raw.bytes) == head.digest) else { return Ok(None) };
        let group = self.newest_second(walk?.filter(|id| id.as_ref().map_or(true, |id| *id != head.id)))?;
        // What has no manifest is what a crash left behind: the hinted one may be the newest all the same.
        Ok(Some(match group.first() {
            Some(first) if second(&first.id) > second(&head.id) => group,
            _ => group.into_iter().chain([hinted]).collect(),
        }))
    }

    /// Reads the releases of the newest second that has one.
    fn newest_second(&self, walk: impl Iterator<Item = Result<ReleaseId>>) -> Result<Vec<Raw>> {
        let mut group: Vec<Raw> = Vec::new();
        for id in walk {
            let id = id?;
            if group.first().is_some_and(|first| second(&first.id) != second(&id)) {
                break;
            }
            group.extend(self.read_release(&id)?);
        }
        Ok(group)
    }

    /// Reads the manifests of releases, many at once; in the order of the ids, without those that are not there.
    pub(super) fn read_releases(&self, ids: &[ReleaseId]) -> Result<Vec<Raw>> {
        let width = self.storage.parallelism().reads;
        let raws = ask_all(width, ids, &Cancel::new(), |id| self.read_release(id))?;
        Ok(raws.into_iter().flatten().collect())
    }
}

/// Picks the release that no other of `group` follows; of several the one written last.
fn last_of(group: Vec<Raw>) -> Option<Raw> {
    if group.len() < 2 {
        return group.into_iter().next();
    }
    let read: Vec<_> = group.iter().map(|raw| parse(&raw.bytes, &raw.key).ok()).collect();
    let followed: HashSet<_> =
        read.iter().flatten().filter_map(|m| m.previous.as_ref()).map(|p| p.id.clone()).collect();
    let rank = |(raw, manifest): &(Raw, Option<Manifest>)| {
        let written = manifest.as_ref().map(|manifest| manifest.created_at);
        (!followed.contains(&raw.id), second(&raw.id).to_owned(), written, raw.id.clone())
    };
    group.into_iter().zip(read).max_by_key(rank).map(|(raw, _)| raw)
}

fn signature_key(id: &ReleaseId) -> String {
    format!("{}/manifest.json.sig", Ledger::folder(id))
}

fn attempt_key(id: &ReleaseId) -> String {
    format!("{ATTEMPTS}/{}/{id}.json", id.date_path())
}

pub(super) fn unwritable(error: serde_json::Error) -> Error {
    Error::new(ErrorCode::Internal, "cannot write a record as JSON").caused_by(error)
}
