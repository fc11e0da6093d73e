//! Pruning: what is announced is freed, what is needed stays, whenever it ends.

mod bucket;
mod damage;
mod faults;
mod freed;
mod held;
mod sequences;

use crate::support::sample::noise;
use crate::support::shared::{PASSWORD, Restic};
use crate::support::storage::Watched;
use crate::support::tree;
use holdpoint::cancel::Cancel;
use holdpoint::error::Result;
use holdpoint::model::progress::Progress;
use holdpoint::repository::check::check;
use holdpoint::repository::lock::LockKind;
use holdpoint::repository::prune::{MaxUnused, Options, Plan, Pruned, plan};
use holdpoint::repository::{FileType, Id, Repository, Workers};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Everything that is of no use goes.
const ALL: Options = Options { max_unused: MaxUnused::Percent(0), max_repack: None };

/// A repository that restic and we work on, and the data that is stored in it.
struct Lab {
    folder: TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap() };
        lab.restic().init();
        lab
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    fn restic(&self) -> Restic {
        Restic::at(self.repository())
    }

    fn write(&self, name: &str, length: usize, seed: u64) -> &Self {
        fs::create_dir_all(self.path("data")).unwrap();
        fs::write(self.path("data").join(name), noise(length, seed)).unwrap();
        self
    }

    /// Has restic store the data; keeps a copy of it to compare with. Returns the snapshot.
    fn backup(&self) -> Id {
        let before = self.snapshots();
        self.restic().backup(&self.path("data"));
        let new: Vec<Id> = self.snapshots().difference(&before).copied().collect();
        let [id] = new[..] else { panic!("{new:?}") };
        copy(&self.path("data"), &self.path(&format!("as-{id}")));
        id
    }

    fn snapshots(&self) -> BTreeSet<Id> {
        self.names("snapshots").iter().map(|name| Id::parse(name).unwrap()).collect()
    }

    fn names(&self, folder: &str) -> BTreeSet<String> {
        let entries = fs::read_dir(self.repository().join(folder)).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn packs(&self) -> BTreeSet<String> {
        self.names("data").iter().flat_map(|folder| self.names(&format!("data/{folder}"))).collect()
    }

    /// Returns the same at another place.
    fn twin(&self) -> Self {
        let twin = Self { folder: tempfile::tempdir().unwrap() };
        copy(&self.repository(), &twin.repository());
        twin
    }

    /// Removes the locks that a killed run left: its process is ours, and lives.
    fn unlock(&self) -> &Self {
        for name in self.names("locks") {
            fs::remove_file(self.repository().join("locks").join(name)).unwrap();
        }
        self
    }

    /// Opens the repository through a storage that `watch` may make fail.
    fn watched(&self, watch: impl Fn(&str, &str) -> Result<()> + Send + Sync + 'static) -> Repository {
        Repository::open(Arc::new(Watched::new(&self.repository(), watch)), PASSWORD).unwrap()
    }

    /// Returns how many bytes are stored, but for locks.
    fn stored(&self) -> u64 {
        ["config", "keys", "data", "index", "snapshots"].iter().map(|part| size(&self.repository().join(part))).sum()
    }

    fn prune(&self, remove: &[Id], options: Options) -> Result<Pruned> {
        prune(&self.restic().open(), remove, options)
    }

    fn plan(&self, remove: &[Id], options: Options) -> Result<Plan> {
        let (cancel, progress) = (Cancel::new(), Progress::new());
        let workers = Workers { threads: 3, progress: &progress, cancel: &cancel };
        plan(&self.restic().open(), &remove.iter().copied().collect(), &options, &workers)
    }

    /// Fails unless everything that is named is there and what it should be; returns the notes.
    #[track_caller]
    fn assert_whole(&self, kept: &[Id]) -> Vec<String> {
        let (cancel, progress) = (Cancel::new(), Progress::new());
        let workers = Workers { threads: 3, progress: &progress, cancel: &cancel };
        let report = check(&self.restic().open(), true, &workers).unwrap();
        assert_eq!(report.problems, []);
        let left = self.snapshots();
        assert!(kept.iter().all(|id| left.contains(id)), "of {kept:?} only {left:?} are left");
        report.notes
    }

    /// Fails unless restic finds nothing wrong, and restores these snapshots as they were stored.
    #[track_caller]
    fn assert_restores(&self, kept: &[Id]) {
        self.restic().run(&["check", "--read-data"]);
        for id in kept {
            let target = tempfile::tempdir().unwrap();
            let into = target.path().to_str().unwrap();
            self.restic().run(&["restore", &id.to_string(), "--target", into]);
            tree::assert_same(&self.path(&format!("as-{id}")), &target.path().join("data"));
        }
    }
}

/// Plans and performs a prune under a lock of its own.
fn prune(repository: &Repository, remove: &[Id], options: Options) -> Result<Pruned> {
    let (cancel, progress) = (Cancel::new(), Progress::new());
    let workers = Workers { threads: 3, progress: &progress, cancel: &cancel };
    let lock = repository.lock(LockKind::Exclusive, Duration::ZERO, &cancel)?;
    let plan = plan(repository, &remove.iter().copied().collect(), &options, &workers)?;
    let pruned = plan.perform(&lock, &workers)?;
    lock.release()?;
    Ok(pruned)
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args(["-a", "--remove-destination"]).args([from, to]).status().unwrap().success());
}

fn size(path: &Path) -> u64 {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| size(&entry.unwrap().path())).sum(),
        Err(_) => fs::metadata(path).map_or(0, |metadata| metadata.len()),
    }
}

/// Stores data of which a part stays and a part changes, `count` times.
fn history(lab: &Lab, count: u64, length: usize) -> Vec<Id> {
    lab.write("same", length, 1);
    let backup = |round: u64| {
        lab.write("changing", length, 100 + round).write(&format!("of {round}"), length / 2, 200 + round);
        for small in 0..20 {
            lab.write(&format!("small {small}"), 500, if small % 3 == 0 { small } else { 1000 * round + small });
        }
        lab.backup()
    };
    (0..count).map(backup).collect()
}

/// A history of which two snapshots go and two stay.
fn house() -> (Lab, Vec<Id>, Vec<Id>) {
    let lab = Lab::new();
    let mut gone = history(&lab, 4, 60_000);
    let kept = gone.split_off(2);
    (lab, gone, kept)
}

/// Returns the files of a kind.
fn files(repository: &Repository, kind: FileType) -> BTreeSet<Id> {
    repository.list(kind).unwrap().into_iter().map(|(id, _)| id).collect()
}
