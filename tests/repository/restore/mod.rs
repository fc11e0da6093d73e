//! Restoring over what is there: only what differs is touched, and nothing is lost on the way.

mod chosen;
mod damage;
mod differences;
mod in_place;
mod kill;
mod kinds;

use crate::support::sample;
use crate::support::shared::Restic;
use crate::support::tree;
use holdpoint::cancel::Cancel;
use holdpoint::model::progress::Progress;
use holdpoint::repository::restore::{self, Differences, Restored};
use holdpoint::repository::{Id, Indexed, Workers};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A tree that restic stored, and that restic and we restored.
struct Stage {
    folder: TempDir,
    indexed: Arc<Indexed>,
    root: Id,
    cancel: Cancel,
}

impl Stage {
    /// Has restic store the sample tree, and restore it to `expected`.
    fn of_sample() -> Self {
        Self::of(|tree| {
            sample::build(tree);
            fs::remove_file(tree.join(sample::LINK_TO_BYTES)).unwrap();
        })
    }

    /// Has restic store what `build` makes below the directory `tree`, and restore it to `expected`.
    fn of(build: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source/tree");
        fs::create_dir_all(&source).unwrap();
        build(&source);
        let restic = Restic::at(folder.path().join("repository")).init();
        restic.backup(&source);
        restic.run(&["restore", "latest", "--target", folder.path().join("expected").to_str().unwrap()]);
        let repository = restic.open();
        let cancel = Cancel::new();
        let indexed = Arc::new(repository.index(&cancel).unwrap());
        let root = repository.snapshots().unwrap()[0].1.tree;
        Self { folder, indexed, root, cancel }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn workers<'w>(&'w self, progress: &'w Progress) -> Workers<'w> {
        Workers { threads: 2, progress, cancel: &self.cancel }
    }

    fn plan(&self) -> restore::Plan {
        restore::plan(&self.indexed, self.root, Path::new("/"), &self.workers(&Progress::default())).unwrap()
    }

    /// Restores everything over what is there; the progress must come to all bytes.
    fn restore(&self, target: &Path) -> Restored {
        let progress = Progress::default();
        let restored = self.plan().perform(&self.indexed, target, true, &self.workers(&progress)).unwrap();
        assert_eq!(progress.bytes(), restored.bytes);
        assert!(!target.join(restore::MARKER).exists());
        restored
    }

    /// Compares everything, names that came later too.
    fn compare(&self, target: &Path) -> Differences {
        self.plan().compare(target, true, &self.workers(&Progress::default())).unwrap()
    }

    /// Fails unless `target` is what restic restored.
    #[track_caller]
    fn assert_restored(&self, target: &Path) {
        tree::assert_same(&self.path("expected"), target);
    }
}

/// What changes whenever anything is done to a file: its inode, and the time of its last change.
type Touch = (u64, i64, i64);

/// Returns that of every path below `root`.
fn touches(root: &Path) -> BTreeMap<PathBuf, Touch> {
    let touch = |path: PathBuf| {
        let metadata = fs::symlink_metadata(root.join(&path)).unwrap();
        (path, (metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
    };
    tree::facts(root).into_keys().map(touch).collect()
}
