//! Runs that race for one lease in a bucket.

use crate::storage::object_lock::locked_bucket;
use crate::support::full;
use crate::support::holdpoint::Holdpoint;
use crate::support::s3::Server;
use crate::support::shop::{COMMIT, Shop};
use holdpoint::cancel::Cancel;
use holdpoint::error::{ErrorCode, Result};
use holdpoint::ledger::lease::{Acquired, Owner, SystemClock, Terms, acquire, acquire_with};
use holdpoint::model::finding::FindingCode;
use holdpoint::storage::SharedStorage;
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

/// Runs that race.
const RUNS: usize = 4;

fn me() -> Owner {
    Owner::current(None, None).unwrap()
}

/// A run whose process has ended.
fn dead() -> Owner {
    let mut child = Command::new("true").stdin(Stdio::null()).spawn().unwrap();
    child.wait().unwrap();
    Owner { pid: child.id(), process_started: Some(1), ..me() }
}

/// Leaves a lease behind, as a run does that is killed.
fn die_with_the_lease(storage: &SharedStorage) {
    // Nobody renews it, for longer than any test runs.
    let terms = Terms { renew_every: Duration::from_secs(1_000_000), ..Terms::default() };
    let acquired = acquire_with(Arc::clone(storage), dead(), &Cancel::new(), Arc::new(SystemClock), terms).unwrap();
    std::mem::forget(acquired.lease);
}

/// Lets runs race once; returns what each of them got. All hold what they have until all have tried.
fn race(storages: &[SharedStorage]) -> Vec<Result<Acquired>> {
    let start = Barrier::new(storages.len());
    thread::scope(|scope| {
        let runs: Vec<_> = storages
            .iter()
            .map(|storage| {
                scope.spawn(|| {
                    let owner = me();
                    start.wait();
                    acquire(Arc::clone(storage), owner, &Cancel::new())
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    })
}

#[test]
fn exactly_one_of_those_who_race_holds_the_lease() {
    let server = Server::rgw();
    let bucket = server.bucket("lease");
    rounds_of_races(&server, &bucket, 200);
}

/// Ceph's gateway overlooks the condition of a write where there are versions, as there are under Object Lock.
#[test]
fn exactly_one_holds_it_where_the_bucket_keeps_versions() {
    let server = Server::rgw();
    let bucket = locked_bucket(&server, "lease");
    rounds_of_races(&server, &bucket, if full() { 200 } else { 20 });
}

/// Lets runs race so often, every second time for the lease of a run that died.
fn rounds_of_races(server: &Server, bucket: &str, rounds: usize) {
    let storages: Vec<SharedStorage> = (0..RUNS).map(|_| Arc::new(server.open(bucket, "shop")) as _).collect();
    for round in 0..rounds {
        let is_takeover = round % 2 == 1;
        if is_takeover {
            die_with_the_lease(&storages[round % RUNS]);
        }
        let mut holders = Vec::new();
        for outcome in race(&storages) {
            match outcome {
                Ok(acquired) => holders.push(acquired),
                Err(error) => assert_eq!(error.code(), ErrorCode::Busy, "round {round}: {error}"),
            }
        }
        assert_eq!(holders.len(), 1, "round {round}: {holders:?}");
        let Acquired { lease, finding } = holders.remove(0);
        assert_eq!(finding.map(|finding| finding.code), is_takeover.then_some(FindingCode::LeaseTakenOver));
        lease.check().unwrap();
        lease.release().unwrap();
    }
}

#[test]
fn a_store_that_overwrites_gives_no_lease() {
    let server = Server::in_process_without_conditions();
    let bucket = server.bucket("careless");
    let storage: SharedStorage = Arc::new(server.open(&bucket, "shop"));
    let error = acquire(Arc::clone(&storage), me(), &Cancel::new()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreUnsafe, "{error}");
    // Nobody is kept waiting for it.
    let again = acquire(storage, me(), &Cancel::new()).unwrap_err();
    assert_eq!(again.code(), ErrorCode::StoreUnsafe, "{again}");
}

#[test]
fn a_gate_on_a_store_that_overwrites_refuses() {
    let server = Server::in_process_without_conditions();
    let store = format!("s3://{}", server.bucket("careless"));
    let with = |holdpoint: Holdpoint| {
        server
            .environment()
            .into_iter()
            .fold(holdpoint.password(), |holdpoint, (name, value)| holdpoint.env(name, value))
    };
    let shop = Shop::with(with);
    let output = shop.run(&[
        "gate",
        "uploads",
        "-e",
        "staging",
        "--release",
        "1.0.0",
        "--commit",
        COMMIT,
        "--first",
        "--store",
        &store,
    ]);
    let output = output.expect(10);
    output.says(&["overwrites what must be created only once"]);
    assert!(output.stdout.contains("If-None-Match"), "{}", output.stdout);
}
