//! Tests of the records, the searches and the chain together.

use super::events::Event;
use super::{Break, Ledger, sample};
use crate::error::{ErrorCode, Result};
use crate::model::manifest::{Manifest, Purpose, State};
use crate::model::reconciliation::{Outcome, Side};
use crate::model::release_id::ReleaseId;
use crate::storage::{Class, Entry, LocalStorage, Parallelism, PutMode, PutOutcome, ReadFrom, Storage};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A storage that counts its requests.
#[derive(Debug)]
pub(super) struct Counting(LocalStorage, pub(super) AtomicUsize);

impl Counting {
    fn count(&self) -> &LocalStorage {
        self.1.fetch_add(1, Relaxed);
        &self.0
    }
}

impl Storage for Counting {
    fn location(&self) -> String {
        self.0.location()
    }
    fn parallelism(&self) -> Parallelism {
        self.0.parallelism()
    }
    fn put(&self, key: &str, data: &Bytes, mode: PutMode, class: Class) -> Result<PutOutcome> {
        self.count().put(key, data, mode, class)
    }
    fn get(&self, key: &str, from: ReadFrom) -> Result<Option<Vec<u8>>> {
        self.count().get(key, from)
    }
    fn get_range(&self, key: &str, offset: u64, length: usize) -> Result<Option<Vec<u8>>> {
        self.count().get_range(key, offset, length)
    }
    fn size(&self, key: &str) -> Result<Option<u64>> {
        self.count().size(key)
    }
    fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        self.count().list(prefix)
    }
    fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.count().list_names(prefix)
    }
    fn delete(&self, key: &str) -> Result<()> {
        self.count().delete(key)
    }
}

pub(super) struct House {
    _directory: tempfile::TempDir,
    pub(super) storage: Arc<Counting>,
    pub(super) ledger: Ledger,
}

pub(super) fn house() -> House {
    let directory = tempfile::tempdir().unwrap();
    let storage = Arc::new(Counting(LocalStorage::new(directory.path()).unwrap(), AtomicUsize::new(0)));
    House { _directory: directory, ledger: Ledger::new(storage.clone()), storage }
}

impl House {
    pub(super) fn append(&self, manifest: Manifest) {
        let previous = self.ledger.previous().unwrap();
        self.ledger.record(&sample::after(manifest, previous)).unwrap();
    }
    pub(super) fn overwrite(&self, key: &str, data: &[u8]) {
        let _ = self.storage.put(key, &Bytes::copy_from_slice(data), PutMode::Overwrite, Class::Record).unwrap();
    }
    fn newest(&self) -> String {
        self.ledger.newest().unwrap().unwrap().manifest.id.to_string()
    }
    fn manifest_key(id: &str) -> String {
        format!("{}/manifest.json", Ledger::folder(&id.parse_id()))
    }
}

trait ParseId {
    fn parse_id(&self) -> ReleaseId;
}

impl ParseId for str {
    fn parse_id(&self) -> ReleaseId {
        ReleaseId::parse(self).unwrap()
    }
}

const OLD: &str = "20251231T235959Z-1.2.0-aaaaaaaa";
const MID: &str = "20261120T213000Z-1.3.0-bbbbbbbb";
const NEW: &str = "20261121T080000Z-1.4.0-cccccccc";

fn three() -> House {
    let house = house();
    house.append(sample::passed(OLD));
    house.append(sample::refused(MID));
    house.append(sample::refused(NEW));
    house
}

#[test]
fn an_empty_ledger_answers_nothing() {
    let House { ledger, .. } = &house();
    assert!(ledger.newest().unwrap().is_none() && ledger.previous().unwrap().is_none());
    assert!(ledger.list(10).unwrap().is_empty());
    assert!(ledger.last_passed().unwrap().found.is_none() && ledger.last_deployed().unwrap().found.is_none());
    assert_eq!(ledger.verify_chain().unwrap().length, 0);
    assert_eq!(ledger.get("2026").unwrap_err().code(), ErrorCode::NotFound);
}

#[test]
fn releases_are_found_again_and_never_written_twice() {
    let house = three();
    assert_eq!(house.newest(), NEW);
    let ids = |limit| -> Vec<_> { house.ledger.list(limit).unwrap().iter().map(|l| l.id.to_string()).collect() };
    assert_eq!(ids(10), [NEW, MID, OLD]);
    assert_eq!(ids(2), [NEW, MID]);
    let passed = house.ledger.last_passed().unwrap();
    assert_eq!(passed.found.unwrap().manifest.id.as_str(), OLD);
    for id in [MID, "20261120T213000Z-1.3.0", "20261120", "202611202".get(..8).unwrap()] {
        assert_eq!(house.ledger.get(id).unwrap().manifest.id.as_str(), MID);
    }
    assert_eq!(house.ledger.get("2026").unwrap_err().code(), ErrorCode::Usage);
    assert_eq!(house.ledger.record(&sample::passed(MID)).unwrap_err().code(), ErrorCode::ManifestInvalid);
    house.ledger.write_page(&MID.parse_id(), "one").unwrap();
    house.ledger.write_page(&MID.parse_id(), "two").unwrap();
}

#[test]
fn attempts_are_found_by_id_and_are_no_releases() {
    let house = three();
    let attempt = "20261122T000000Z-1.5.0-dddddddd";
    house.ledger.record_attempt(&sample::refused(attempt)).unwrap();
    assert_eq!(house.newest(), NEW);
    assert_eq!(house.ledger.get("20261122").unwrap().manifest.id.as_str(), attempt);
    assert_eq!(house.ledger.verify_chain().unwrap().length, 3);
}

#[test]
fn the_hint_is_only_a_hint() {
    let house = three();
    let good = house.storage.get("head.json", ReadFrom::Anywhere).unwrap().unwrap();
    // Gone, broken, pointing nowhere, and of an earlier moment.
    house.storage.delete("head.json").unwrap();
    assert_eq!(house.newest(), NEW);
    for bad in ["{", "{\"id\": \"x\", \"digest\": \"y\"}"] {
        house.overwrite("head.json", bad.as_bytes());
        assert_eq!(house.newest(), NEW);
    }
    let text = String::from_utf8(good).unwrap();
    house.overwrite("head.json", text.replace("cccccccc", "eeeeeeee").as_bytes());
    assert_eq!(house.newest(), NEW);
    let mid = house.ledger.get(MID).unwrap();
    house.overwrite("head.json", text.replace(NEW, MID).replace(&digest_of(&text), &mid.digest).as_bytes());
    assert_eq!(house.newest(), NEW);
}

fn digest_of(head: &str) -> String {
    serde_json::from_str::<serde_json::Value>(head).unwrap()["digest"].as_str().unwrap().to_owned()
}

#[test]
fn the_newest_release_costs_a_bounded_number_of_requests() {
    let house = house();
    for day in 1..=9 {
        for hour in 10..14 {
            house.append(sample::passed(&format!("202611{day:02}T{hour}0000Z-1.0.0-0000000{day}")));
        }
    }
    for head in [true, false] {
        if !head {
            house.storage.delete("head.json").unwrap();
        }
        house.storage.1.store(0, Relaxed);
        assert!(house.newest().starts_with("20261109T13"));
        let requests = house.storage.1.load(Relaxed);
        assert!(requests <= 7, "{requests} requests, head: {head}");
    }
}

#[test]
fn releases_of_one_second_keep_the_order_in_which_they_were_written() {
    let house = house();
    // The random digits sort against the order of writing.
    let ids = ["20261120T213000Z-1.4.0-ffffffff", "20261120T213000Z-1.4.0-88888888", "20261120T213000Z-1.4.0-00000000"];
    for (number, id) in (0..).zip(ids) {
        let mut manifest = sample::passed(id);
        manifest.created_at += jiff::SignedDuration::from_millis(number);
        if number == 2 {
            manifest.state = State::Refused;
        }
        house.append(manifest);
    }
    assert_eq!(house.newest(), ids[2]);
    house.storage.delete("head.json").unwrap();
    assert_eq!(house.newest(), ids[2]);
    assert_eq!(house.ledger.list(1).unwrap()[0].id.as_str(), ids[2]);
    assert_eq!(house.ledger.last_passed().unwrap().found.unwrap().manifest.id.as_str(), ids[1]);
    let chain = house.ledger.verify_chain().unwrap();
    assert_eq!((chain.length, chain.broken), (3, None));
}

#[test]
fn the_chain_breaks_where_a_record_was_touched() {
    let house = three();
    assert_eq!(house.ledger.verify_chain().unwrap().length, 3);

    let key = House::manifest_key(MID);
    let good = house.storage.get(&key, ReadFrom::Anywhere).unwrap().unwrap();
    house.overwrite(&key, String::from_utf8(good.clone()).unwrap().replace("refused", "passed").as_bytes());
    let broken = house.ledger.verify_chain().unwrap();
    assert_eq!(broken.length, 1);
    assert_eq!(broken.broken, Some(Break::Altered { id: MID.parse_id(), named_by: Some(NEW.parse_id()) }));

    house.storage.delete(&key).unwrap();
    let missing = house.ledger.verify_chain().unwrap().broken;
    assert_eq!(missing, Some(Break::Missing { id: MID.parse_id(), named_by: Some(NEW.parse_id()) }));

    house.overwrite(&key, &good);
    house.ledger.record(&sample::passed("20260101T000000Z-1.0.0-dddddddd")).unwrap();
    let newest = house.storage.get(&House::manifest_key(NEW), ReadFrom::Anywhere).unwrap().unwrap();
    let head = serde_json::json!({"id": NEW, "digest": super::manifest::digest(&newest)});
    house.overwrite("head.json", head.to_string().as_bytes());
    let outside = house.ledger.verify_chain().unwrap().broken;
    assert_eq!(outside, Some(Break::Outside { id: "20260101T000000Z-1.0.0-dddddddd".parse_id() }));

    house.storage.delete(&House::manifest_key(NEW)).unwrap();
    let removed = house.ledger.verify_chain().unwrap().broken;
    assert_eq!(removed, Some(Break::Missing { id: NEW.parse_id(), named_by: None }));
}

#[test]
fn a_damaged_newest_record_is_told_and_can_be_followed() {
    let house = three();
    house.overwrite(&House::manifest_key(NEW), b"{\"schema_version\": 1, \"id\"");
    let error = house.ledger.newest().unwrap_err();
    assert_eq!(error.code(), ErrorCode::ManifestInvalid);
    assert!(error.message().contains("is truncated"), "{error}");
    assert_eq!(house.ledger.previous().unwrap().unwrap().id.as_str(), NEW);
    assert!(house.ledger.list(3).unwrap()[0].record.is_err());
    let search = house.ledger.last_passed().unwrap();
    assert_eq!((search.unreadable.len(), search.found.unwrap().manifest.id.as_str().to_owned()), (1, OLD.to_owned()));
    house.append(sample::passed("20261122T000000Z-1.5.0-dddddddd"));
    assert_eq!(house.newest(), "20261122T000000Z-1.5.0-dddddddd");
}

#[test]
fn a_search_says_that_it_did_not_come_to_the_end() {
    let house = three();
    for has_head in [true, false] {
        if !has_head {
            house.storage.delete("head.json").unwrap();
        }
        let search = |limit| house.ledger.clone().searching_within(limit).last_passed().unwrap();
        assert_eq!(search(3).cut_after, None);
        let cut = search(2);
        assert!(cut.found.is_none() && cut.cut_after == Some(2), "{cut:?}");
        // Whether there was more does not matter to whom has it.
        assert_eq!(house.ledger.clone().searching_within(1).newest_gate().unwrap().cut_after, None);
        assert_eq!(house.ledger.clone().searching_within(2).last_deployed().unwrap().cut_after, Some(2));
    }
    assert_eq!(house.ledger.clone().searching_within(3).last_deployed().unwrap().cut_after, None);
    // Several of the newest second are in the first listing already.
    house.append(sample::refused("20261121T080000Z-1.4.0-dddddddd"));
    let cut = house.ledger.clone().searching_within(1).last_passed().unwrap();
    assert!(cut.found.is_none() && cut.cut_after == Some(1), "{cut:?}");
    // Another kind of run is found where this one is not, and an older one of this kind may exist.
    let other = house.ledger.clone().searching_within(4).last_passed_for(Purpose::Snapshot).unwrap();
    assert_eq!((other.found.unwrap().manifest.id.as_str(), other.cut_after), (OLD, None));
    house.append(sample::passed("20261122T080000Z-1.4.0-eeeeeeee"));
    let other = house.ledger.clone().searching_within(4).last_passed_for(Purpose::Snapshot).unwrap();
    assert!(other.found.is_some() && other.cut_after == Some(4), "{other:?}");
}

#[test]
fn a_record_under_another_name_is_refused() {
    let house = three();
    let other = house.storage.get(&House::manifest_key(OLD), ReadFrom::Anywhere).unwrap().unwrap();
    house.overwrite(&House::manifest_key(MID), &other);
    let error = house.ledger.get(MID).unwrap_err();
    assert!(error.message().contains("calls itself"), "{error}");
}

#[test]
fn what_is_deployed_is_what_was_last_seen_to_match() {
    let house = three();
    let event = |at: &str, expected, outcome| Event::Reconciled {
        at: at.parse().unwrap(),
        expected,
        outcome,
        instances: vec![],
        explanation: String::new(),
    };
    let deployed =
        || house.ledger.last_deployed().unwrap().found.map(|d| (d.version.to_string(), d.release.to_string()));
    let tell = |id: &str, event| house.ledger.record_event(&id.parse_id(), &event).map(drop).unwrap();
    assert_eq!(deployed(), None);
    tell(OLD, event("2026-01-01T00:00:00Z", Side::To, Outcome::Matched));
    tell(MID, event("2026-11-20T22:00:00Z", Side::To, Outcome::Partial));
    assert_eq!(deployed(), Some(("1.4.0".to_owned(), OLD.to_owned())));
    tell(MID, event("2026-11-20T23:00:00Z", Side::From, Outcome::Matched));
    assert_eq!(deployed(), Some(("1.3.0".to_owned(), MID.to_owned())));
    tell(MID, event("2026-11-20T23:30:00Z", Side::To, Outcome::Drifted));
    assert_eq!(deployed(), Some(("1.3.0".to_owned(), MID.to_owned())));
}
