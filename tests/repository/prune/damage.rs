//! What cannot be known, or is broken, ends a prune before anything is removed.

use super::{ALL, Lab, house, prune};
use crate::support::sample::noise;
use holdpoint::cancel::Cancel;
use holdpoint::error::{Error, ErrorCode};
use holdpoint::repository::pack::BlobType;
use holdpoint::repository::{FileType, Id};
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Returns the packs of one kind that a snapshot needs.
fn packs(lab: &Lab, snapshot: &Id, kind: BlobType) -> BTreeSet<Id> {
    let repository = lab.restic().open();
    let indexed = repository.index(&Cancel::new()).unwrap();
    let root = repository.snapshots().unwrap().into_iter().find(|(id, _)| id == snapshot).unwrap().1.tree;
    let tree = indexed.read_tree(&root).unwrap();
    let data = indexed.read_tree(&tree.nodes[0].subtree.unwrap()).unwrap();
    let blobs: Vec<Id> = match kind {
        BlobType::Tree => vec![root, tree.nodes[0].subtree.unwrap()],
        BlobType::Data => data.nodes.iter().filter_map(|node| node.content.clone()).flatten().collect(),
    };
    blobs.iter().map(|id| indexed.locate(kind, id).unwrap().0).collect()
}

fn file(lab: &Lab, pack: &Id) -> PathBuf {
    lab.repository().join(FileType::Pack.key(pack))
}

fn alter(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = fs::read(path).unwrap();
    change(&mut content);
    // restic makes its files read-only.
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    fs::write(path, content).unwrap();
}

fn flip(path: &Path) {
    alter(path, |content| content.iter_mut().for_each(|byte| *byte ^= 1));
}

#[track_caller]
fn assert_refused(lab: &Lab, gone: &[Id]) {
    let before = (lab.snapshots(), lab.packs(), lab.names("index"));
    let error = lab.prune(gone, ALL).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Damaged, "{}", error.chain());
    assert_eq!((lab.snapshots(), lab.packs(), lab.names("index")), before);
    assert!(error.hints().concat().contains("holdpoint check"), "{error:?}");
}

#[test]
fn damage_of_what_is_needed_keeps_everything() {
    let (house, gone, kept) = house();
    let (data, trees) = (packs(&house, &kept[0], BlobType::Data), packs(&house, &kept[0], BlobType::Tree));
    for packs in [&data, &trees] {
        let pack = packs.first().unwrap();
        let lab = house.twin();
        fs::remove_file(file(&lab, pack)).unwrap();
        assert_refused(&lab, &gone);
        let lab = house.twin();
        alter(&file(&lab, pack), |content| content.truncate(content.len() - 1));
        assert_refused(&lab, &gone);
    }
    let lab = house.twin();
    flip(&file(&lab, trees.first().unwrap()));
    assert_refused(&lab, &gone);
    let lab = house.twin();
    flip(&lab.repository().join(FileType::Snapshot.key(&kept[1])));
    assert_refused(&lab, &gone);
    let lab = house.twin();
    flip(&lab.repository().join("index").join(lab.names("index").first().unwrap()));
    assert_eq!(lab.prune(&gone, ALL).unwrap_err().code(), ErrorCode::Damaged);
    assert_eq!(lab.snapshots().len(), 4);
}

#[test]
fn a_needed_blob_that_is_another_one_is_not_written_anew() {
    let (lab, gone, kept) = house();
    // Needed by both, so it lies in a pack that is partly needed.
    let shared: BTreeSet<Id> =
        packs(&lab, &gone[0], BlobType::Data).intersection(&packs(&lab, &kept[0], BlobType::Data)).copied().collect();
    flip(&file(&lab, shared.first().unwrap()));
    let before = (lab.snapshots(), lab.packs(), lab.names("index"));
    let error = lab.prune(&gone, ALL).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Damaged, "{error:?}");
    assert_eq!(lab.snapshots(), before.0);
    assert!(before.1.is_subset(&lab.packs()) && before.2.is_subset(&lab.names("index")));
}

#[test]
fn damage_of_what_nobody_needs_goes_with_it() {
    let (lab, gone, kept) = house();
    let needed: BTreeSet<Id> = kept.iter().flat_map(|id| packs(&lab, id, BlobType::Data)).collect();
    let lonely = lab.write("alone", 40_000, 77).backup();
    fs::remove_file(lab.path("data/alone")).unwrap();
    let alone: Vec<Id> = packs(&lab, &lonely, BlobType::Data).difference(&needed).copied().collect();
    alter(&file(&lab, &alone[0]), |content| content.truncate(100));
    let junk = noise(1000, 5);
    let orphan = file(&lab, &Id::of(&junk));
    fs::create_dir_all(orphan.parent().unwrap()).unwrap();
    fs::write(&orphan, junk).unwrap();
    let remove = [gone.as_slice(), &[lonely]].concat();
    let before = lab.stored();
    let totals = prune(&lab.restic().open(), &remove, ALL).unwrap().totals;
    assert_eq!(lab.stored(), before - u64::try_from(totals.freed()).unwrap());
    assert!(!file(&lab, &alone[0]).exists() && !orphan.exists());
    lab.assert_restores(&kept);
}

#[test]
fn of_what_is_stored_twice_a_whole_copy_stays() {
    let (house, gone, kept) = house();
    let before = house.packs();
    // Ended before anything goes: what was written anew is there twice.
    let asked = FileType::Snapshot.key(&Id::from_bytes([0; 32]));
    let stops =
        house.watched(move |verb, key| match verb == "delete" && key.starts_with("snapshots/") && key != asked {
            true => Err(Error::new(ErrorCode::StoreUnavailable, "gone")),
            false => Ok(()),
        });
    assert_eq!(prune(&stops, &gone, ALL).unwrap_err().code(), ErrorCode::StoreUnavailable);
    let new: Vec<Id> = house.packs().difference(&before).map(|name| Id::parse(name).unwrap()).collect();
    let mut pruned = 0;
    for pack in &new {
        let lab = house.twin();
        flip(&file(&lab, pack));
        match lab.prune(&gone, ALL) {
            Ok(_) => {
                pruned += 1;
                assert!(!file(&lab, pack).exists());
            }
            // A tree that cannot be read where the index finds it first.
            Err(error) => {
                assert_eq!(error.code(), ErrorCode::Damaged, "{error:?}");
                flip(&file(&lab, pack));
            }
        }
        lab.assert_whole(&kept);
    }
    assert!(pruned > 0, "of {new:?} none holds data");
}
