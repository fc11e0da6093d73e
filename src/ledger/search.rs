//! Questions to the ledger: what is there, what passed last, what is deployed.

use super::releases::{Ledger, Stored, second};
use super::walk::{RELEASES, Walk};
use crate::error::{Error, Result};
use crate::model::manifest::{Purpose, SourceRecord, State};
use crate::model::reconciliation::Side;
use crate::model::release_id::ReleaseId;
use crate::model::version::Version;
use jiff::Timestamp;

/// How many releases are looked at for what is deployed, so that a ledger without any reconciliation costs no more.
const DEPLOYED_WITHIN: usize = 100;

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
}

/// A record that cannot be read.
#[derive(Debug)]
pub struct Unreadable {
    /// Its id.
    pub id: ReleaseId,
    /// Why.
    pub error: Error,
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
        for id in Walk::new(&*self.storage, RELEASES, "") {
            let id = id?;
            // Ids of one second sort by version; their order is known only when all of them were read.
            if listed.len() >= limit && listed.last().is_none_or(|last| second(&last.id) != second(&id)) {
                break;
            }
            if let Some(raw) = self.read_release(&id)? {
                listed.push(Listed { id, record: raw.parse() });
            }
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
        self.search(usize::MAX, |stored| Ok((stored.manifest.purpose == Purpose::Gate).then_some(stored)))
    }

    /// Returns the newest release that passed: the one that sizes are compared with.
    ///
    /// # Errors
    /// The store's own; records that cannot be read are in the answer.
    pub fn last_passed(&self) -> Result<Search<Stored>> {
        self.search(usize::MAX, |stored| Ok((stored.manifest.state == State::Passed).then_some(stored)))
    }

    /// Returns the newest release that passed and was run for `purpose`, or else the newest that passed: runs of the other
    /// purpose may leave sources out.
    ///
    /// # Errors
    /// The store's own; records that cannot be read are in the answer.
    pub fn last_passed_for(&self, purpose: Purpose) -> Result<Search<Stored>> {
        let passed = |stored: &Stored| stored.manifest.state == State::Passed && stored.manifest.purpose == purpose;
        let search = self.search(usize::MAX, |stored| Ok(passed(&stored).then_some(stored)))?;
        if search.found.is_some() { Ok(search) } else { self.last_passed() }
    }

    /// Returns the newest snapshot of a source that was captured by `method`, of a release that passed.
    ///
    /// # Errors
    /// The store's own; records that cannot be read are in the answer.
    pub fn newest_snapshot(&self, source: &str, method: &str) -> Result<Search<(ReleaseId, SourceRecord)>> {
        self.search(usize::MAX, |stored| {
            let Stored { manifest, .. } = stored;
            if manifest.state != State::Passed {
                return Ok(None);
            }
            let is_it =
                |record: &SourceRecord| record.name == source && record.method == method && record.snapshot.is_some();
            Ok(manifest.sources.into_iter().find(is_it).map(|record| (manifest.id, record)))
        })
    }

    /// Returns what the ledger believes is deployed: the expected side of the newest release that was reconciled and
    /// matched. Only the newest 100 releases are asked.
    ///
    /// # Errors
    /// The store's own, or an event that cannot be read.
    pub fn last_deployed(&self) -> Result<Search<Deployed>> {
        self.search(DEPLOYED_WITHIN, |stored| {
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
    fn search<T>(&self, limit: usize, pick: impl Fn(Stored) -> Result<Option<T>>) -> Result<Search<T>> {
        let mut unreadable = Vec::new();
        let mut group: Vec<Stored> = Vec::new();
        let newest_of = |group: &mut Vec<Stored>| -> Result<Option<T>> {
            group.sort_by_key(|stored| std::cmp::Reverse(stored.manifest.created_at));
            for stored in group.drain(..) {
                if let Some(found) = pick(stored)? {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        };
        for id in Walk::new(&*self.storage, RELEASES, "").take(limit) {
            let id = id?;
            if group.first().is_some_and(|first| second(&first.manifest.id) != second(&id))
                && let Some(found) = newest_of(&mut group)?
            {
                return Ok(Search { found: Some(found), unreadable });
            }
            match self.read_release(&id)?.map(super::releases::Raw::parse) {
                Some(Ok(stored)) => group.push(stored),
                Some(Err(error)) => unreadable.push(Unreadable { id, error }),
                None => {}
            }
        }
        Ok(Search { found: newest_of(&mut group)?, unreadable })
    }
}
