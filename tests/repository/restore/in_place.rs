//! Restoring a directory itself: the mark is in it, and what holds it is left alone.

use super::{Stage, touches};
use crate::support::tree;
use holdpoint::error::Result;
use holdpoint::repository::restore::{MARKER, Restored, plan_itself};
use std::fs;
use std::path::{Path, PathBuf};

fn restore(stage: &Stage, path: &str, holder: &Path, force: bool) -> Result<Restored> {
    let progress = Default::default();
    let workers = stage.workers(&progress);
    plan_itself(&stage.indexed, stage.root, Path::new(path), &workers)?.perform(&stage.indexed, holder, force, &workers)
}

/// Fails unless the directory `tree` in `holder` is what restic restored, and nothing is beside it.
#[track_caller]
fn assert_restored(stage: &Stage, holder: &Path) {
    tree::assert_same(&stage.path("expected/tree"), &holder.join("tree"));
    assert_eq!(names(holder), [holder.join("tree")]);
    let progress = Default::default();
    let workers = stage.workers(&progress);
    let plan = plan_itself(&stage.indexed, stage.root, Path::new("/tree"), &workers).unwrap();
    // The directory has its own time, too, although the mark was in it.
    let found = plan.compare(holder, true, &workers).unwrap();
    assert!(found.is_none(), "{found}");
}

fn names(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn whatever_is_there_becomes_the_directory_and_nothing_else_is_touched() {
    let stage = Stage::of_sample();
    let holder = stage.path("a/holder");
    let tree = holder.join("tree");
    restore(&stage, "/tree", &holder, false).unwrap();
    assert_restored(&stage, &holder);
    restore(&stage, "/tree", &holder, false).unwrap_err();
    let before = touches(&holder);
    let restored = restore(&stage, "/tree", &holder, true).unwrap();
    assert_eq!((restored.changed_files, restored.changed_dirs, restored.written_bytes), (0, 0, 0));
    assert_eq!(touches(&holder), before);

    fs::remove_dir_all(&tree).unwrap();
    fs::write(&tree, "a file").unwrap();
    restore(&stage, "/tree", &holder, true).unwrap();
    assert_restored(&stage, &holder);

    fs::rename(&tree, stage.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../../elsewhere", &tree).unwrap();
    let elsewhere = touches(&stage.path("elsewhere"));
    restore(&stage, "/tree", &holder, true).unwrap();
    assert_restored(&stage, &holder);
    assert_eq!(touches(&stage.path("elsewhere")), elsewhere);

    // A file goes by what holds it.
    fs::write(tree.join("folder/5"), "damaged").unwrap();
    restore(&stage, "/tree/folder/5", &tree.join("folder"), true).unwrap();
    assert!(!tree.join("folder").join(MARKER).exists());
}

#[test]
fn one_that_was_interrupted_is_known_and_goes_on() {
    let stage = Stage::of_sample();
    let holder = stage.path("holder");
    let tree = holder.join("tree");
    restore(&stage, "/tree", &holder, false).unwrap();
    let begun = ".holdpoint-0123456789abcdef-";
    fs::write(tree.join(MARKER), format!("Files are written under names that begin with {begun}\n")).unwrap();
    fs::write(tree.join("folder").join(format!("{begun}f1")), "half of it").unwrap();
    restore(&stage, "/tree", &holder, true).unwrap();
    assert_restored(&stage, &holder);
    // What cannot be written leaves the mark where the data is.
    fs::remove_dir_all(&tree).unwrap();
    let progress = Default::default();
    let workers = stage.workers(&progress);
    let plan = plan_itself(&stage.indexed, stage.root, Path::new("/tree"), &workers).unwrap();
    fs::rename(stage.path("repository/data"), stage.path("away")).unwrap();
    plan.perform(&stage.indexed, &holder, true, &workers).unwrap_err();
    assert!(tree.join(MARKER).exists());
    assert_eq!(names(&holder), [tree]);
}
