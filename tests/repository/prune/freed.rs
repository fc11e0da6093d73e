//! What a plan announces is what a directory holds less afterwards, to the byte.

use super::{ALL, Lab, copy, files, history};
use holdpoint::repository::prune::{MaxUnused, Options};
use holdpoint::repository::{FileType, Id};
use std::fs;

/// A history with all that can be in it: packs in no index, blobs in two packs, an index that names a pack which is gone.
fn old_house() -> (Lab, Vec<Id>, Vec<Id>) {
    let lab = Lab::new();
    let mut snapshots = history(&lab, 5, 1_500_000);
    // Somebody else stores the same at the same time, and neither sees the other's packs.
    let twin = lab.twin();
    lab.write("twice", 900_000, 7);
    snapshots.push(lab.backup());
    copy(&lab.path("data"), &twin.path("data"));
    let other = twin.backup();
    copy(&twin.repository().join("."), &lab.repository());
    copy(&twin.path(&format!("as-{other}")), &lab.path(&format!("as-{other}")));
    snapshots.push(other);
    // Of this one the packs are left, and nothing that names them.
    let index = files(&lab.restic().open(), FileType::Index);
    lab.write("orphan", 300_000, 8);
    let orphan = lab.backup();
    let new = files(&lab.restic().open(), FileType::Index).into_iter().filter(|id| !index.contains(id));
    new.for_each(|id| fs::remove_file(lab.repository().join(FileType::Index.key(&id))).unwrap());
    fs::remove_file(lab.repository().join(FileType::Snapshot.key(&orphan))).unwrap();
    fs::remove_file(lab.path("data/orphan")).unwrap();
    // Of this one the index is left, and a pack is gone.
    let packs = lab.packs();
    lab.write("gone", 300_000, 9);
    let gone = lab.backup();
    fs::remove_file(lab.repository().join(FileType::Snapshot.key(&gone))).unwrap();
    for pack in lab.packs().difference(&packs) {
        fs::remove_file(lab.repository().join(FileType::Pack.key(&Id::parse(pack).unwrap()))).unwrap();
    }
    let kept = snapshots.split_off(4);
    (lab, snapshots, kept)
}

#[test]
fn what_is_announced_is_freed_to_the_byte() {
    let (house, gone, kept) = old_house();
    let mut freed = Vec::new();
    for max_unused in [MaxUnused::Unlimited, MaxUnused::Percent(20), MaxUnused::Percent(0)] {
        let lab = house.twin();
        for id in &kept {
            copy(&house.path(&format!("as-{id}")), &lab.path(&format!("as-{id}")));
        }
        let options = Options { max_unused, ..Options::default() };
        let plan = lab.plan(&gone, options).unwrap();
        let before = lab.stored();
        let pruned = lab.prune(&gone, options).unwrap();
        let totals = *plan.totals();
        assert_eq!((pruned.totals, pruned.left.len()), (totals, 0), "{max_unused:?}");
        assert_eq!(i64::try_from(before).unwrap() - totals.freed(), i64::try_from(lab.stored()).unwrap(), "{totals:?}");
        assert_eq!(totals.snapshots_removed, 4);
        assert_eq!((totals.snapshots_kept, lab.snapshots().len()), (3, 3));
        assert_eq!(totals.packs_kept + totals.packs_new, lab.packs().len() as u64, "{totals:?}");
        assert!(totals.packs_removed >= 3, "{totals:?}");
        assert_eq!(lab.assert_whole(&kept), Vec::<String>::new());
        lab.assert_restores(&kept);
        let again = lab.plan(&gone, options).unwrap();
        assert!(again.is_empty() && again.snapshots().is_empty(), "{max_unused:?}: {:?}", again.totals());
        assert_eq!(again.totals().bytes_unused, totals.bytes_unused);
        assert_eq!(max_unused == MaxUnused::Unlimited, totals.packs_repacked == 0, "{totals:?}");
        freed.push(totals.freed());
        if max_unused == MaxUnused::Percent(0) {
            // A little is stored twice as sealed: what restic has written anew since then.
            assert_eq!(totals.bytes_unused, 0, "{totals:?}");
            lab.restic().run(&["prune", "--max-unused", "0"]);
            assert!(lab.stored() + 20_000 > before - u64::try_from(totals.freed()).unwrap());
        }
    }
    assert!(freed.is_sorted() && freed[0] > 0 && freed[0] < freed[2], "{freed:?}");
}

#[test]
fn many_small_packs_and_index_files_are_joined() {
    let lab = Lab::new();
    let kept: Vec<Id> = (0..12).map(|round| lab.write(&format!("{round}"), 2000, round).backup()).collect();
    assert_eq!((lab.packs().len(), lab.names("index").len()), (24, 12));
    let (plan, before) = (lab.plan(&[], ALL).unwrap(), lab.stored());
    let totals = lab.prune(&[], ALL).unwrap().totals;
    assert_eq!((&totals, lab.stored()), (plan.totals(), before - u64::try_from(totals.freed()).unwrap()));
    assert_eq!((totals.packs_repacked, totals.packs_new, lab.packs().len()), (24, 2, 2));
    assert_eq!(lab.names("index").len(), 1);
    lab.assert_restores(&kept);
    assert!(lab.plan(&[], ALL).unwrap().is_empty());
}

#[test]
fn where_no_snapshot_can_be_seen_nothing_goes_unless_one_was_to() {
    let lab = Lab::new();
    let id = lab.write("a", 10_000, 1).backup();
    let file = lab.repository().join(FileType::Snapshot.key(&id));
    let content = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert!(lab.plan(&[], ALL).unwrap().is_empty());
    fs::write(&file, content).unwrap();
    let before = lab.stored();
    let totals = lab.prune(&[id], ALL).unwrap().totals;
    assert_eq!((lab.packs().len(), lab.names("index").len(), lab.snapshots().len()), (0, 0, 0));
    assert_eq!(lab.stored(), before - u64::try_from(totals.freed()).unwrap());
    let id = lab.backup();
    lab.assert_restores(&[id]);
}
