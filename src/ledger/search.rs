//! Questions to the ledger: what is there, what passed last, what is deployed.

use super::events::Event;
use super::releases::{Ledger, Stored};
use super::walk::{RELEASES, Walk, second};
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::model::manifest::{Purpose, SourceRecord, State};
use crate::model::reconciliation::Side;
use crate::model::release_id::ReleaseId;
use crate::model::version::Version;
use crate::storage::many::ask_all;
use jiff::Timestamp;
use std::iter::Peekable;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

/// How many releases are looked at for what is deployed, so that a ledger without any reconciliation costs no more.
const DEPLOYED_WITHIN: usize = 100;

/// How many releases are looked at for a snapshot that may stand in.
const LOOKED_BACK: usize = 100;

/// How many releases are looked at in any search, so that no ledger costs more than that.
pub(super) const SEARCHED_WITHIN: usize = 1000;
/// How many manifests are read at first, and how many at once at most.
const FIRST_BATCH: usize = 4;
const LARGEST_BATCH: usize = 64;

/// One release in a listing.
#[derive(Debug)]
pub struct Listed {
    /// Its id.
    pub id: ReleaseId,
    /// Its record, or why it cannot be read.
    pub record: Result<Stored>,
}

/// What a search found, and what it could not read on the way.
#[derive(Debug)]
pub struct Search<T> {
    /// The newest match.
    pub found: Option<T>,
    /// Newer records that may have been a match, had they been readable.
    pub unreadable: Vec<Unreadable>,
    /// How many releases were looked at, if there are older ones that were not and that may hold what was looked for.
    pub cut_after: Option<usize>,
}

/// A record that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its id.
    pub id: ReleaseId,
    /// Why.
    pub error: Error,
}

/// Says whether a later run may be compared with a release: it passed, and is no rescue of a broken state.
fn is_comparable(stored: &Stored) -> bool {
    stored.manifest.state == State::Passed && stored.manifest.purpose != Purpose::Safety
}

/// What the ledger believes is deployed.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployed {
    /// The version.
    pub version: Version,
    /// Its commit, if the manifest tells it.
    pub commit: Option<String>,
    /// The release whose reconciliation says so.
    pub release: ReleaseId,
    /// When it was observed.
    pub at: Timestamp,
}

impl Ledger {
    /// Returns the newest releases, newest first, at most `limit`; an unreadable record is listed as that.
    ///
    /// # Errors
    /// The store's own.
    pub fn list(&self, limit: usize) -> Result<Vec<Listed>> {
        let mut listed: Vec<Listed> = Vec::new();
        let mut batches = self.batches(usize::MAX, limit.clamp(1, LARGEST_BATCH))?;
        while listed.len() < limit
            && let Some(ids) = batches.next()?
        {
            listed.extend(
                self.read_releases(&ids)?.into_iter().map(|raw| Listed { id: raw.id.clone(), record: raw.parse() }),
            );
        }
        let written = |entry: &Listed| entry.record.as_ref().ok().map(|stored| stored.manifest.created_at);
        listed.sort_by(|one, two| (second(&two.id), written(two)).cmp(&(second(&one.id), written(one))));
        listed.truncate(limit);
        Ok(listed)
    }

    /// Returns the newest release that the gate judged, passed or not; snapshots outside of a deploy are passed over.
    ///
    /// # Errors
    /// The store's own; records that cannot be read are in the answer.
    pub fn newest_gate(&self) -> Result<Search<Stored>> {
        self.search(self.searched_within, |stored| Ok((stored.manifest.purpose == Purpose::Gate).then_some(stored)))
    }

    /// Returns the newest release that passed: the one that sizes are compared with.
    ///
    /// # Errors
    /// The store's own; records that cannot be read are in the answer.
    pub fn last_passed(&self) -> Result<Search<Stored>> {
        self.search(self.searched_within, |stored| Ok(is_comparable(&stored).then_some(stored)))
    }

    /// Returns the newest release whose pass was used: the one that is being deployed, or was last.
    ///
    /// # Errors
    /// The store's own, or an event that cannot be read; records that cannot be read are in the answer.
    pub fn last_admitted(&self) -> Result<Search<Stored>> {
        self.search(self.searched_within.min(DEPLOYED_WITHIN), |stored| {
            let events = self.events(&stored.manifest.id)?;
            let admitted = events.iter().any(|record| matches!(record.event, Event::Admitted { .. }));
            Ok(admitted.then_some(stored))
        })
    }

    /// Returns the newest release that passed and was run for `purpose`, or else the newest that passed: runs of the other
    /// purpose may leave sources out.
    ///
    /// # Errors
    /// The store's own; records that cannot be read are in the answer.
    pub fn last_passed_for(&self, purpose: Purpose) -> Result<Search<Stored>> {
        let passed = |stored: &Stored| stored.manifest.state == State::Passed && stored.manifest.purpose == purpose;
        let search = self.search(self.searched_within, |stored| Ok(passed(&stored).then_some(stored)))?;
        if search.found.is_some() {
            return Ok(search);
        }
        // What is found now is of the other purpose; an older one of this purpose would have been better.
        Ok(Search { cut_after: search.cut_after, ..self.last_passed()? })
    }

    /// Shows the newest releases to `visit`, newest first, at most 100, until it has seen enough and says so. Records that cannot
    /// be read are passed over.
    ///
    /// # Errors
    /// The store's own; what `visit` fails with.
    pub fn look_back(&self, mut visit: impl FnMut(Stored) -> Result<ControlFlow<()>>) -> Result<()> {
        let mut batches = self.batches(self.searched_within.min(LOOKED_BACK), FIRST_BATCH)?;
        while let Some(ids) = batches.next()? {
            let records = self.read_releases(&ids)?.into_iter().filter_map(|raw| raw.parse().ok());
            let mut records: Vec<Stored> = records.collect();
            records.sort_by(|one, two| key(two).cmp(&key(one)));
            for stored in records {
                if visit(stored)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Returns the newest snapshot of a source that was captured by `method`, of a release that passed; with the release whose
    /// run captured it.
    ///
    /// # Errors
    /// The store's own; records that cannot be read are in the answer.
    pub fn newest_snapshot(&self, source: &str, method: &str) -> Result<Search<(ReleaseId, SourceRecord)>> {
        self.search(self.searched_within, |stored| {
            let Stored { manifest, .. } = stored;
            if manifest.state != State::Passed {
                return Ok(None);
            }
            let is_it =
                |record: &SourceRecord| record.name == source && record.method == method && record.snapshot.is_some();
            let found = manifest.sources.into_iter().find(is_it);
            Ok(found.map(|record| (record.captured_by(&manifest.id).clone(), record)))
        })
    }

    /// Returns what the ledger believes is deployed: the expected side of the newest release that was reconciled and
    /// matched. Only the newest 100 releases are asked.
    ///
    /// # Errors
    /// The store's own, or an event that cannot be read.
    pub fn last_deployed(&self) -> Result<Search<Deployed>> {
        self.search(self.searched_within.min(DEPLOYED_WITHIN), |stored| {
            let events = self.events(&stored.manifest.id)?;
            let Some((side, at)) = events.iter().rev().find_map(|record| record.event.matched()) else {
                return Ok(None);
            };
            let release = stored.manifest.release;
            let (version, commit) = match side {
                Side::To => (Some(release.to.version), Some(release.to.commit)),
                Side::From => (release.from.version, release.from.commit),
            };
            Ok(version.map(|version| Deployed { version, commit, release: stored.manifest.id, at }))
        })
    }

    /// Walks newest first, until `pick` takes one of at most `limit` releases.
    fn search<T: Send>(&self, limit: usize, pick: impl Fn(Stored) -> Result<Option<T>> + Sync) -> Result<Search<T>> {
        let width = self.storage.parallelism().reads;
        let mut unreadable = Vec::new();
        let mut batches = self.batches(limit, FIRST_BATCH)?;
        while let Some(ids) = batches.next()? {
            let mut records = Vec::new();
            for raw in self.read_releases(&ids)? {
                let id = raw.id.clone();
                match raw.parse() {
                    Ok(stored) => records.push(stored),
                    Err(error) => unreadable.push(Unreadable { id, error }),
                }
            }
            // Ids of one second sort by version; their order is known only from what was read.
            records.sort_by(|one, two| key(two).cmp(&key(one)));
            let seconds: Vec<String> = records.iter().map(|stored| second(&stored.manifest.id).to_owned()).collect();
            let records: Vec<Mutex<Option<Stored>>> =
                records.into_iter().map(|stored| Mutex::new(Some(stored))).collect();
            let picked = ask_all(width, &records, &Cancel::new(), |stored| {
                let stored = stored.lock().unwrap_or_else(PoisonError::into_inner).take();
                // What is wrong with an older one does not matter once a newer one was taken.
                Ok(stored.map_or(Ok(None), &pick))
            })?;
            let first = picked.into_iter().zip(&seconds).find_map(|(found, at)| Some((found.transpose()?, at)));
            if let Some((found, at)) = first {
                let found = found?;
                unreadable.retain(|record| second(&record.id) >= at.as_str());
                return Ok(Search { found: Some(found), unreadable, cut_after: None });
            }
        }
        let cut_after = batches.is_cut()?.then_some(limit);
        Ok(Search { found: None, unreadable, cut_after })
    }

    /// Starts a walk over at most `limit` releases, newest first, in batches of at first `size`.
    fn batches(&self, limit: usize, size: usize) -> Result<Batches<'_>> {
        let storage = &*self.storage;
        let all = Walk::new(storage, RELEASES, "");
        let Some(head) = self.head()? else {
            let rest: Box<dyn Iterator<Item = _>> = Box::new(all);
            return Ok(Batches { newest: Vec::new(), rest: rest.peekable(), size, left: limit });
        };
        // Where the hint leads to, and what came after it; what is older is listed only when it is asked for.
        let mut newest =
            Walk::since(storage, RELEASES, &head.id)?.take(limit.saturating_add(1)).collect::<Result<Vec<_>>>()?;
        let beyond = newest.split_off(newest.len().min(limit));
        let hinted = second(&head.id).to_owned();
        let older = all.filter(move |id| id.as_ref().map_or(true, |id| second(id) < hinted.as_str()));
        let rest: Box<dyn Iterator<Item = _>> = Box::new(beyond.into_iter().map(Ok).chain(older));
        Ok(Batches { left: limit - newest.len(), newest, rest: rest.peekable(), size })
    }
}

/// Orders records by when they were made.
fn key(stored: &Stored) -> (&str, Timestamp) {
    (second(&stored.manifest.id), stored.manifest.created_at)
}

/// Ids in batches that grow, each of which ends with the last id of its second.
struct Batches<'a> {
    /// The first batch.
    newest: Vec<ReleaseId>,
    rest: Peekable<Box<dyn Iterator<Item = Result<ReleaseId>> + 'a>>,
    size: usize,
    /// How many ids of the rest may still be taken.
    left: usize,
}

impl Batches<'_> {
    fn next(&mut self) -> Result<Option<Vec<ReleaseId>>> {
        let mut batch = std::mem::take(&mut self.newest);
        if !batch.is_empty() {
            return Ok(Some(batch));
        }
        while self.left > 0
            && let Some(id) = self.rest.next()
        {
            batch.push(id?);
            self.left -= 1;
            let goes_on = |next: &Result<ReleaseId>| {
                next.as_ref().is_ok_and(|next| batch.last().is_some_and(|last| second(last) == second(next)))
            };
            if batch.len() >= self.size && !self.rest.peek().is_some_and(goes_on) {
                break;
            }
        }
        self.size = (self.size * 4).min(LARGEST_BATCH);
        Ok(Some(batch).filter(|batch| !batch.is_empty()))
    }

    /// Says whether it ended because no more may be taken, and there is more.
    fn is_cut(&mut self) -> Result<bool> {
        if self.left > 0 {
            return Ok(false);
        }
        Ok(self.rest.next().transpose()?.is_some())
    }
}
