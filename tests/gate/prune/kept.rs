//! What stays whatever the rules say.

use super::super::shop::{STAGING, Shop};
use super::{BARE, Passed, gate, prune, releases, restores, run};
use crate::support::ledger::release_folder;
use holdpoint::ledger::events::Event;
use holdpoint::model::release_id::ReleaseId;
use holdpoint::storage::LocalStorage;
use jiff::Timestamp;
use std::sync::Arc;

fn gates(shop: &Shop, versions: &[&str]) -> Vec<Passed> {
    versions.iter().map(|version| gate(shop, version)).collect()
}

#[test]
fn what_somebody_holds_stays_until_it_is_lifted() {
    let shop = Shop::with(BARE);
    let all = gates(&shop, &["1.0.0", "1.1.0", "1.2.0"]);
    let held = ["hold", &all[0].id, "--reason", "case 4711"];
    run(&shop, &held).expect(0).shows(&["held by", "case 4711"]);
    let done = prune(&shop, &[]);
    assert_eq!(releases(&done, true), [&*all[1].id]);
    assert!(done.to_string().contains("held: case 4711"));
    restores(&shop, &all[0]);
    run(&shop, &["hold", &all[1].id, "--reason", "late"]).expect(2).shows(&["was let go"]);
    run(&shop, &["hold", &all[0].id, "--reason", "over", "--lift"]).expect(0).shows(&["every hold was lifted"]);
    assert_eq!(releases(&prune(&shop, &[]), true), [&*all[0].id]);
    run(&shop, &["hold", &all[2].id, "--reason", "soon over", "--until", "1h"]).expect(0);
    shop.restic(STAGING).check();
}

#[test]
fn nothing_is_removed_while_it_is_frozen_or_somebody_deploys() {
    let shop = Shop::with(BARE);
    let all = gates(&shop, &["1.0.0", "1.1.0"]);
    run(&shop, &["freeze", "--reason", "year's end"]).expect(0);
    let refused = run(&shop, &["prune", "--yes"]).expect(14);
    refused.shows(&["is frozen", "nothing was removed", "holdpoint thaw"]);
    run(&shop, &["prune", "--dry-run"]).expect(0).shows(&["cannot be done now", "is frozen"]);
    run(&shop, &["thaw", "--reason", "over"]).expect(0);
    let claimed = shop.claim(&all[1].id);
    run(&shop, &["prune", "--yes"]).expect(14).shows(&["was admitted", "nothing was removed"]);
    all.iter().for_each(|passed| restores(&shop, passed));
    assert!(shop.ledger().close_claim(&claimed).unwrap());
    assert_eq!(releases(&prune(&shop, &[]), true), [&*all[0].id]);
}

#[test]
fn what_runs_is_kept_and_nothing_goes_while_nobody_knows_what_runs() {
    let shop = Shop::with(BARE);
    let all = gates(&shop, &["1.0.0", "1.1.0", "1.2.0"]);
    let probe = "\n[environment.staging.deployed]\nkind = \"file\"\npath = \"VERSION\"\n";
    shop.write("holdpoint.toml", format!("{BARE}{probe}"));
    run(&shop, &["prune", "--yes"]).expect(15).shows(&["what runs could not be observed", "nothing is removed"]);
    shop.write("VERSION", "1.0.0\n");
    let done = prune(&shop, &[]);
    assert_eq!(releases(&done, true), [&*all[1].id]);
    assert!(done.to_string().contains("it runs, as far as is known"));
    restores(&shop, &all[0]);
}

#[test]
fn a_record_that_cannot_be_read_keeps_all_that_is_older() {
    let shop = Shop::with(BARE);
    let all = gates(&shop, &["1.0.0", "1.1.0", "1.2.0", "1.3.0"]);
    let id = &all[1].id;
    let path = shop.place(STAGING).join(release_folder(id)).join("manifest.json");
    let manifest = std::fs::read(&path).unwrap();
    std::fs::write(&path, &manifest[..manifest.len() / 2]).unwrap();
    let done = prune(&shop, &["--unreferenced-older-than", "1h"]);
    assert_eq!(releases(&done, true), [&*all[2].id]);
    assert_eq!(done["plan"]["unreadable"], serde_json::json!([id]));
    std::fs::write(&path, manifest).unwrap();
    [0, 1, 3].iter().for_each(|place| restores(&shop, &all[*place]));
}

#[test]
fn a_store_that_lets_nothing_be_deleted_loses_no_release() {
    let shop = Shop::with(BARE);
    let all = gates(&shop, &["1.0.0", "1.1.0"]);
    // What is asked to be deleted first, to find out whether it can be; as of any directory, the store refuses.
    let in_the_way = shop.place(STAGING).join("repository/index").join("0".repeat(64));
    std::fs::create_dir(&in_the_way).unwrap();
    run(&shop, &["prune", "--yes"]).expect(10).shows(&["cannot be pruned by whoever runs this"]);
    let listed = run(&shop, &["releases", "--format", "json"]).expect(0).json();
    assert!(listed["releases"].as_array().unwrap().iter().all(|one| one["pruned"] == false), "{listed:#}");
    run(&shop, &["hold", &all[0].id, "--reason", "it can still be held"]).expect(0);
    run(&shop, &["hold", &all[0].id, "--reason", "and be let go", "--lift"]).expect(0);
    std::fs::remove_dir(in_the_way).unwrap();
    assert_eq!(releases(&prune(&shop, &[]), true), [&*all[0].id]);
    restores(&shop, &all[1]);
}

#[test]
fn a_mark_takes_nothing_of_what_runs() {
    let shop = Shop::with(BARE);
    let all = gates(&shop, &["1.0.0", "1.1.0", "1.2.0"]);
    let probe = "\n[environment.staging.deployed]\nkind = \"file\"\npath = \"VERSION\"\n";
    shop.write("holdpoint.toml", format!("{BARE}{probe}"));
    shop.write("VERSION", "1.0.0\n");
    let at = Timestamp::now();
    for passed in &all[..2] {
        let snapshots = vec![passed.snapshot.clone()];
        let event = Event::Pruned { at, by: "ada".to_owned(), snapshots, copy: None, archive: None };
        shop.ledger().record_event(&ReleaseId::parse(&passed.id).unwrap(), &event).unwrap();
    }
    let done = prune(&shop, &[]);
    assert_eq!(done["plan"]["leftovers"], serde_json::json!([all[1].snapshot]));
    restores(&shop, &all[0]);
    restores(&shop, &all[2]);
}

#[test]
fn a_record_that_is_gone_is_missed_and_without_any_no_snapshot_is_garbage() {
    let shop = Shop::with(BARE);
    let all = gates(&shop, &["1.0.0", "1.1.0", "1.2.0", "1.3.0"]);
    let id = &all[1].id;
    let folder = shop.place(STAGING).join(release_folder(id));
    let aside = shop.beside("aside");
    std::fs::rename(&folder, &aside).unwrap();
    let done = prune(&shop, &[]);
    assert_eq!((releases(&done, true), &done["plan"]["unreadable"]), (vec![&*all[2].id], &serde_json::json!([id])));
    std::fs::rename(&aside, &folder).unwrap();
    std::fs::rename(shop.place(STAGING).join("releases"), &aside).unwrap();
    let refused = run(&shop, &["prune", "--yes", "--unreferenced-older-than", "1h"]).expect(2);
    refused.shows(&["no record of a release", "bring the records back"]);
    std::fs::rename(&aside, shop.place(STAGING).join("releases")).unwrap();
    [0, 1, 3].iter().for_each(|place| restores(&shop, &all[*place]));
}

#[test]
fn what_a_kept_release_leans_on_stays() {
    let reuse = format!("{BARE}\n[policy.first]\nreuse_within = \"1h\"\n");
    let shop = Shop::with(&reuse);
    let captured = gate(&shop, "1.0.0");
    shop.holdpoint.run(super::super::shop::arguments("gate", STAGING, "1.1.0", &[])).expect(0);
    let manifest = shop.manifest();
    assert_eq!(manifest.source("data")["outcome"], "stood_in", "{:#}", manifest.0["decision"]);
    let done = prune(&shop, &[]);
    assert_eq!(releases(&done, true), [""; 0]);
    assert!(done.to_string().contains("leans on it"));
    restores(&shop, &captured);
    let stood_in = Passed { id: manifest.0["id"].as_str().unwrap().to_owned(), ..captured.clone() };
    restores(&shop, &stood_in);
    // Once neither is needed, both are let go, and both say so.
    shop.write("holdpoint.toml", BARE);
    gate(&shop, "1.2.0");
    let done = prune(&shop, &[]);
    assert_eq!(releases(&done, true), [&*stood_in.id, &captured.id]);
    assert_eq!(done["plan"]["totals"]["snapshots_removed"], 1);
    for id in [&stood_in.id, &captured.id] {
        run(&shop, &["rollback", "--id", id, "--plan"]).expect(16).shows(&["retention let"]);
    }
    shop.restic(STAGING).check();
}

#[test]
fn others_at_work_are_waited_for_and_then_nothing_is_removed() {
    use holdpoint::cancel::Cancel;
    use holdpoint::ledger::lease::{Owner, acquire};
    use holdpoint::repository::Repository;
    use holdpoint::repository::lock::LockKind;
    use std::time::Duration;
    let shop = Shop::with(BARE);
    let all = gates(&shop, &["1.0.0", "1.1.0"]);
    let storage = Arc::new(LocalStorage::new(shop.place(STAGING).join("repository")).unwrap());
    let repository = Repository::open(storage, shop.read(".holdpoint/key").trim()).unwrap();
    let cancel = Cancel::new();
    // A restore, say.
    let lock = repository.lock(LockKind::Shared, Duration::ZERO, &cancel).unwrap();
    run(&shop, &["prune", "--yes", "--wait", "0s"]).expect(14).shows(&["is locked"]);
    run(&shop, &["prune", "--dry-run"]).expect(0);
    lock.release().unwrap();
    // A gate that is about to write its record.
    let lease = acquire(shop.ledger().storage(), Owner::current(None, None).unwrap(), &cancel).unwrap().lease;
    run(&shop, &["prune", "--yes", "--wait", "0s"]).expect(14).shows(&["another run holds this environment"]);
    lease.release().unwrap();
    all.iter().for_each(|passed| restores(&shop, passed));
    assert_eq!(releases(&prune(&shop, &[]), true), [&*all[0].id]);
    // A gate waits for whoever only prunes, as long as its deadline lets it.
    let owner = Owner::current(None, None).unwrap().yielding();
    let lease = acquire(shop.ledger().storage(), owner, &cancel).unwrap().lease;
    let mut waiting = shop.start(&[]);
    let numbers = || super::super::shop::names(&shop.place(STAGING).join("lease"));
    let held = numbers();
    assert!(!waiting.ends_within(Duration::from_millis(300)), "it waits");
    assert_eq!(numbers(), held);
    lease.release().unwrap();
    waiting.wait().expect(0);
    let owner = Owner::current(None, None).unwrap().yielding();
    let _lease = acquire(shop.ledger().storage(), owner, &cancel).unwrap().lease;
    shop.gate(&["--timeout", "2s"]).expect(14).shows(&["another run holds this environment"]);
}
