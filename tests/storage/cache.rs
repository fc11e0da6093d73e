//! The cache of a remote store: fewer requests with it, the same verdicts without it.

use crate::support::environment::must;
use crate::support::holdpoint::Holdpoint;
use crate::support::s3::Server;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

struct House {
    folder: TempDir,
    /// Runs as long as this is here.
    _server: Server,
    holdpoint: Holdpoint,
    bucket: String,
    releases: std::cell::Cell<u32>,
}

impl House {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let server = Server::in_process();
        let bucket = server.bucket("cache");
        let tree = folder.path().join("work/data");
        fs::create_dir_all(tree.join("below")).unwrap();
        fs::write(tree.join("below/orders.csv"), "id,total\n1,10\n").unwrap();
        let mut random = vec![0; 300_000];
        getrandom::fill(&mut random).unwrap();
        fs::write(tree.join("random"), random).unwrap();
        let mut holdpoint = Holdpoint::new(folder.path().join("work")).password();
        for (name, value) in server.environment() {
            holdpoint = holdpoint.env(name, value);
        }
        Self { folder, _server: server, holdpoint, bucket, releases: 0.into() }
    }

    fn cache(&self) -> PathBuf {
        self.holdpoint.home().join(".cache/holdpoint")
    }

    fn cached(&self) -> Vec<PathBuf> {
        fs::read_dir(self.cache()).map_or_else(|_| Vec::new(), |all| all.map(|entry| entry.unwrap().path()).collect())
    }

    /// Runs a gate that passes; returns how many files of the cache it used: they are marked as used.
    fn hits(&self) -> usize {
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        let before: Vec<_> = self.cached().into_iter().map(|path| (path.metadata().unwrap().ino(), path)).collect();
        for (_, path) in &before {
            File::options().write(true).open(path).unwrap().set_modified(long_ago).unwrap();
        }
        self.gate(&[]);
        let is_used = |(inode, path): &(u64, PathBuf)| {
            path.metadata().is_ok_and(|file| file.ino() == *inode && file.modified().unwrap() > long_ago)
        };
        before.iter().filter(|file| is_used(file)).count()
    }

    /// Runs a gate that passes; returns what was said.
    fn gate(&self, more: &[&str]) -> String {
        self.releases.set(self.releases.get() + 1);
        let release = format!("1.0.{}", self.releases.get());
        let (store, manifest) = (format!("s3://{}/s", self.bucket), self.folder.path().join("manifest.json"));
        let mut arguments = vec!["gate", "-e", "staging", "--application", "shop", "--store", &store, "--first"];
        arguments.extend(["--release", &release, "--commit", "0123456789012345678901234567890123456789"]);
        arguments.extend(["--manifest-out", manifest.to_str().unwrap(), "data"]);
        arguments.extend(more);
        let output = self.holdpoint.run(&arguments).expect(0);
        output.stderr.clone()
    }
}

fn damage(path: &Path, how: usize) {
    let mut data = fs::read(path).unwrap();
    match how % 3 {
        0 => data.truncate(data.len() / 2),
        1 => data[0] ^= 1,
        _ => data.clear(),
    }
    fs::write(path, data).unwrap();
}

/// Says whether a file holds what its name says.
fn is_whole(path: &Path) -> bool {
    let digest = hex::encode(Sha256::digest(fs::read(path).unwrap()));
    path.file_name().is_some_and(|name| name == digest.as_str())
}

#[test]
fn an_unchanged_gate_reads_index_and_trees_from_it_and_passes_however_broken_it_is() {
    let house = House::new();
    house.gate(&[]);
    let kept = house.cached().len();
    assert!(kept >= 3, "an index file, a snapshot and a pack of trees at least");
    let sizes: u64 = house.cached().iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(sizes < 100_000, "content is in it");
    assert!(house.hits() >= 2);
    for how in 0..3 {
        for path in house.cached() {
            damage(&path, how);
        }
        house.gate(&[]);
        // What was not needed again is still as it was.
        assert!(house.cached().iter().filter(|path| is_whole(path)).count() >= 2, "it did not heal");
        assert!(house.hits() >= 2);
    }
    fs::remove_dir_all(house.cache()).unwrap();
    house.gate(&[]);
    assert!(house.cached().len() >= 3);
}

#[test]
fn without_a_place_for_it_the_gate_says_so_and_passes() {
    let house = House::new();
    fs::write(house.holdpoint.home().join(".cache"), "no directory").unwrap();
    let said = house.gate(&[]);
    assert!(said.contains("no cache: "), "{said}");
    let config = house.folder.path().join("work/holdpoint.toml");
    fs::write(&config, "[store]\ncache = { max_size = 0 }\n").unwrap();
    let said = house.gate(&[]);
    assert!(!said.contains("cache"), "{said}");
    fs::write(&config, "[store]\ncache = { directory = \"kept\" }\n").unwrap();
    house.gate(&[]);
    let kept = house.folder.path().join("work/kept");
    let count = || fs::read_dir(&kept).unwrap().count();
    assert!(count() >= 3);
    // One that lets others in is left alone.
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o755)).unwrap();
    let before = count();
    let said = house.gate(&[]);
    assert!(said.contains("no cache: ") && said.contains("755 lets others in"), "{said}");
    assert_eq!(count(), before);
}

#[test]
fn a_full_disk_is_no_failure() {
    let house = House::new();
    let full = house.folder.path().join("full");
    fs::create_dir(&full).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4k", "none"]).arg(&full).output().unwrap();
    if !mounted.status.success() {
        // Only root may.
        return;
    }
    let config = format!("[store]\ncache = {{ directory = \"{}\" }}\n", full.join("cache").display());
    fs::write(house.folder.path().join("work/holdpoint.toml"), config).unwrap();
    let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        house.gate(&[]);
        house.gate(&[]);
    }));
    must(Command::new("umount").arg(&full));
    passed.unwrap();
}
