//! Only some paths of a snapshot.

use super::Stage;
use crate::support::tree;
use holdpoint::error::{ErrorCode, Result};
use holdpoint::repository::restore::{Restored, plan_paths};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn restore(stage: &Stage, paths: &[&str], target: &Path, force: bool) -> Result<Restored> {
    let progress = Default::default();
    let workers = stage.workers(&progress);
    let paths: Vec<_> = paths.iter().map(Into::into).collect();
    plan_paths(&stage.indexed, stage.root, &paths, &workers)?.perform(&stage.indexed, target, force, &workers)
}

#[test]
fn what_was_chosen_is_restored_under_its_path_and_nothing_else() {
    let stage = Stage::of_sample();
    let (target, expected) = (stage.path("target"), stage.path("expected"));
    let paths = ["/tree/folder/5", "tree/folder/7", "/tree/deep", "/tree/large", "/tree/a third large", "/tree/link"];
    let restored = restore(&stage, &paths, &target, false).unwrap();
    assert_eq!(restored.files, 5);
    tree::assert_same(&expected.join("tree/deep"), &target.join("tree/deep"));
    let (found, wanted) = (tree::facts(&target), tree::facts(&expected));
    let names: Vec<_> = found.keys().filter(|path| !path.starts_with("tree/deep")).collect();
    let all =
        ["tree", "tree/a third large", "tree/folder", "tree/folder/5", "tree/folder/7", "tree/large", "tree/link"];
    assert_eq!(names, all.iter().map(Path::new).collect::<Vec<_>>());
    for name in &all {
        // The first name of the inode is not among those that were chosen.
        if !name.ends_with("large") {
            assert_eq!(found.get(Path::new(name)), wanted.get(Path::new(name)), "{name}");
        }
    }
    let inode =
        |name: &str| std::os::unix::fs::MetadataExt::ino(&fs::metadata(target.join("tree").join(name)).unwrap());
    assert_eq!(inode("large"), inode("a third large"));
    // The way there is left as it is where it exists already, and so is what was not chosen.
    fs::set_permissions(target.join("tree/folder"), fs::Permissions::from_mode(0o711)).unwrap();
    fs::write(target.join("tree/folder/5"), "damaged").unwrap();
    fs::write(target.join("tree/folder/7"), "also damaged").unwrap();
    let restored = restore(&stage, &["/tree/folder/5"], &target, true).unwrap();
    assert_eq!((restored.files, restored.changed_files, restored.changed_dirs), (1, 1, 0));
    assert_eq!(fs::read(target.join("tree/folder/5")).unwrap(), fs::read(expected.join("tree/folder/5")).unwrap());
    assert_eq!(fs::read(target.join("tree/folder/7")).unwrap(), b"also damaged");
    assert_eq!(fs::metadata(target.join("tree/folder")).unwrap().permissions().mode() & 0o7777, 0o711);
}

#[test]
fn a_path_that_is_not_there_is_told_with_the_nearest_names() {
    let stage = Stage::of_sample();
    let target = stage.path("target");
    let error = restore(&stage, &["/tree/link", "/tree/folder/in a fodler/x"], &target, false).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.message().contains("/tree/folder/in a fodler"), "{}", error.message());
    assert!(format!("{error:?}").contains("in a folder"), "{error:?}");
    let error = restore(&stage, &["/tree/small/inside"], &target, false).unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(!target.exists());
}
