//! A bucket with versions and Object Lock: what is locked stays, the rest is hidden.

use super::{ALL, prune};
use crate::storage::object_lock::locked_bucket;
use crate::support::restic::Restic;
use crate::support::s3::Server;
use crate::support::sample::noise;
use crate::support::shared::PASSWORD;
use holdpoint::cancel::Cancel;
use holdpoint::repository::check::file_of;
use holdpoint::repository::prune::Why;
use holdpoint::repository::{Cost, Creator, FileType, Id, Repository};
use holdpoint::storage::s3::Settings;
use holdpoint::storage::{HiddenBy, LockMode, LockTerms, S3Storage, Storage};
use jiff::{SignedDuration, Timestamp};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn what_a_bucket_locks_stays_and_the_rest_is_hidden() {
    let server = Server::rgw();
    let bucket = locked_bucket(&server, "prune");
    let open = |object_lock| {
        let settings = Settings { object_lock, ..server.settings(&bucket, "repository") };
        Arc::new(S3Storage::open(settings, Cancel::new()).unwrap())
    };
    let storage = open(None);
    let repository = Repository::create(storage.clone(), PASSWORD, Cost::RandomKey, Creator::default()).unwrap();
    let restic = Restic::new(server.restic_location(&bucket, "repository"), PASSWORD).envs(server.environment());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("same"), noise(50_000, 1)).unwrap();
    for round in 2..6 {
        fs::write(folder.path().join("changing"), noise(50_000, round)).unwrap();
        fs::write(folder.path().join(format!("of {round}")), noise(20_000, 10 * round)).unwrap();
        restic.backup(&[folder.path()]);
    }
    let snapshots: Vec<Id> = repository.snapshots().unwrap().into_iter().map(|(id, _)| id).collect();
    let later = Timestamp::from_second(Timestamp::now().as_second()).unwrap() + SignedDuration::from_hours(1);
    let terms = LockTerms { mode: LockMode::Governance, retain: Duration::from_secs(3600) };
    open(Some(terms)).lock_until(&FileType::Snapshot.key(&snapshots[0]), later).unwrap();

    // The settings ask for no locks; the bucket has one all the same.
    let pruned = prune(&repository, &snapshots[..3], ALL).unwrap();
    let [left] = &pruned.left[..] else { panic!("{:?}", pruned.left) };
    assert_eq!((left.kind, left.id, &left.why), (FileType::Snapshot, snapshots[0], &Why::Locked(later)));
    assert_eq!((pruned.totals.snapshots_removed, pruned.totals.snapshots_kept), (2, 2));
    restic.run(&["check", "--read-data"]);
    for id in [snapshots[0], snapshots[3]] {
        let target = tempfile::tempdir().unwrap();
        restic.restore(&id.to_string(), target.path());
        let restored = target.path().join(folder.path().strip_prefix("/").unwrap()).join("changing");
        assert_eq!(fs::read(restored).unwrap(), noise(50_000, if id == snapshots[0] { 2 } else { 5 }));
    }
    let hidden = storage.hidden("").unwrap();
    let removed = |kind| {
        let files = hidden.iter().filter(|hidden| file_of(&hidden.key).is_some_and(|(found, _)| found == kind));
        files.inspect(|hidden| assert!(matches!(hidden.by, HiddenBy::Markers(_)), "{hidden:?}")).count() as u64
    };
    assert_eq!(removed(FileType::Snapshot), 2);
    let totals = pruned.totals;
    assert_eq!(removed(FileType::Pack), totals.packs_removed + totals.packs_repacked);
    let bytes: u64 = hidden.iter().filter(|hidden| !hidden.key.starts_with("locks/")).map(|hidden| hidden.size).sum();
    assert_eq!(bytes, totals.bytes_removed);

    // Where locks are asked for, what is written anew is locked, and so stays.
    let locking = Repository::open(open(Some(terms)), PASSWORD).unwrap();
    fs::write(folder.path().join("changing"), noise(50_000, 9)).unwrap();
    restic.backup(&[folder.path()]);
    let before = locking.pack_sizes().unwrap();
    prune(&locking, &snapshots[3..], ALL).unwrap();
    let after = locking.pack_sizes().unwrap();
    let new: Vec<&Id> = after.keys().filter(|id| !before.contains_key(*id)).collect();
    assert!(!new.is_empty());
    for id in new {
        assert!(open(Some(terms)).locked_until(&FileType::Pack.key(id)).unwrap().is_some());
    }
    restic.run(&["check", "--read-data"]);
}
