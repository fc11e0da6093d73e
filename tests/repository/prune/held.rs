//! What cannot go, or not be read, stays whole and is named.

use super::{ALL, house, prune};
use crate::support::shared::PASSWORD;
use crate::support::storage::Watched;
use holdpoint::cancel::Cancel;
use holdpoint::error::{Error, ErrorCode};
use holdpoint::repository::pack::BlobType;
use holdpoint::repository::prune::{Left, Why};
use holdpoint::repository::{FileType, Id, Repository};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

#[test]
fn what_is_locked_stays_whole_until_its_lock_ends() {
    let (lab, gone, kept) = house();
    let locking = |until: Timestamp, is_locked: fn(&str, &str) -> bool| {
        let first = FileType::Snapshot.key(&gone[0]);
        let storage = Watched::new(&lab.repository(), |_, _| Ok(()))
            .locking(move |key| Some(until).filter(|_| is_locked(key, &first)));
        Repository::open(Arc::new(storage), PASSWORD).unwrap()
    };
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    // A snapshot that is locked needs what it needs.
    let pruned = prune(&locking(later, |key, first| key == first), &gone, ALL).unwrap();
    let [Left { kind: FileType::Snapshot, id, why: Why::Locked(until), .. }] = &pruned.left[..] else {
        panic!("{:?}", pruned.left)
    };
    assert_eq!((*id, *until), (gone[0], later));
    assert_eq!(pruned.totals.snapshots_removed, 1);
    lab.assert_restores(&[kept[0], kept[1], gone[0]]);
    // A pack that is locked stays, and stays in the index.
    let packs = lab.packs();
    let pruned = prune(&locking(later, |key, _| key.starts_with("data/")), &gone, ALL).unwrap();
    assert!(!pruned.left.is_empty() && pruned.left.iter().all(|left| left.kind == FileType::Pack));
    assert_eq!((pruned.totals.snapshots_removed, lab.packs()), (1, packs));
    assert_eq!(lab.assert_whole(&kept), Vec::<String>::new());
    // The locks ran out.
    let earlier = Timestamp::now() - SignedDuration::from_hours(1);
    let pruned = prune(&locking(earlier, |_, _| true), &gone, ALL).unwrap();
    assert_eq!((pruned.left.len(), pruned.totals.bytes_unused), (0, 0));
    lab.assert_restores(&kept);
}

#[test]
fn what_is_too_cold_to_be_read_is_not_written_anew() {
    let (lab, gone, kept) = house();
    let before = lab.packs();
    let cold = lab.watched(|verb, key| match verb {
        "read" if key.starts_with("data/") => Err(Error::new(ErrorCode::ObjectCold, "thaw it first")),
        _ => Ok(()),
    });
    // Trees that cannot be read say nothing of what is needed.
    assert_eq!(prune(&cold, &gone, ALL).unwrap_err().code(), ErrorCode::ObjectCold);
    assert_eq!(lab.packs(), before);
    // Trees can be read, and data cannot.
    let indexed = lab.restic().open().index(&Cancel::new()).unwrap();
    let data: BTreeSet<Id> = indexed.with_index(|index| {
        let data = index.blobs().filter(|(_, blob)| blob.kind == BlobType::Data);
        data.map(|(pack, _)| index.pack(pack).unwrap().id).collect()
    });
    let cold = lab.watched({
        let data: Vec<String> = data.iter().map(|id| FileType::Pack.key(id)).collect();
        move |verb, key| match verb {
            "read" if data.iter().any(|pack| pack == key) => Err(Error::new(ErrorCode::ObjectCold, "thaw it first")),
            _ => Ok(()),
        }
    });
    let pruned = prune(&cold, &gone, ALL).unwrap();
    assert!(!pruned.left.is_empty() && pruned.totals.packs_removed > 0 && pruned.totals.bytes_unused > 0);
    for left in &pruned.left {
        assert!(left.why == Why::Cold && data.contains(&left.id), "{left:?}");
        assert!(before.contains(&left.id.to_string()) && lab.packs().contains(&left.id.to_string()));
    }
    assert_eq!(lab.assert_whole(&kept), Vec::<String>::new());
    lab.prune(&gone, ALL).unwrap();
    lab.assert_restores(&kept);
}

#[test]
fn who_may_not_delete_is_told_before_anything_is_written() {
    let (lab, gone, kept) = house();
    let refuse = |key: &str| Err(Error::new(ErrorCode::StoreRefused, format!("no right to delete {key}")));
    let before = (lab.snapshots(), lab.packs(), lab.names("index"));
    let forbidden =
        lab.watched(move |verb, key| if verb == "delete" && !key.starts_with("locks/") { refuse(key) } else { Ok(()) });
    let error = prune(&forbidden, &gone, ALL).unwrap_err();
    assert_eq!(error.code(), ErrorCode::StoreRefused);
    assert!(error.hints().concat().contains("credentials that may delete"), "{error:?}");
    assert_eq!((lab.snapshots(), lab.packs(), lab.names("index")), before);
    // One pack alone is refused: it is left, in no index, and the next prune gets it.
    let refused = Arc::new(AtomicBool::new(false));
    let one = lab.watched({
        let refused = refused.clone();
        let nobody = FileType::Pack.key(&Id::from_bytes([0; 32]));
        move |verb, key| {
            let is_first = || !refused.swap(true, SeqCst);
            if verb == "delete" && key.starts_with("data/") && key != nobody && is_first() {
                return refuse(key);
            }
            Ok(())
        }
    });
    let pruned = prune(&one, &gone, ALL).unwrap();
    let [Left { kind: FileType::Pack, id, size, why: Why::Refused(said) }] = &pruned.left[..] else {
        panic!("{:?}", pruned.left)
    };
    assert!(said.contains(&id.to_string()), "{said}");
    assert_eq!(before.1.iter().filter(|pack| lab.packs().contains(*pack)).count() as u64, pruned.totals.packs_kept + 1);
    let notes = lab.assert_whole(&kept);
    assert!(notes.len() == 1 && notes[0].contains("in no index"), "{notes:?}");
    let totals = lab.prune(&gone, ALL).unwrap().totals;
    assert_eq!((totals.freed(), totals.packs_removed), (i64::try_from(*size).unwrap(), 1));
    assert_eq!(lab.assert_whole(&kept), Vec::<String>::new());
}
