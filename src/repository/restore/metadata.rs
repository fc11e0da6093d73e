//! Owners, permissions, times and extended attributes.

use crate::error::{Error, ErrorCode, Result};
use crate::repository::mode;
use crate::repository::tree::{ExtendedAttribute, Node};
use jiff::Timestamp;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The most notes that are kept.
const MAX_NOTES: usize = 1000;
const SET_IDS: u32 = 0o6000;

/// Something about a path that was restored otherwise than it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The path inside the target.
    pub path: PathBuf,
    /// What happened to it.
    pub message: String,
}

/// What a file gets when its content is complete.
#[derive(Debug)]
pub(super) struct Metadata {
    pub(super) mode: u32,
    uid: u32,
    gid: u32,
    mtime: Timestamp,
    atime: Timestamp,
    attributes: Vec<ExtendedAttribute>,
}

impl Metadata {
    pub(super) fn new(node: &Node) -> Self {
        Self {
            mode: mode::to_posix(node.mode),
            uid: node.uid,
            gid: node.gid,
            mtime: node.mtime,
            atime: node.atime,
            attributes: node.extended_attributes.clone(),
        }
    }

    pub(super) fn times(&self) -> Timestamps {
        Timestamps { last_access: timespec(self.atime), last_modification: timespec(self.mtime) }
    }
}

fn timespec(time: Timestamp) -> Timespec {
    const SECOND: i128 = 1_000_000_000;
    let nanoseconds = time.as_nanosecond();
    // Both fit: a timestamp ends with the year 9999. Before 1970 the nanoseconds still count forwards.
    Timespec {
        tv_sec: i64::try_from(nanoseconds.div_euclid(SECOND)).unwrap_or_default(),
        tv_nsec: i64::try_from(nanoseconds.rem_euclid(SECOND)).unwrap_or_default(),
    }
}

/// Sets metadata; shared by all threads.
#[derive(Debug)]
pub(super) struct Setter {
    /// Whom new files belong to anyway, where that is certain.
    pub(super) default_owner: Option<(u32, u32)>,
    root: bool,
    notes: Mutex<Vec<Note>>,
}

impl Setter {
    pub(super) fn new(default_owner: Option<(u32, u32)>, notes: Vec<Note>) -> Self {
        Self { default_owner, root: rustix::process::geteuid().is_root(), notes: Mutex::new(notes) }
    }

    pub(super) fn note(&self, path: impl FnOnce() -> PathBuf, message: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < MAX_NOTES {
            notes.push(Note { path: path(), message });
        }
    }

    pub(super) fn into_notes(self) -> Vec<Note> {
        self.notes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets everything on an open file or directory.
    pub(super) fn set(&self, fd: BorrowedFd<'_>, metadata: &Metadata, path: &dyn Fn() -> PathBuf) -> Result<()> {
        let owned = match self.default_owner == Some((metadata.uid, metadata.gid)) {
            true => true,
            false => {
                let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
                self.owner(rustix::fs::fchown(fd, Some(uid), Some(gid)), path)?
            }
        };
        // Changing the owner clears these bits, so permissions come after it.
        rustix::fs::fchmod(fd, self.mode(metadata, owned, path)).map_err(|error| failed("permissions", path, error))?;
        for attribute in &metadata.attributes {
            let set = rustix::fs::fsetxattr(fd, attribute.name.as_str(), value(attribute), XattrFlags::empty());
            self.attribute(attribute, set, path)?;
        }
        rustix::fs::futimens(fd, &metadata.times()).map_err(|error| failed("times", path, error))
    }

    /// Sets everything on what cannot be opened: a link, a device, a pipe named `name` in `dir`.
    pub(super) fn set_special(
        &self,
        (dir, name): (BorrowedFd<'_>, &OsStr),
        symlink: bool,
        metadata: &Metadata,
        path: &dyn Fn() -> PathBuf,
    ) -> Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = rustix::fs::openat(dir, name, flags, Mode::empty()).map_err(|error| failed("owner", path, error))?;
        let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
        let changed = rustix::fs::chownat(&node, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH);
        let owned = self.owner(changed, path)?;
        // The one way to name an inode that was opened with O_PATH; it leads to the inode itself, even to a link.
        let inode = format!("/proc/self/fd/{}", node.as_raw_fd());
        if !symlink {
            rustix::fs::chmod(inode.as_str(), self.mode(metadata, owned, path))
                .map_err(|error| failed("permissions", path, error))?;
        }
        for attribute in &metadata.attributes {
            let set =
                rustix::fs::setxattr(inode.as_str(), attribute.name.as_str(), value(attribute), XattrFlags::empty());
            self.attribute(attribute, set, path)?;
        }
        rustix::fs::utimensat(dir, name, &metadata.times(), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| failed("times", path, error))
    }

    /// Says whether the owner is the stored one.
    fn owner(&self, changed: Result<(), Errno>, path: &dyn Fn() -> PathBuf) -> Result<bool> {
        match changed {
            Ok(()) => Ok(true),
            Err(Errno::PERM) if !self.root => {
                self.note(path, "belongs to whoever restores it: only root may give files away".to_owned());
                Ok(false)
            }
            Err(error) => Err(failed("owner", path, error)),
        }
    }

    /// Returns the permissions; a program that belongs to somebody else than before does not get that one's powers.
    fn mode(&self, metadata: &Metadata, owned: bool, path: &dyn Fn() -> PathBuf) -> Mode {
        let keep = owned || metadata.mode & SET_IDS == 0;
        if !keep {
            self.note(path, "is restored without its set-user-id and set-group-id bits".to_owned());
        }
        Mode::from_raw_mode(if keep { metadata.mode } else { metadata.mode & !SET_IDS })
    }

    fn attribute(
        &self,
        attribute: &ExtendedAttribute,
        set: Result<(), Errno>,
        path: &dyn Fn() -> PathBuf,
    ) -> Result<()> {
        match set {
            Ok(()) => Ok(()),
            // What the target's file system, or this user, cannot have.
            Err(error @ (Errno::NOTSUP | Errno::PERM | Errno::ACCESS | Errno::INVAL)) => {
                self.note(path, format!("is restored without its attribute {}: {error}", attribute.name));
                Ok(())
            }
            Err(error) => Err(failed(&format!("attribute {}", attribute.name), path, error)),
        }
    }
}

fn value(attribute: &ExtendedAttribute) -> &[u8] {
    attribute.value.as_ref().map_or(&[], |value| &value.0)
}

fn failed(what: &str, path: &dyn Fn() -> PathBuf, error: Errno) -> Error {
    let message = format!("cannot set the {what} of {}", path().display());
    Error::new(ErrorCode::RestoreFailed, message).caused_by(error)
}
