//! The order in which a copy is written, seen by a storage that watches.

use super::{part, shop};
use crate::support::storage::{Watched, remove_locks};
use holdpoint::cancel::Cancel;
use holdpoint::error::{Error, ErrorCode};
use holdpoint::model::progress::Progress;
use holdpoint::repository::copy::{CopyPlan, Tally, Trust};
use holdpoint::repository::lock::LockKind;
use holdpoint::repository::{Repository, Workers};
use holdpoint::storage::{LocalStorage, SharedStorage, Storage};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const FRESH: Trust = Trust { confirmed: None, nothing: false };

/// Opens the repository that two gates filled.
fn filled() -> (super::super::shop::Shop, Repository) {
    let shop = shop("elsewhere", false);
    shop.gate(&["data"]).expect(0);
    shop.write("data/new", "new");
    shop.gate(&["data"]).expect(0);
    let storage = Arc::new(LocalStorage::new(part(&shop, "store").join("repository")).unwrap());
    (shop, Repository::open(storage, super::SECRET).unwrap())
}

fn copy(repository: &Repository, to: &SharedStorage) -> Result<Vec<Error>, Error> {
    let (tally, cancel, progress) = (Tally::default(), Cancel::new(), Progress::new());
    let indexed = repository.index(&cancel)?;
    repository.copy_foundation(to, &FRESH, &tally, &cancel)?;
    let plan = CopyPlan::make(&indexed, to, &FRESH, &tally, &cancel)?;
    // By a storage that nobody watches.
    let unwatched = Arc::new(LocalStorage::new(to.location()).unwrap());
    let lock = repository.copy_at(unwatched).lock(LockKind::Shared, Duration::ZERO, &cancel)?;
    let workers = Workers { threads: 3, progress: &progress, cancel: &cancel };
    plan.perform(&indexed, to, &lock, &tally, &workers)?;
    Ok(tally.into_report().problems)
}

fn count(what: &str, seen: &[(String, String)]) -> usize {
    seen.iter().filter(|(verb, _)| verb == what).count()
}

#[test]
fn nothing_is_written_before_what_it_refers_to() {
    let (shop, repository) = filled();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (log, watching) = (Arc::clone(&seen), Arc::clone(&seen));
    let target = shop.beside("target");
    let to: SharedStorage = Arc::new(Watched::new(&target, move |what, key| {
        watching.lock().unwrap().push((what.to_owned(), key.to_owned()));
        Ok(())
    }));
    assert!(copy(&repository, &to).unwrap().is_empty());
    let seen = seen.lock().unwrap();
    let order = ["keys", "config", "data", "index", "snapshots"];
    let stage = |key: &str| order.iter().position(|stage| key.split('/').next() == Some(stage)).unwrap();
    let writes: Vec<_> = seen.iter().filter(|(what, _)| what == "write").map(|(_, key)| key).collect();
    let stages: Vec<_> = writes.iter().map(|key| stage(key)).collect();
    assert!(stages.is_sorted() && stages.contains(&4), "{writes:#?}");
    // Each is read back after it was written.
    for key in writes {
        let of = |verb: &str| seen.iter().rposition(|(what, other)| what == verb && other == key);
        assert!(of("read") > of("write"), "{key}");
    }
    // Once more: nothing is written, and all is read, for nobody marked the copy as whole.
    let written = count("write", &seen);
    drop(seen);
    assert!(copy(&repository, &to).unwrap().is_empty());
    assert_eq!(count("write", &log.lock().unwrap()), written);
}

#[test]
fn what_comes_back_as_something_else_is_removed_and_nothing_refers_to_it() {
    let (shop, repository) = filled();
    let target = shop.beside("target");
    let root = target.clone();
    // A store that alters what it took before it is read.
    let to: SharedStorage = Arc::new(Watched::new(&target, move |what, key| {
        if what == "read" && key.starts_with("data/") {
            let path = root.join(key);
            let mut content = std::fs::read(&path).map_err(|_| Error::new(ErrorCode::Io, "no such pack"))?;
            content[0] ^= 1;
            std::fs::write(path, content).unwrap();
        }
        Ok(())
    }));
    let problems = copy(&repository, &to).unwrap();
    assert!(
        !problems.is_empty() && problems.iter().all(|problem| problem.code() == ErrorCode::Damaged),
        "{problems:?}"
    );
    let left = |folder: &str| to.list(folder).unwrap().len();
    assert_eq!((left("data"), left("index"), left("snapshots")), (0, 0, 0));
}

#[test]
fn an_error_of_the_store_ends_the_copy() {
    let (shop, repository) = filled();
    let to: SharedStorage = Arc::new(Watched::new(&shop.beside("target"), |what, key| {
        let fails = what == "write" && key.starts_with("index/");
        if fails { Err(Error::new(ErrorCode::StoreUnavailable, "gone")) } else { Ok(()) }
    }));
    assert_eq!(copy(&repository, &to).unwrap_err().code(), ErrorCode::StoreUnavailable);
    assert!(to.list("snapshots").unwrap().is_empty());
}

#[test]
fn nothing_refers_to_packs_once_the_lock_at_the_copy_is_lost() {
    let (shop, repository) = filled();
    let target = shop.beside("target");
    let root = target.clone();
    // Somebody takes it for stale while packs are written.
    let to: SharedStorage = Arc::new(Watched::new(&target, move |what, key| {
        if what == "written" && key.starts_with("data/") {
            remove_locks(&root);
        }
        Ok(())
    }));
    assert_eq!(copy(&repository, &to).unwrap_err().code(), ErrorCode::LeaseLost);
    let left = |folder: &str| to.list(folder).unwrap().len();
    assert!(left("data") > 0);
    assert_eq!((left("index"), left("snapshots")), (0, 0));
}

/// A store that loses packs once it has given them back.
#[test]
fn what_is_lost_after_it_was_read_back_is_missed_before_anything_refers_to_it() {
    let (shop, repository) = filled();
    let target = shop.beside("target");
    let inner = LocalStorage::new(&target).unwrap();
    let to: SharedStorage = Arc::new(Watched::new(&target, move |what, key| {
        let packs = if what == "list" && key == "data" { inner.list("data")? } else { Vec::new() };
        for pack in packs {
            inner.delete(&pack.key)?;
        }
        Ok(())
    }));
    let problems = copy(&repository, &to).unwrap();
    assert!(problems.iter().any(|problem| problem.message().contains("lost the pack")), "{problems:?}");
    assert!(to.list("index").unwrap().is_empty() && to.list("snapshots").unwrap().is_empty());
}
