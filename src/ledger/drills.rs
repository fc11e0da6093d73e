//! Drills in the ledger: each a signed event beside the manifest, and a hint to the newest.

use super::events::{Event, EventRecord, to_json};
use super::manifest::digest;
use super::releases::{Ledger, unwritable};
use crate::error::Result;
use crate::model::drill::{Drill, DrillResult};
use crate::model::release_id::ReleaseId;
use crate::storage::many::both;
use crate::storage::{Class, PutMode, PutOutcome, ReadFrom};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The hint that names the newest drills; never believed without a look at what it names.
const LAST: &str = "last-drill.json";

/// What the hint says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Last {
    /// The newest drill that passed.
    passed: Option<Named>,
    /// The newest that failed, if it is newer than that.
    failed: Option<Named>,
}

/// Where the event of a drill is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Named {
    release: ReleaseId,
    event: String,
}

/// A drill as the ledger holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDrill {
    /// When it ended.
    pub at: Timestamp,
    /// What was found.
    pub drill: Drill,
    /// The bytes of its event, over which it is signed.
    pub bytes: Vec<u8>,
    /// Its signature, if it has one.
    pub signature: Option<Vec<u8>>,
}

/// The newest drills of an environment: what the hint leads to, or why that cannot be believed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LastDrills {
    /// The newest that passed.
    pub passed: Option<Result<StoredDrill, String>>,
    /// The newest that failed, if it is newer than that.
    pub failed: Option<Result<StoredDrill, String>>,
}

impl Ledger {
    /// Writes the event of a drill beside the manifest of its release, before it what `sign` makes of its bytes, and last
    /// the hint to it.
    ///
    /// # Errors
    /// The store's own; those of `sign`.
    pub fn record_drill(
        &self,
        at: Timestamp,
        drill: Drill,
        sign: impl Fn(&[u8]) -> Result<Option<String>>,
    ) -> Result<EventRecord> {
        let (release, passed) = (drill.release.clone(), drill.result == DrillResult::Passed);
        let event = Event::Drilled { at, drill: Box::new(drill) };
        let json = to_json(&event)?;
        let signature = sign(&json)?;
        let name = loop {
            let name = event.new_name()?;
            let key = key(&release, &name);
            // Before the event, so that none is there without.
            if let Some(signature) = &signature {
                let there =
                    self.storage.put(&sig(&key), &signature.clone().into(), PutMode::CreateOnly, Class::Record)?;
                if there == PutOutcome::Exists {
                    continue;
                }
            }
            if self.storage.put(&key, &json, PutMode::CreateOnly, Class::Record)? == PutOutcome::Written {
                break name;
            }
        };
        // The drill is recorded; a hint that could not be written is an old one, and no hint is believed anyway.
        let _ = self.hint(passed, Named { release, event: name.clone() });
        Ok(EventRecord { name, event })
    }

    fn hint(&self, passed: bool, named: Named) -> Result<()> {
        let last = match passed {
            true => Last { passed: Some(named), failed: None },
            false => Last { failed: Some(named), ..self.hinted()? },
        };
        let json = serde_json::to_vec(&last).map_err(unwritable)?;
        self.storage.put(LAST, &json.into(), PutMode::Overwrite, Class::Transient).map(drop)
    }

    fn hinted(&self) -> Result<Last> {
        let bytes = self.storage.get(LAST, ReadFrom::Anywhere)?;
        // A hint that cannot be read is no hint: then nothing is known of drills until the next one.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Returns the newest drills. Each is what the release's own manifest and folder agree with; who signed it is for the
    /// caller to check. One request where nobody ever practised.
    ///
    /// # Errors
    /// The store's own.
    pub fn last_drills(&self) -> Result<LastDrills> {
        let Last { passed, failed } = self.hinted()?;
        let read = |named: Option<Named>, expected| match named {
            Some(named) => self.named(&named, expected).map(Some),
            None => Ok(None),
        };
        let (passed, failed) = both(|| read(passed, true), || read(failed, false));
        Ok(LastDrills { passed: passed?, failed: failed? })
    }

    fn named(&self, named: &Named, has_passed: bool) -> Result<Result<StoredDrill, String>> {
        let Named { release, event } = named;
        // It becomes part of a key.
        if !event.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
            return Ok(Err(format!("{LAST} names no event")));
        }
        let key = key(release, event);
        let get = |key: &str| self.storage.get(key, ReadFrom::Anywhere);
        let ((bytes, signature), manifest) =
            both(|| both(|| get(&key), || get(&sig(&key))), || self.read_release(release));
        let (Some(bytes), signature, Some(manifest)) = (bytes?, signature?, manifest?) else {
            return Ok(Err(format!("{key} is not there, or its release is not")));
        };
        let (at, drill) = match serde_json::from_slice(&bytes) {
            Ok(Event::Drilled { at, drill }) => (at, *drill),
            Ok(_) => return Ok(Err(format!("{key} is no drill"))),
            Err(error) => return Ok(Err(format!("{key} cannot be read: {error}"))),
        };
        if drill.release != *release || drill.manifest_digest != digest(&manifest.bytes) {
            return Ok(Err(format!("{key} is about another release, or its manifest is another one now")));
        }
        if (drill.result == DrillResult::Passed) != has_passed {
            return Ok(Err(format!("{key} is not what {LAST} says")));
        }
        Ok(Ok(StoredDrill { at, drill, bytes, signature }))
    }
}

fn key(release: &ReleaseId, event: &str) -> String {
    format!("{}/events/{event}.json", Ledger::folder(release))
}

fn sig(key: &str) -> String {
    format!("{key}.sig")
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::storage::LocalStorage;
    use std::sync::Arc;

    const ID: &str = "20261120T213000Z-1.4.0-3f9c2ab1";

    fn signed(bytes: &[u8]) -> Result<Option<String>> {
        Ok(Some(format!("signature over {}", digest(bytes))))
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_newest_drill_is_found_again_and_a_failed_one_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        assert_eq!(ledger.last_drills().unwrap(), LastDrills::default());
        let stored = ledger.record(&sample::passed(ID)).unwrap();
        let drill = |result| sample::drill(&stored, result);
        ledger.record_drill(at("2026-11-21T01:00:00Z"), drill(DrillResult::Passed), signed).unwrap();
        let found = ledger.last_drills().unwrap();
        let passed = found.passed.unwrap().unwrap();
        assert_eq!((passed.at, &passed.drill), (at("2026-11-21T01:00:00Z"), &drill(DrillResult::Passed)));
        assert_eq!(passed.signature, signed(&passed.bytes).unwrap().map(String::into_bytes));
        assert_eq!(found.failed, None);

        ledger.record_drill(at("2026-11-22T01:00:00Z"), drill(DrillResult::Failed), |_| Ok(None)).unwrap();
        let found = ledger.last_drills().unwrap();
        assert_eq!(found.passed, Some(Ok(passed)));
        assert_eq!(found.failed.unwrap().unwrap().signature, None);
        assert_eq!(ledger.events(&stored.manifest.id).unwrap().len(), 2, "signatures are no events");

        ledger.record_drill(at("2026-11-23T01:00:00Z"), drill(DrillResult::Passed), signed).unwrap();
        assert_eq!(ledger.last_drills().unwrap().failed, None, "one that failed before does not matter any more");
    }

    #[test]
    fn a_drill_that_is_about_something_else_is_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        let stored = ledger.record(&sample::passed(ID)).unwrap();
        let why = || ledger.last_drills().unwrap().passed.unwrap().unwrap_err();
        let mut other = sample::drill(&stored, DrillResult::Passed);
        other.manifest_digest = digest(b"another manifest");
        let event = ledger.record_drill(at("2026-11-21T01:00:00Z"), other, signed).unwrap();
        assert!(why().contains("about another release"), "{}", why());
        let path = directory.path().join(key(&stored.manifest.id, &event.name));
        std::fs::write(&path, "{").unwrap();
        assert!(why().contains("cannot be read"), "{}", why());
        std::fs::remove_file(&path).unwrap();
        assert!(why().contains("is not there"), "{}", why());
        let hint = |event: &str| {
            let last = format!(r#"{{"passed": {{"release": "{ID}", "event": "{event}"}}}}"#);
            std::fs::write(directory.path().join(LAST), last).unwrap();
        };
        hint("../manifest");
        assert!(why().contains("names no event"), "{}", why());
        std::fs::write(directory.path().join(LAST), "[]").unwrap();
        assert_eq!(ledger.last_drills().unwrap(), LastDrills::default());
    }
}
