//! Files that came after the gate: what was not there before the deploy is removed again, if it was saved and is still what
//! was saved.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::ls::list;
use crate::repository::tree::{Node, NodeType};
use crate::repository::{Id, Indexed};
use jiff::Timestamp;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// How many names that stay are told.
const TOLD: usize = 5;

/// A name that came after the gate, as it was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Added {
    path: PathBuf,
    kind: NodeType,
    size: u64,
    mtime: Timestamp,
}

impl Added {
    fn new(path: &Path, node: &Node) -> Self {
        Self { path: path.to_owned(), kind: node.kind, size: node.size, mtime: node.mtime }
    }

    /// Says whether this is what was saved. A directory has another time as soon as something in it is removed, and is
    /// removed only once it is empty.
    fn is(&self, stat: &Stat) -> bool {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => NodeType::File,
            FileType::Directory => NodeType::Dir,
            FileType::Symlink => NodeType::Symlink,
            FileType::BlockDevice => NodeType::Dev,
            FileType::CharacterDevice => NodeType::CharDev,
            FileType::Fifo => NodeType::Fifo,
            FileType::Socket => NodeType::Socket,
            FileType::Unknown => NodeType::Irregular,
        };
        let nanoseconds = i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec);
        let same_size = kind != NodeType::File || u64::try_from(stat.st_size) == Ok(self.size);
        let same_time = kind == NodeType::Dir || self.mtime.as_nanosecond() == nanoseconds;
        self.kind == kind && same_size && same_time
    }
}

/// What [`remove`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    /// How many names are gone.
    pub(super) names: usize,
    /// How many stay, since they are not what was saved any more.
    pub(super) changed: usize,
    /// The first of those.
    pub(super) first: Vec<PathBuf>,
}

/// Returns what is below the tree `now` and was not below `then`, a directory before what it holds. Where a directory has
/// taken the place of something else, it counts as added.
///
/// # Errors
/// `damaged`, naming the tree; the store's own; a cancellation.
pub(super) fn added(indexed: &Indexed, then: Id, now: Id, cancel: &Cancel) -> Result<Vec<Added>> {
    let mut added = Vec::new();
    let mut open = vec![(PathBuf::from("/"), then, now)];
    while let Some((path, then, now)) = open.pop() {
        cancel.check()?;
        if then == now {
            continue;
        }
        let before: HashMap<OsString, Node> =
            indexed.read_tree(&then)?.nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
        for node in indexed.read_tree(&now)?.nodes {
            let path = path.join(&node.name);
            let dir = directory(&node);
            match (dir, before.get(&node.name).map(directory)) {
                (Some(now), Some(Some(then))) => open.push((path, then, now)),
                (Some(now), _) => {
                    added.push(Added::new(&path, &node));
                    list(indexed, now, &path, cancel, &mut |path, node| {
                        added.push(Added::new(path, node));
                        Ok(())
                    })?;
                }
                (None, None) => added.push(Added::new(&path, &node)),
                (None, Some(_)) => {}
            }
        }
    }
    Ok(added)
}

/// Returns the tree of a directory.
fn directory(node: &Node) -> Option<Id> {
    node.subtree.filter(|_| node.kind == NodeType::Dir)
}

/// Removes what [`added`] found below `roots`, what is inside of a directory first. No symbolic link below a root is followed.
/// What is not what was saved any more stays, and so does a directory that still holds something, such as files that the
/// source leaves out.
///
/// # Errors
/// `restore-failed`, naming what cannot be removed; a cancellation.
pub(super) fn remove(added: &[Added], roots: &[PathBuf], cancel: &Cancel) -> Result<Removed> {
    let mut removed = Removed::default();
    // Names of one directory mostly follow one another.
    let mut open: Option<(&Path, OwnedFd)> = None;
    for one in added.iter().rev() {
        cancel.check()?;
        let Some(parent) = one.path.parent() else { continue };
        let here = match open.take().filter(|(path, _)| *path == parent) {
            Some((_, folder)) => Ok(folder),
            None => open_folder(parent, roots),
        };
        let gone = here.and_then(|folder| {
            let gone = remove_one(&folder, one);
            open = Some((parent, folder));
            gone
        });
        match gone {
            Ok(true) => removed.names += 1,
            // One that holds something: what was left out, or what stays.
            Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
            Ok(false) | Err(Errno::LOOP | Errno::NOTDIR) => {
                removed.changed += 1;
                if removed.first.len() < TOLD {
                    removed.first.push(one.path.clone());
                }
            }
            Err(error) => {
                let message = format!("cannot remove {}, which came after the gate", one.path.display());
                return Err(Error::new(ErrorCode::RestoreFailed, message).caused_by(std::io::Error::from(error)));
            }
        }
    }
    Ok(removed)
}

/// Opens a directory at or below one of `roots`. How a root is reached was for whoever named it; what is below it was saved as
/// directories.
fn open_folder(path: &Path, roots: &[PathBuf]) -> Result<OwnedFd, Errno> {
    let mut holders = roots.iter().map(|root| (root, root.parent().unwrap_or(root)));
    // A root itself that was added lies in the directory that holds it; what is beside every root is nobody's to remove.
    let holder = holders.find(|(root, holder)| path.starts_with(root) || path == *holder).ok_or(Errno::NOENT)?.1;
    let below = path.strip_prefix(holder).map_err(|_| Errno::NOENT)?;
    let mut folder = rustix::fs::openat(CWD, holder, DIRECTORY, Mode::empty())?;
    for name in below {
        folder = rustix::fs::openat(&folder, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok(folder)
}

/// Removes a name; returns whether it was what was saved.
fn remove_one(folder: &OwnedFd, one: &Added) -> Result<bool, Errno> {
    let Some(name) = one.path.file_name() else { return Ok(false) };
    if !one.is(&rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?) {
        return Ok(false);
    }
    let flags = if one.kind == NodeType::Dir { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    rustix::fs::unlinkat(folder, name, flags)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn as_it_is(path: &Path) -> Added {
        let meta = path.symlink_metadata().unwrap();
        let mtime = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        let kind = if meta.is_dir() {
            NodeType::Dir
        } else if meta.is_symlink() {
            NodeType::Symlink
        } else {
            NodeType::File
        };
        Added { path: path.to_owned(), kind, size: meta.len(), mtime: Timestamp::from_nanosecond(mtime).unwrap() }
    }

    #[test]
    fn only_what_is_still_what_was_saved_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("uploads");
        fs::create_dir_all(root.join("new/deep")).unwrap();
        fs::create_dir_all(folder.path().join("elsewhere/deep")).unwrap();
        let names = ["new/same", "new/other", "new/deep/kept", "plain", "gone"].map(|name| root.join(name));
        for path in &names {
            fs::write(path, "as saved").unwrap();
        }
        symlink("plain", root.join("link")).unwrap();
        let mut added: Vec<_> = ["new", "new/deep"].map(|name| as_it_is(&root.join(name))).into_iter().collect();
        added.extend(names.iter().map(|path| as_it_is(path)));
        added.push(as_it_is(&root.join("link")));
        let beside = folder.path().join("elsewhere/beside");
        fs::write(&beside, "as saved").unwrap();
        added.push(as_it_is(&beside));

        // Somebody wrote since; what was a directory leads elsewhere; something is gone.
        fs::write(root.join("new/other"), "as else").unwrap();
        fs::remove_file(root.join("gone")).unwrap();
        fs::rename(root.join("new/deep/kept"), folder.path().join("elsewhere/deep/kept")).unwrap();
        fs::remove_dir(root.join("new/deep")).unwrap();
        symlink(folder.path().join("elsewhere/deep"), root.join("new/deep")).unwrap();

        let removed = remove(&added, std::slice::from_ref(&root), &Cancel::new()).unwrap();
        let stay = ["new/deep/kept", "new/other", "new/deep"].map(|name| root.join(name));
        assert_eq!(removed, Removed { names: 3, changed: 3, first: stay.to_vec() });
        assert!(folder.path().join("elsewhere/deep/kept").exists(), "a link was followed");
        assert!(beside.exists(), "it is beside every root");
        assert!(root.join("new/other").exists() && root.join("new/deep").is_symlink());
        assert!(!root.join("new/same").exists() && !root.join("plain").exists());
        assert!(root.join("link").symlink_metadata().is_err());
    }
}
