//! One run at a time: who holds an environment is named, and who died while holding it does not block the next.

use super::shop::{STAGING, Shop, arguments, names, shell, until};
use holdpoint::cancel::Cancel;
use holdpoint::ledger::Ledger;
use holdpoint::repository::Repository;
use holdpoint::repository::lock::LockKind;
use holdpoint::storage::{LocalStorage, SharedStorage};
use jiff::{SignedDuration, Timestamp};
use rustix::process::Signal;
use std::sync::Arc;
use std::time::Duration;

/// A source that says when it is inside and ends when it may.
fn waiting() -> Shop {
    let script = "touch inside; while ! test -e go; do sleep 0.02; done; echo data";
    Shop::with(&format!("[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {}\n", shell(script)))
}

fn storage(shop: &Shop, folder: &str) -> SharedStorage {
    Arc::new(LocalStorage::new(shop.place(STAGING).join(folder)).unwrap())
}

#[test]
fn the_second_of_two_gates_is_refused_and_names_the_first() {
    let shop = waiting();
    let mut first = shop.start(&[]);
    until(&mut first, "it was inside", || shop.path("inside").exists());
    let second = shop.gate(&["--manifest-out", "second.json"]).expect(14);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    second.refuses_in_words().says(&[&format!("process {} on {host}", first.pid())]);
    let manifest = super::shop::Manifest::read(&shop.path("second.json"));
    manifest.assert_refused("refused", &["lease-held"]);
    let id = manifest.0["id"].as_str().unwrap().to_owned();
    assert_eq!(first.pid(), shop.lease(STAGING).unwrap()["owner"]["pid"].as_u64().unwrap() as u32);
    shop.write("go", "");
    first.wait().expect(0);
    // It is on record as an attempt, and no part of the chain.
    let date = format!("attempts/{}/{}/{}", &id[..4], &id[4..6], &id[6..8]);
    assert_eq!(names(&shop.place(STAGING).join(date)), [format!("{id}.json")]);
    assert!(shop.manifest().0["previous"].is_null());
    shop.gate(&[]).expect(0);
    shop.assert_nothing_left();
}

#[test]
fn the_lease_of_a_killed_run_is_taken_over_at_once() {
    let shop = waiting();
    let mut first = shop.start(&[]);
    until(&mut first, "it was inside", || shop.path("inside").exists());
    let pid = first.pid();
    first.signal(Signal::KILL);
    assert_eq!(first.wait().code, None);
    shop.write("go", "");
    shop.gate(&[]).expect(0);
    let manifest = shop.manifest();
    assert!(manifest.message("lease-taken-over").contains(&format!("process {pid} on ")));
    assert!(manifest.message("lease-taken-over").contains("no such process"));
    assert!(manifest.message("stale-lock-removed").contains(&format!("process {pid} on ")));
    shop.restic(STAGING).check();
}

#[test]
fn a_lease_of_another_host_is_not_taken_over_before_its_time() {
    let shop = waiting();
    shop.write("go", "").gate(&[]).expect(0);
    let mut lease = shop.lease(STAGING).unwrap();
    lease["released"] = false.into();
    lease["owner"]["host"] = "elsewhere.invalid".into();
    lease["expires_at"] = (Timestamp::now() + SignedDuration::from_secs(60)).to_string().into();
    let write = |number: u32, lease: &serde_json::Value| {
        let file = shop.place(STAGING).join(format!("lease/{number}.json"));
        std::fs::write(file, serde_json::to_vec(lease).unwrap()).unwrap();
    };
    write(7, &lease);
    shop.gate(&[]).expect(14).says(&["on elsewhere.invalid"]);
    lease["expires_at"] = (Timestamp::now() - SignedDuration::from_secs(1)).to_string().into();
    write(7, &lease);
    shop.gate(&[]).expect(0);
    assert!(shop.manifest().message("lease-taken-over").contains("has not renewed it in time"));
    shop.assert_nothing_left();
}

#[test]
fn an_exclusive_lock_is_waited_for_and_then_named() {
    let shop = Shop::new();
    shop.gate(&["data"]).expect(0);
    let key = shop.read(".holdpoint/key");
    let repository = Repository::open(storage(&shop, "repository"), key.trim()).unwrap();
    let lock = repository.lock(LockKind::Exclusive, Duration::ZERO, &Cancel::new()).unwrap();
    let output = shop.gate(&["data", "--timeout", "4s"]).expect(14);
    output.refuses_in_words().says(&[&format!("process {} of ", std::process::id()), "an exclusive lock"]);
    shop.manifest().assert_refused("refused", &["repository-locked"]);
    assert_eq!(shop.lease(STAGING).unwrap()["released"], true);
    // One that is given up while the gate waits is no refusal.
    let mut running = shop.start(&["data"]);
    until(&mut running, "it held the lease", || shop.lease(STAGING).is_some_and(|lease| lease["released"] == false));
    lock.release().unwrap();
    running.wait().expect(0);
    shop.assert_nothing_left();
    shop.restic(STAGING).check();
}

/// Records a release that a clock wrote which is ahead of ours.
fn record_ahead(shop: &Shop, ahead: SignedDuration) {
    let ledger = Ledger::new(storage(shop, ""));
    let mut manifest = ledger.newest().unwrap().unwrap().manifest;
    manifest.previous = ledger.previous().unwrap();
    let time = Timestamp::now() + ahead;
    manifest.created_at = time;
    manifest.id = holdpoint::model::release_id::ReleaseId::new(time, &manifest.release.to.version, [1, 2, 3, 4]);
    ledger.record(&manifest).unwrap();
}

#[test]
fn a_record_of_the_future_refuses_and_one_of_the_next_minutes_warns() {
    let shop = Shop::new();
    shop.gate(&["data"]).expect(0);
    record_ahead(&shop, SignedDuration::from_mins(4));
    shop.gate(&["data"]).expect(0);
    assert!(shop.manifest().codes("warning").contains(&"clock-skew"));
    shop.holdpoint.run(arguments("doctor", STAGING, "1.4.0", &["data"])).expect(0);
    record_ahead(&shop, SignedDuration::from_hours(1));
    shop.gate(&["data"]).expect(10).refuses_in_words();
    shop.manifest().assert_refused("refused", &["clock-skew"]);
    shop.holdpoint.run(arguments("doctor", STAGING, "1.4.0", &["data"])).expect(10);
    shop.assert_nothing_left();
}
