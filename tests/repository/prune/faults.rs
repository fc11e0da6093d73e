//! A prune that ends at any instant leaves a repository that is whole, and the next one goes on from there.

use super::{ALL, copy, house, prune};
use crate::support::storage::remove_locks;
use holdpoint::cancel::{Cancel, Reason};
use holdpoint::error::{Error, ErrorCode, Result};
use holdpoint::model::progress::Progress;
use holdpoint::repository::Workers;
use holdpoint::repository::lock::LockKind;
use holdpoint::repository::prune::plan;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Answers until more than `limit` things are to be written or deleted; from then on nobody does, as if the process were
/// killed.
pub fn dies_after(limit: usize, count: Arc<AtomicUsize>) -> impl Fn(&str, &str) -> Result<()> + Send + Sync + 'static {
    move |verb, _| {
        let changes = matches!(verb, "write" | "written" | "delete" | "deleted");
        // What only reads goes on until the next change is tried.
        let number = if changes { count.fetch_add(1, SeqCst) + 1 } else { count.load(SeqCst) };
        if number <= limit { Ok(()) } else { Err(Error::new(ErrorCode::StoreUnavailable, "killed")) }
    }
}

#[test]
fn a_prune_that_is_killed_at_any_instant_is_gone_on_from() {
    let (house, gone, kept) = house();
    let undisturbed = house.twin();
    undisturbed.prune(&gone, ALL).unwrap();
    let whole = undisturbed.stored();
    let (mut limit, mut told) = (0, 0);
    loop {
        let lab = house.twin();
        let count = Arc::new(AtomicUsize::new(0));
        let repository = lab.watched(dies_after(limit, count.clone()));
        let ended = prune(&repository, &gone, ALL);
        lab.unlock().assert_whole(&kept);
        // restic takes a second for each, so it looks at every instant only in the long run.
        let asks_restic = crate::support::full() || limit % 10 == 0;
        if asks_restic {
            told += 1;
            lab.restic().run(&["check", "--read-data"]);
        }
        if ended.is_ok() {
            assert!(count.load(SeqCst) <= limit + 1);
            break;
        }
        let left = lab.plan(&gone, ALL).unwrap();
        let before = lab.stored();
        let pruned = lab.prune(&gone, ALL).unwrap();
        assert_eq!(lab.stored(), u64::try_from(i64::try_from(before).unwrap() - left.totals().freed()).unwrap());
        assert_eq!(pruned.totals, *left.totals());
        assert_eq!(lab.assert_whole(&kept), Vec::<String>::new());
        assert_eq!(lab.snapshots().len(), 2);
        // Whatever was written twice is stored once again, give or take how it is laid out.
        assert!(lab.stored().abs_diff(whole) < 1000, "{limit}: {} and not {whole}", lab.stored());
        assert!(lab.plan(&gone, ALL).unwrap().is_empty(), "{limit}");
        if asks_restic {
            for id in &kept {
                copy(&house.path(&format!("as-{id}")), &lab.path(&format!("as-{id}")));
            }
            lab.assert_restores(&kept);
        }
        limit += 1;
    }
    eprintln!("{limit} instants, {told} of them looked at by restic");
    assert!(limit >= 25, "{limit}");
}

#[test]
fn no_room_for_what_is_kept_keeps_everything() {
    let (lab, gone, kept) = house();
    let before = (lab.snapshots(), lab.packs(), lab.names("index"));
    let repository = lab.watched(|verb, key| match verb {
        "write" if key.starts_with("data/") => Err(Error::new(ErrorCode::StoreFull, "no room")),
        _ => Ok(()),
    });
    assert_eq!(prune(&repository, &gone, ALL).unwrap_err().code(), ErrorCode::StoreFull);
    assert_eq!((lab.snapshots(), lab.packs(), lab.names("index")), before);
    lab.assert_whole(&kept);
}

#[test]
fn without_the_lock_nothing_more_goes() {
    let (lab, gone, kept) = house();
    let (cancel, progress) = (Cancel::new(), Progress::new());
    let workers = Workers { threads: 2, progress: &progress, cancel: &cancel };
    let repository = lab.restic().open();
    let remove = gone.iter().copied().collect();
    let plan = || plan(&repository, &remove, &ALL, &workers).unwrap();
    let before = (lab.snapshots(), lab.packs());
    let shared = repository.lock(LockKind::Shared, Duration::ZERO, &cancel).unwrap();
    assert_eq!(plan().perform(&shared, &workers).unwrap_err().code(), ErrorCode::Internal);
    drop(shared);
    assert_eq!((lab.snapshots(), lab.packs()), before);
    // Somebody takes it for stale while packs are written.
    let root = lab.repository();
    let steals = lab.watched(move |verb, key| {
        if verb == "written" && key.starts_with("data/") {
            remove_locks(&root);
        }
        Ok(())
    });
    assert_eq!(prune(&steals, &gone, ALL).unwrap_err().code(), ErrorCode::LeaseLost);
    assert_eq!(lab.snapshots(), before.0);
    assert!(before.1.is_subset(&lab.packs()));
    lab.assert_whole(&kept);
}

#[test]
fn a_plan_that_is_older_than_a_snapshot_is_not_performed() {
    let (lab, gone, _) = house();
    let (cancel, progress) = (Cancel::new(), Progress::new());
    let workers = Workers { threads: 2, progress: &progress, cancel: &cancel };
    let repository = lab.restic().open();
    let old = plan(&repository, &gone.iter().copied().collect(), &ALL, &workers).unwrap();
    // It needs again what the plan would remove.
    lab.write("of 0", 30_000, 200).write("changing", 60_000, 100);
    let new = lab.backup();
    let lock = repository.lock(LockKind::Exclusive, Duration::ZERO, &cancel).unwrap();
    assert_eq!(old.perform(&lock, &workers).unwrap_err().code(), ErrorCode::Busy);
    lock.release().unwrap();
    lab.prune(&gone, ALL).unwrap();
    lab.assert_restores(&[new]);
}

#[test]
fn a_cancelled_prune_stops() {
    let (lab, gone, kept) = house();
    let cancel = Cancel::new();
    let repository = lab.watched({
        let cancel = cancel.clone();
        move |verb, key| {
            if verb == "deleted" && key.starts_with("snapshots/") {
                cancel.cancel(Reason::Terminate);
            }
            Ok(())
        }
    });
    let progress = Progress::new();
    let workers = Workers { threads: 1, progress: &progress, cancel: &cancel };
    let lock = repository.lock(LockKind::Exclusive, Duration::ZERO, &cancel).unwrap();
    let plan = plan(&repository, &gone.iter().copied().collect(), &ALL, &workers).unwrap();
    let packs = lab.packs();
    assert_eq!(plan.perform(&lock, &workers).unwrap_err().code(), ErrorCode::Terminated);
    drop(lock);
    assert!(packs.is_subset(&lab.packs()) && lab.names("locks").is_empty());
    lab.assert_whole(&kept);
    lab.prune(&gone, ALL).unwrap();
    assert_eq!(lab.assert_whole(&kept), Vec::<String>::new());
}
