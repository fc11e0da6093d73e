//! Damage of any kind to any file is noticed, never a panic, and never yields wrong data.

use crate::support::shared::{PASSWORD, Restic};
use crate::support::{sample, tree};
use holdpoint::cancel::Cancel;
use holdpoint::model::progress::Progress;
use holdpoint::repository::check::{CheckReport, check};
use holdpoint::repository::{Repository, Workers, restore};
use holdpoint::storage::LocalStorage;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many kinds of damage are tried; `HOLDPOINT_DAMAGE_CASES` asks for more.
const CASES: u64 = 60;

fn open(repository: &Path) -> holdpoint::error::Result<Repository> {
    Repository::open(Arc::new(LocalStorage::new(repository).unwrap()), PASSWORD)
}

fn check_all(repository: &Path) -> holdpoint::error::Result<CheckReport> {
    let (progress, cancel) = (Progress::new(), Cancel::new());
    let workers = Workers { threads: 2, progress: &progress, cancel: &cancel };
    check(&open(repository)?, true, &workers)
}

/// Restores the newest snapshot.
fn restore_all(repository: &Path, target: &Path) -> holdpoint::error::Result<()> {
    let (progress, cancel) = (Progress::new(), Cancel::new());
    let workers = Workers { threads: 2, progress: &progress, cancel: &cancel };
    let repository = open(repository)?;
    let indexed = repository.index(&cancel)?;
    let snapshots = repository.snapshots()?;
    let Some((_, newest)) = snapshots.last() else {
        return Err(holdpoint::error::Error::new(holdpoint::error::ErrorCode::NotFound, "there is no snapshot"));
    };
    let plan = restore::plan(&indexed, newest.tree, Path::new("/"), &workers)?;
    plan.perform(&indexed, target, false, &workers).map(drop)
}

/// Every file of a repository but its locks, sorted.
fn files(repository: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![repository.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true if entry.file_name() == "locks" => {}
                true => folders.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    files.sort();
    files
}

/// Damages one file; returns what was done to it.
fn damage(file: &Path, number: u64) -> String {
    let content = fs::read(file).unwrap();
    let random = sample::noise(8, number);
    let random = u64::from_le_bytes(random.try_into().unwrap());
    let at = usize::try_from(random >> 8).unwrap() % content.len();
    let mut damaged = content.clone();
    match number % 4 {
        0 | 1 => damaged[at] ^= 1 << (random % 8),
        2 => damaged.truncate(at),
        _ => {
            fs::remove_file(file).unwrap();
            return format!("{} was removed", file.display());
        }
    }
    // restic makes its files read-only; they are written anew, so that a hard link keeps what it has.
    fs::remove_file(file).unwrap();
    fs::write(file, damaged).unwrap();
    format!("{} was altered or cut at {at} of {}", file.display(), content.len())
}

#[test]
fn damage_is_reported_and_never_restored() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("folder")).unwrap();
    let original = folder.path().join("repository");
    let restic = Restic::at(&original).init();
    for round in 0..2 {
        for number in 0..20 {
            fs::write(source.join(format!("folder/{number}")), sample::noise(number * 997, number as u64)).unwrap();
        }
        fs::write(source.join("large"), sample::noise(3 << 20, round)).unwrap();
        restic.backup(&source);
    }
    let sound = check_all(&original).unwrap();
    assert_eq!(sound.problems, []);
    assert_eq!(sound.counts.snapshots, 2);
    let cases = std::env::var("HOLDPOINT_DAMAGE_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let files = files(&original);
    for number in 0..cases {
        let copy = folder.path().join("copy");
        copy_links(&original, &copy);
        let which = usize::try_from(number / 4).unwrap() % files.len();
        let file = copy.join(files[which].strip_prefix(&original).unwrap());
        let what = damage(&file, number);
        let reported = match check_all(&copy) {
            Ok(report) => !report.is_sound(),
            Err(_) => true,
        };
        let harmless = what.ends_with("removed") && (what.contains("/snapshots/") || what.contains("/keys/"));
        assert!(reported || harmless, "{number}: {what}: nobody noticed");
        let target = folder.path().join("target");
        let restored = restore_all(&copy, &target);
        if restored.is_ok() {
            // An older snapshot may be gone: the newest one that is left must be right, or the damage is elsewhere.
            let differences = tree::differences(&source, &target.join("source"));
            let gone = what.ends_with("removed") && what.contains("/snapshots/");
            assert!(differences.is_empty() || gone, "{number}: {what}: {differences:?}");
        }
        fs::remove_dir_all(&copy).unwrap();
        let _ = fs::remove_dir_all(&target);
    }
}

/// Copies a repository by hard links.
fn copy_links(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_links(&entry.path(), &to),
            false => fs::hard_link(entry.path(), to).unwrap(),
        }
    }
}

#[test]
fn a_restore_brings_back_everything_that_is_not_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir_all(&source).unwrap();
    let repository = folder.path().join("repository");
    let restic = Restic::at(&repository).init();
    // Each file in a pack of its own.
    for number in 0..2 {
        fs::write(source.join(number.to_string()), sample::noise(2 << 20, number)).unwrap();
        restic.backup(&source);
    }
    let packs = files(&repository.join("data"));
    let pack = packs.iter().find(|pack| fs::metadata(pack).unwrap().len() > 1 << 20).unwrap();
    let mut content = fs::read(pack).unwrap();
    content[100] ^= 1;
    fs::remove_file(pack).unwrap();
    fs::write(pack, content).unwrap();
    let target = folder.path().join("target");
    let error = restore_all(&repository, &target).unwrap_err();
    assert!(error.message().starts_with("1 of 2 files are damaged"), "{error}");
    assert!(target.join(restore::MARKER).exists());
    let restored: Vec<_> = ["0", "1"].into_iter().filter(|name| target.join("source").join(name).exists()).collect();
    assert_eq!(restored.len(), 1);
    let name = restored[0];
    assert_eq!(fs::read(target.join("source").join(name)).unwrap(), fs::read(source.join(name)).unwrap());
}
