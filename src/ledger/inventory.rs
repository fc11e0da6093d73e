//! Everything that the ledger holds, listed at once: for whoever must not overlook a record.

use super::events::EventRecord;
use super::releases::{Ledger, Stored};
use super::walk::{ATTEMPTS, RELEASES};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::release_id::ReleaseId;
use crate::storage::many::ask_all;
use std::collections::BTreeMap;

/// What there is of one run, by the names of its objects; nothing of it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: ReleaseId,
    /// Whether its manifest is there.
    pub has_manifest: bool,
    /// The names of its events, without `.json`; a run that never held the lease has none.
    pub events: Vec<String>,
}

impl Named {
    /// Says whether it is a record: what has neither a manifest nor an event is what a crash left behind.
    pub fn is_record(&self) -> bool {
        self.has_manifest || !self.events.is_empty()
    }
}

/// A record, read as far as it can be.
#[derive(Debug)]
pub struct Kept {
    /// Its id.
    pub id: ReleaseId,
    /// Its manifest and its events, oldest first, or why one of them cannot be read.
    pub record: Result<(Stored, Vec<EventRecord>)>,
}

impl Ledger {
    /// Lists every run, the oldest first: releases, and the runs that never held the lease.
    ///
    /// # Errors
    /// The store's own.
    pub fn inventory(&self) -> Result<Vec<Named>> {
        let mut all: BTreeMap<ReleaseId, Named> = BTreeMap::new();
        for root in [RELEASES, ATTEMPTS] {
            for entry in self.storage.list(root)? {
                let Some((id, rest)) = parts(&entry.key) else { continue };
                let none = || Named { id: id.clone(), has_manifest: false, events: Vec::new() };
                let named = all.entry(id.clone()).or_insert_with(none);
                if matches!(rest, "" | "manifest.json") {
                    named.has_manifest = true;
                } else if let Some(event) = rest.strip_prefix("events/").and_then(|name| name.strip_suffix(".json")) {
                    named.events.push(event.to_owned());
                }
            }
        }
        Ok(all.into_values().collect())
    }

    /// Reads records, many at once, in their order.
    ///
    /// # Errors
    /// The store's own; a cancellation. What cannot be understood is in the answer.
    pub fn read_all(&self, named: &[Named], cancel: &Cancel) -> Result<Vec<Kept>> {
        ask_all(self.storage.parallelism().reads, named, cancel, |named| {
            let record = match self.read_one(named) {
                Err(error) if error.code() != ErrorCode::ManifestInvalid => return Err(error),
                record => record,
            };
            Ok(Kept { id: named.id.clone(), record })
        })
    }

    fn read_one(&self, named: &Named) -> Result<(Stored, Vec<EventRecord>)> {
        let Some(raw) = self.read(&named.id)? else {
            let message = format!("the manifest of {} is not there, and there are events beside it", named.id);
            return Err(Error::new(ErrorCode::ManifestInvalid, message).hint("bring it back from a copy of the store"));
        };
        Ok((raw.parse()?, self.events_named(&named.id, &named.events)?))
    }
}

/// Returns the id of the run that an object is of, and the rest of its key: `""` for that of an attempt.
fn parts(key: &str) -> Option<(ReleaseId, &str)> {
    let (root, rest) = key.split_once('/')?;
    // Behind `YYYY/MM/DD/`.
    let name = rest.get(11..)?;
    let (id, rest) = match root {
        RELEASES => name.split_once('/')?,
        ATTEMPTS => (name.strip_suffix(".json")?, ""),
        _ => return None,
    };
    let id = ReleaseId::parse(id).ok()?;
    // What lies in another folder than its own, no question to the ledger finds.
    (rest_of(key, &id)).then_some((id, rest))
}

fn rest_of(key: &str, id: &ReleaseId) -> bool {
    key.split_once('/').is_some_and(|(_, rest)| rest.starts_with(&id.date_path()))
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::ledger::events::Event;
    use crate::storage::LocalStorage;
    use std::sync::Arc;

    const ID: &str = "20261120T213000Z-1.4.0-3f9c2ab1";
    const ATTEMPT: &str = "20261120T213001Z-1.4.0-00000000";

    #[test]
    fn nothing_is_overlooked_and_what_cannot_be_read_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        assert_eq!(ledger.inventory().unwrap(), []);
        let stored = ledger.record(&sample::passed(ID)).unwrap();
        ledger.record_attempt(&sample::passed(ATTEMPT)).unwrap();
        let at = "2026-11-20T22:00:00Z".parse().unwrap();
        let thawed = Event::Thawed { at, by: "ada".to_owned(), reason: "done".to_owned() };
        let event = ledger.record_event(&stored.manifest.id, &thawed).unwrap();
        let listed = ledger.inventory().unwrap();
        assert_eq!(listed.iter().map(|named| named.id.as_str()).collect::<Vec<_>>(), [ID, ATTEMPT]);
        assert_eq!(listed[0].events, std::slice::from_ref(&event.name));
        let read = || ledger.read_all(&ledger.inventory().unwrap(), &Cancel::new()).unwrap();
        let records = read();
        assert_eq!(records[0].record.as_ref().unwrap(), &(stored.clone(), vec![event.clone()]));
        assert!(records[1].record.is_ok());

        let path = |name: &str| directory.path().join(Ledger::folder(&stored.manifest.id)).join(name);
        let event = path(&format!("events/{}.json", event.name));
        std::fs::write(&event, "{}").unwrap();
        assert_eq!(read()[0].record.as_ref().unwrap_err().code(), ErrorCode::ManifestInvalid);
        std::fs::remove_file(path("manifest.json")).unwrap();
        assert!(ledger.inventory().unwrap()[0].is_record(), "its event tells that it was one");
        assert!(read()[0].record.is_err());
        std::fs::remove_file(event).unwrap();
        let left = ledger.inventory().unwrap();
        assert!(left.iter().all(|named| named.id.as_str() != ID || !named.is_record()));
    }
}
