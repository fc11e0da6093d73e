//! Drills in the ledger: each a signed event beside the manifest, and a hint to the newest.

use super::events::{Event, EventRecord, to_json};
use super::manifest::digest;
use super::releases::{Ledger, unwritable};
use crate::error::Result;
use crate::model::drill::{Drill, DrillResult};
use crate::model::manifest::Previous;
use crate::model::release_id::ReleaseId;
use crate::storage::many::both;
use crate::storage::{Class, PutMode, PutOutcome, ReadFrom};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The hint that names the newest drills; never believed without a look at what it names.
const LAST: &str = "last-drill.json";

/// How the names of drills' events begin.
const DRILLED: &str = "drilled-";

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
    /// When it ended: an older drill that is written later takes no newer one's place. Hints before 0.1.0 have none.
    #[serde(default)]
    at: Option<Timestamp>,
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

impl LastDrills {
    /// Adds a drill that the hint may not know of.
    fn with(mut self, own: Option<StoredDrill>) -> Self {
        let Some(own) = own else { return self };
        let is_newer = |known: &Option<Result<StoredDrill, String>>| {
            known.as_ref().is_none_or(|known| known.as_ref().is_ok_and(|known| own.at > known.at))
        };
        match own.drill.result == DrillResult::Passed {
            true if is_newer(&self.passed) => {
                self.failed = self.failed.filter(|failed| !failed.as_ref().is_ok_and(|failed| failed.at < own.at));
                self.passed = Some(Ok(own));
            }
            false if is_newer(&self.passed) && is_newer(&self.failed) => self.failed = Some(Ok(own)),
            _ => {}
        }
        self
    }
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
        let _ = self.hint(passed, Named { release, event: name.clone(), at: Some(at) });
        Ok(EventRecord { name, event })
    }

    fn hint(&self, passed: bool, named: Named) -> Result<()> {
        let known = self.hinted()?;
        let last = after(known.clone(), passed, named);
        if last == known {
            return Ok(());
        }
        let json = serde_json::to_vec(&last).map_err(unwritable)?;
        self.storage.put(LAST, &json.into(), PutMode::Overwrite, Class::Transient).map(drop)
    }

    fn hinted(&self) -> Result<Last> {
        let bytes = self.storage.get(LAST, ReadFrom::Anywhere)?;
        // A hint that cannot be read is no hint: then nothing is known of drills until the next one.
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }

    /// Returns the newest drills. Each is what the release's own manifest and folder agree with; who signed it is for the
    /// caller to check. The hint may be lost or an old one: the drills of the newest release count without it, too.
    ///
    /// # Errors
    /// The store's own.
    pub fn last_drills(&self) -> Result<LastDrills> {
        let (hinted, own) = both(|| self.hinted(), || self.newest_own());
        let (Last { passed, failed }, own) = (hinted?, own?);
        let read = |named: Option<Named>, expected| match named {
            Some(named) => self.named(&named, Some(expected)),
            None => Ok(None),
        };
        let (passed, failed) = both(|| read(passed, true), || read(failed, false));
        Ok(LastDrills { passed: passed?, failed: failed? }.with(own))
    }

    /// Returns the newest drill of the newest release, if it can be read: what cannot be the hint tells of.
    fn newest_own(&self) -> Result<Option<StoredDrill>> {
        let Some(Previous { id: release, .. }) = self.previous()? else { return Ok(None) };
        let names = self.storage.list_names(&format!("{}/events", Self::folder(&release)))?;
        let drills =
            names.iter().filter_map(|name| name.strip_suffix(".json")).filter(|name| name.starts_with(DRILLED));
        // Their names begin with when they were written.
        let Some(event) = drills.max().map(str::to_owned) else { return Ok(None) };
        Ok(self.named(&Named { release, event, at: None }, None)?.and_then(Result::ok))
    }

    /// Reads what the hint names; `None` if its release was pruned, and everything of it is gone.
    fn named(&self, named: &Named, has_passed: Option<bool>) -> Result<Option<Result<StoredDrill, String>>> {
        let Named { release, event, .. } = named;
        // It becomes part of a key.
        if !event.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
            return Ok(Some(Err(format!("{LAST} names no event"))));
        }
        let key = key(release, event);
        let get = |key: &str| self.storage.get(key, ReadFrom::Anywhere);
        let ((bytes, signature), manifest) =
            both(|| both(|| get(&key), || get(&sig(&key))), || self.read_release(release));
        let (bytes, signature, manifest) = (bytes?, signature?, manifest?);
        if bytes.is_none() && manifest.is_none() {
            return Ok(None);
        }
        let (Some(bytes), Some(manifest)) = (bytes, manifest) else {
            return Ok(Some(Err(format!("{key} is not there, or its release is not"))));
        };
        Ok(Some(read(&key, bytes, signature, &manifest.bytes, release, has_passed)))
    }
}

/// Reads the event of a drill, which must be about the very manifest of `release`.
fn read(
    key: &str,
    bytes: Vec<u8>,
    signature: Option<Vec<u8>>,
    manifest: &[u8],
    release: &ReleaseId,
    has_passed: Option<bool>,
) -> Result<StoredDrill, String> {
    let (at, drill) = match serde_json::from_slice(&bytes) {
        Ok(Event::Drilled { at, drill }) => (at, *drill),
        Ok(_) => return Err(format!("{key} is no drill")),
        Err(error) => return Err(format!("{key} cannot be read: {error}")),
    };
    if drill.release != *release || drill.manifest_digest != digest(manifest) {
        return Err(format!("{key} is about another release, or its manifest is another one now"));
    }
    if has_passed.is_some_and(|has_passed| (drill.result == DrillResult::Passed) != has_passed) {
        return Err(format!("{key} is not what {LAST} says"));
    }
    Ok(StoredDrill { at, drill, bytes, signature })
}

/// Returns what the hint says after a drill: the newest that passed, and the newest that failed if it is newer than that.
fn after(known: Last, has_passed: bool, named: Named) -> Last {
    let is_newer = |known: &Named| known.at > named.at;
    match has_passed {
        true if known.passed.as_ref().is_some_and(is_newer) => known,
        true => Last { failed: known.failed.filter(is_newer), passed: Some(named) },
        false if known.passed.iter().chain(&known.failed).any(is_newer) => known,
        false => Last { failed: Some(named), ..known },
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

        // Without the hint, or with an old one, the newest release's own drills are found all the same.
        let hint = std::fs::read(directory.path().join(LAST)).unwrap();
        ledger.record_drill(at("2026-11-24T01:00:00Z"), drill(DrillResult::Failed), signed).unwrap();
        std::fs::write(directory.path().join(LAST), hint).unwrap();
        let found = ledger.last_drills().unwrap();
        assert_eq!(found.failed.unwrap().unwrap().at, at("2026-11-24T01:00:00Z"));
        assert_eq!(found.passed.unwrap().unwrap().at, at("2026-11-23T01:00:00Z"));
        std::fs::remove_file(directory.path().join(LAST)).unwrap();
        assert_eq!(ledger.last_drills().unwrap().failed.unwrap().unwrap().at, at("2026-11-24T01:00:00Z"));
    }

    #[test]
    fn an_older_drill_that_is_written_later_takes_no_newer_ones_place() {
        let named = |at: &str| Named {
            release: ReleaseId::parse(ID).unwrap(),
            event: at.to_owned(),
            at: Some(self::at(&format!("2026-11-{at}T01:00:00Z"))),
        };
        let of =
            |passed: Option<&str>, failed: Option<&str>| Last { passed: passed.map(named), failed: failed.map(named) };
        for (known, has_passed, new, then) in [
            (of(None, None), true, "21", of(Some("21"), None)),
            (of(Some("22"), None), true, "21", of(Some("22"), None)),
            (of(Some("22"), None), false, "21", of(Some("22"), None)),
            (of(Some("20"), Some("22")), false, "21", of(Some("20"), Some("22"))),
            (of(Some("20"), Some("22")), true, "21", of(Some("21"), Some("22"))),
            (of(Some("20"), Some("21")), true, "22", of(Some("22"), None)),
        ] {
            assert_eq!(after(known.clone(), has_passed, named(new)), then, "{known:?} {has_passed} {new}");
        }
    }

    #[test]
    fn a_drill_of_a_release_that_was_pruned_is_forgotten_without_a_word() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        let stored = ledger.record(&sample::passed(ID)).unwrap();
        let drill = sample::drill(&stored, DrillResult::Passed);
        ledger.record_drill(at("2026-11-21T01:00:00Z"), drill, signed).unwrap();
        std::fs::remove_dir_all(directory.path().join(Ledger::folder(&stored.manifest.id))).unwrap();
        assert_eq!(ledger.last_drills().unwrap(), LastDrills::default());
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
