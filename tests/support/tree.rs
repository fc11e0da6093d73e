//! Comparing two trees by everything that restic keeps.

use holdpoint::repository::Id;
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What must be the same of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Type and permissions.
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    size: u64,
    device: u64,
    content: Option<Id>,
    target: Option<OsString>,
    attributes: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path with the same inode.
    same_as: PathBuf,
}

/// Reads everything below `root`; paths are relative to it.
pub fn facts(root: &Path) -> BTreeMap<PathBuf, Facts> {
    let mut paths = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            paths.push(entry.path());
        }
    }
    paths.sort();
    let mut inodes = HashMap::new();
    let facts = |path: PathBuf| {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let relative = path.strip_prefix(root).unwrap().to_owned();
        let kind = metadata.file_type();
        let file = kind.is_file();
        let facts = Facts {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            // The size of a directory or link is its file system's affair.
            size: if file { metadata.size() } else { 0 },
            device: metadata.rdev(),
            content: file.then(|| Id::of(&fs::read(&path).unwrap())),
            target: kind.is_symlink().then(|| fs::read_link(&path).unwrap().into_os_string()),
            attributes: attributes(&path),
            same_as: inodes.entry((metadata.dev(), metadata.ino())).or_insert(relative.clone()).clone(),
        };
        (relative, facts)
    };
    paths.into_iter().map(facts).collect()
}

fn attributes(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let value = |name: &[u8]| {
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
        value.truncate(length);
        value
    };
    names.map(|name| (name.to_vec(), value(name))).collect()
}

/// Fails with every difference between the two trees.
#[track_caller]
pub fn assert_same(expected: &Path, found: &Path) {
    let differences = differences(expected, found);
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Returns one line for every path that is not the same in both trees.
pub fn differences(expected: &Path, found: &Path) -> Vec<String> {
    let (expected, found) = (facts(expected), facts(found));
    let mut lines = Vec::new();
    for (path, facts) in &expected {
        match found.get(path) {
            None => lines.push(format!("{path:?} is missing")),
            Some(other) if other == facts => {}
            Some(other) => lines.push(format!("{path:?}\n  expected {facts:?}\n  found    {other:?}")),
        }
    }
    lines.extend(found.keys().filter(|path| !expected.contains_key(*path)).map(|path| format!("{path:?} is too much")));
    lines
}
