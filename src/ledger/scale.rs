//! Tests of what questions cost on a ledger of 100,000 releases, whose records are made when they are read.

use super::manifest::digest;
use super::{Ledger, sample};
use crate::error::Result;
use crate::model::manifest::Previous;
use crate::model::release_id::ReleaseId;
use crate::storage::{Class, Entry, Parallelism, PutMode, PutOutcome, ReadFrom, Storage};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

/// How many names one page of a listing holds, as on S3.
const PAGE: usize = 1000;

/// A bucket of releases, of which the `passed` oldest passed; every page of a listing is one request.
#[derive(Debug)]
struct Bucket {
    ids: Vec<ReleaseId>,
    passed: usize,
    has_head: AtomicBool,
    requests: AtomicUsize,
}

impl Bucket {
    /// Fills a bucket with `count` releases, one each `every` seconds, the last of them at a quarter past three.
    fn new(count: i64, every: i64, passed: usize) -> Arc<Self> {
        let last: Timestamp = "2026-11-20T15:15:00Z".parse().unwrap();
        let id = |number: i64| {
            let at = last - SignedDuration::from_secs((count - 1 - number) * every);
            ReleaseId::parse(&format!("{}-1.4.0-{number:08x}", at.strftime("%Y%m%dT%H%M%SZ"))).unwrap()
        };
        let ids = (0..count).map(id).collect();
        Arc::new(Self { ids, passed, has_head: AtomicBool::new(true), requests: AtomicUsize::new(0) })
    }

    fn manifest(&self, number: usize) -> Vec<u8> {
        let id = self.ids[number].as_str();
        let manifest = if number < self.passed { sample::passed(id) } else { sample::refused(id) };
        manifest.to_json().unwrap()
    }

    /// Returns how many requests `ask` makes.
    fn cost<T>(&self, ask: impl FnOnce() -> Result<T>) -> (usize, T) {
        self.requests.store(0, Relaxed);
        let answer = ask().unwrap();
        (self.requests.load(Relaxed), answer)
    }
}

impl Storage for Bucket {
    fn location(&self) -> String {
        "memory".to_owned()
    }
    fn parallelism(&self) -> Parallelism {
        Parallelism { uploads: 8, reads: 8 }
    }
    fn put(&self, key: &str, _: &Bytes, _: PutMode, _: Class) -> Result<PutOutcome> {
        unreachable!("{key} is written")
    }
    fn get(&self, key: &str, _: ReadFrom) -> Result<Option<Vec<u8>>> {
        self.requests.fetch_add(1, Relaxed);
        if key == "head.json" {
            let newest = self.ids.len() - 1;
            let head = Previous { id: self.ids[newest].clone(), digest: digest(&self.manifest(newest)) };
            return Ok(self.has_head.load(Relaxed).then(|| serde_json::to_vec(&head).unwrap()));
        }
        let id = key.strip_suffix("/manifest.json").and_then(|key| key.rsplit('/').next());
        let number = id.and_then(|id| self.ids.binary_search_by(|one| one.as_str().cmp(id)).ok());
        Ok(number.map(|number| self.manifest(number)))
    }
    fn get_range(&self, key: &str, _: u64, _: usize) -> Result<Option<Vec<u8>>> {
        unreachable!("{key} is read in part")
    }
    fn size(&self, key: &str) -> Result<Option<u64>> {
        unreachable!("{key} is looked at")
    }
    fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        unreachable!("all of {prefix} is listed")
    }
    fn list_names(&self, prefix: &str) -> Result<Vec<String>> {
        self.list_names_after(prefix, "", usize::MAX)
    }
    fn list_names_after(&self, prefix: &str, after: &str, most: usize) -> Result<Vec<String>> {
        let date: String = prefix.chars().filter(char::is_ascii_digit).collect();
        let start = self.ids.partition_point(|id| id.as_str() < date.as_str());
        let ids = self.ids[start..].iter().map(ReleaseId::as_str).take_while(|id| id.starts_with(&date));
        let mut names: Vec<&str> = match date.len() {
            0 => ids.map(|id| &id[..4]).collect(),
            8 => ids.collect(),
            length => ids.map(|id| &id[length..length + 2]).collect(),
        };
        names.dedup();
        let names = names.into_iter().map(|name| format!("{name}/")).filter(|name| name.as_str() > after);
        let names: Vec<String> = names.take(most).collect();
        self.requests.fetch_add(names.len().div_ceil(PAGE).max(1), Relaxed);
        Ok(names)
    }
    fn delete(&self, key: &str) -> Result<()> {
        unreachable!("{key} is deleted")
    }
}

/// The numbers of `docs/performance.md`.
#[test]
fn no_question_costs_more_on_a_long_ledger() {
    // One release in half an hour for almost six years; and one in four seconds, for five days.
    for every in [1800, 4] {
        let bucket = Bucket::new(100_000, every, 99_990);
        let ledger = Ledger::new(bucket.clone());
        let (newest, last) = (bucket.ids[99_999].as_str(), bucket.ids[99_989].as_str());
        let (requests, found) = bucket.cost(|| ledger.newest());
        assert_eq!(found.unwrap().manifest.id.as_str(), newest);
        assert!(requests <= 6, "newest: {requests}");
        let (requests, found) = bucket.cost(|| ledger.previous());
        assert_eq!(found.unwrap().id.as_str(), newest);
        assert!(requests <= 6, "previous: {requests}");
        let (requests, found) = bucket.cost(|| ledger.last_passed());
        assert_eq!(found.found.unwrap().manifest.id.as_str(), last);
        assert!(requests <= 60, "last that passed, ten refused since: {requests}");
        let (requests, found) = bucket.cost(|| ledger.list(20));
        assert_eq!((found.len(), found[0].id.as_str()), (20, newest));
        assert!(requests <= 60, "the newest 20: {requests}");
        let (requests, found) = bucket.cost(|| ledger.last_deployed());
        assert!(found.found.is_none());
        assert!(requests <= 260, "what is deployed, none of 100 was reconciled: {requests}");
        bucket.has_head.store(false, Relaxed);
        let (requests, found) = bucket.cost(|| ledger.newest());
        assert_eq!(found.unwrap().manifest.id.as_str(), newest);
        assert!(requests <= 20, "newest without the hint: {requests}");
    }
}

#[test]
fn a_ledger_of_refusals_is_not_read_to_its_end() {
    let bucket = Bucket::new(100_000, 4, 0);
    let ledger = Ledger::new(bucket.clone());
    let (requests, search) = bucket.cost(|| ledger.last_passed());
    assert!(search.found.is_none() && search.cut_after == Some(1000));
    assert!(requests <= 1100, "none of 1,000 passed: {requests}");
}
