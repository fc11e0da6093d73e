//! Random damage to a restored tree: the next restore puts everything right, and touches nothing else.

use super::{Stage, touches};
use crate::support::{full, tree};
use rustix::fs::{AtFlags, CWD, FileType, Gid, Timespec, Timestamps, Uid, XattrFlags};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

const ROUNDS: u64 = 12;
const ROUNDS_OF_FULL: u64 = 150;
/// How many damages there are at most in one round.
const DAMAGES: u64 = 8;

/// Random numbers from a seed that is printed, so that a failure can be looked at again.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn one_of<'t, T>(&mut self, items: &'t [T]) -> &'t T {
        &items[usize::try_from(self.below(items.len() as u64)).unwrap()]
    }
}

/// Changes content and leaves size and time as they were.
fn flip(path: &Path, random: &mut Random) {
    let metadata = fs::metadata(path).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let at = random.below(metadata.len());
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << random.below(8))], at).unwrap();
    file.set_modified(metadata.modified().unwrap()).unwrap();
}

fn clear(path: &Path) {
    match fs::symlink_metadata(path).unwrap().is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
}

/// Damages one path; returns what was done, and to which others. Names that should not be there are added to `added`.
fn damage(root: &Path, path: &Path, paths: &[PathBuf], random: &mut Random, added: &mut Vec<PathBuf>) -> String {
    let metadata = fs::symlink_metadata(path).unwrap();
    let (file, size) = (metadata.is_file(), metadata.len());
    let no_follow = AtFlags::SYMLINK_NOFOLLOW;
    match random.below(16) {
        0..=2 if file && size > 0 => {
            flip(path, random);
            "flipped a bit".into()
        }
        3 if file && size > 0 => {
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(random.below(size)).unwrap();
            "cut".into()
        }
        4 if file => {
            fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(b"more", size).unwrap();
            "longer".into()
        }
        5 if file => {
            let other = random.one_of(paths);
            if other == path || !fs::symlink_metadata(other).is_ok_and(|other| other.is_file()) {
                return "not joined".into();
            }
            fs::remove_file(path).unwrap();
            fs::hard_link(other, path).unwrap();
            format!("joined with {other:?}")
        }
        6 if file => {
            let copy = root.join("a copy");
            fs::copy(path, &copy).unwrap();
            fs::rename(copy, path).unwrap();
            "parted".into()
        }
        7 => {
            clear(path);
            "gone".into()
        }
        8 => {
            clear(path);
            fs::create_dir_all(path.join("some/folders")).unwrap();
            fs::write(path.join("some/file"), "x").unwrap();
            if metadata.is_dir() {
                added.push(path.join("some"));
            }
            "another directory".into()
        }
        9 => {
            clear(path);
            symlink(*random.one_of(&["/etc", "/etc/passwd", "nowhere"]), path).unwrap();
            "a link".into()
        }
        10 => {
            clear(path);
            rustix::fs::mknodat(CWD, path, FileType::Fifo, 0o600.into(), 0).unwrap();
            "a pipe".into()
        }
        11 if !metadata.is_symlink() => {
            let mode = u32::try_from(random.below(0o10000)).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            format!("mode {mode:o}")
        }
        12 if !metadata.is_symlink() => {
            let _ = rustix::fs::lremovexattr(path, "user.mime_type");
            let _ = rustix::fs::lsetxattr(path, *random.one_of(&["user.new", "user.empty"]), b"x", XattrFlags::empty());
            "attributes".into()
        }
        13 => {
            let time = Timespec { tv_sec: random.below(2_000_000_000).cast_signed(), tv_nsec: 1 };
            let times = Timestamps { last_access: time, last_modification: time };
            rustix::fs::utimensat(CWD, path, &times, no_follow).unwrap();
            "time".into()
        }
        14 => {
            let (uid, gid) = (Uid::from_raw(4000), Gid::from_raw(u32::try_from(random.below(3)).unwrap()));
            // Only root may.
            let _ = rustix::fs::chownat(CWD, path, Some(uid), Some(gid), no_follow);
            "owner".into()
        }
        15 if metadata.is_dir() => {
            let new = path.join(format!("added {}", random.below(1000)));
            fs::write(&new, "was not in the snapshot").unwrap();
            added.push(new);
            "an additional name".into()
        }
        _ => "nothing".into(),
    }
}

/// Returns the paths whose inode is that of any of `these`.
fn with_their_links(touches: &BTreeMap<PathBuf, super::Touch>, these: &BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let inodes: BTreeSet<u64> = these.iter().filter_map(|path| touches.get(path)).map(|touch| touch.0).collect();
    touches.iter().filter(|(_, touch)| inodes.contains(&touch.0)).map(|(path, _)| path.clone()).collect()
}

#[test]
fn what_was_damaged_is_put_right_and_nothing_else_is_touched() {
    let stage = Stage::of_sample();
    let target = stage.path("target");
    stage.restore(&target);
    stage.assert_restored(&target);
    let wanted = tree::facts(&stage.path("expected"));
    for round in 0..if full() { ROUNDS_OF_FULL } else { ROUNDS } {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).unwrap();
        let seed = u64::from_le_bytes(seed);
        let mut random = Random(seed);
        let right = touches(&target);
        let paths: Vec<PathBuf> = right.keys().map(|path| target.join(path)).collect();
        let mut added = Vec::new();
        let mut log = format!("round {round}, seed {seed:#x}");
        for _ in 0..=random.below(DAMAGES) {
            let path = random.one_of(&paths).clone();
            if fs::symlink_metadata(&path).is_ok() {
                let done = damage(&target, &path, &paths, &mut random, &mut added);
                log += &format!("\n  {path:?}: {done}");
            }
        }
        eprintln!("{log}");
        added.retain(|path| fs::symlink_metadata(path).is_ok());
        let (damaged, found) = (touches(&target), tree::facts(&target));
        let differences = stage.compare(&target);
        // What the tree has otherwise than it should, and what the comparison says of it.
        let otherwise: BTreeSet<PathBuf> = wanted
            .iter()
            .filter(|(path, facts)| found.get(*path) != Some(facts))
            .map(|(path, _)| path.clone())
            .collect();
        if differences.total() < 100 {
            let said: BTreeSet<_> = differences.first.iter().map(|one| one.path.clone()).collect();
            let grouped = with_their_links(&damaged, &otherwise.union(&said).cloned().collect());
            for path in otherwise.iter().filter(|path| !said.contains(*path)) {
                assert!(grouped.contains(path), "{path:?} differs, but was not told: {differences:?}");
            }
            for path in said.iter().filter(|path| wanted.contains_key(*path) && !otherwise.contains(*path)) {
                assert!(grouped.len() > 1 && grouped.contains(path), "{path:?} is the same: {differences:?}");
            }
        }
        // Looking has changed nothing.
        assert_eq!(touches(&target), damaged);
        stage.restore(&target);
        for path in &added {
            let parent = path.parent().unwrap();
            assert!(fs::symlink_metadata(path).is_ok(), "{path:?} was not in the snapshot and is gone");
            let modified = fs::metadata(parent).unwrap().modified().unwrap();
            clear(path);
            fs::File::open(parent).unwrap().set_modified(modified).unwrap();
        }
        stage.assert_restored(&target);
        assert!(stage.compare(&target).is_none());
        // What shares an inode with something damaged, or did, or should, has a new name beside it.
        let affected = with_their_links(&right, &with_their_links(&damaged, &otherwise));
        let affected = with_their_links(&damaged, &affected.union(&otherwise).cloned().collect());
        let added: BTreeSet<&Path> =
            added.iter().filter_map(|path| path.parent()?.strip_prefix(&target).ok()).collect();
        let groups = with_their_links(&touches(&target), &otherwise);
        for (path, touch) in touches(&target) {
            // Replacing what is in a directory changes its time, and that is set again.
            let inside = otherwise.iter().any(|other| other.parent() == Some(&path));
            let exempt = inside
                || otherwise.contains(&path)
                || affected.contains(&path)
                || groups.contains(&path)
                || added.contains(path.as_path());
            assert!(exempt || damaged.get(&path) == Some(&touch), "{path:?} was touched");
        }
    }
}
