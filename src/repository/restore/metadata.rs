//! Owners, permissions, times and extended attributes.

use super::differences::Aspects;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::tree::{ExtendedAttribute, Node};
use crate::repository::{inode, mode};
use jiff::Timestamp;
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The most notes that are kept.
const MAX_NOTES: usize = 1000;
const SET_IDS: u32 = 0o6000;
const PERMISSIONS: u32 = 0o7777;

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

    /// Returns what differs of something that exists. The time of access does not count: it changes with every reader.
    pub(super) fn differing(&self, stat: &Stat, attributes: &[ExtendedAttribute]) -> Aspects {
        let mode = stat.st_mode & PERMISSIONS != self.mode & PERMISSIONS;
        self.differing_of_link(stat, attributes).and(Aspects::MODE.when(mode))
    }

    /// Returns what differs of a symbolic link, which has no permissions of its own.
    pub(super) fn differing_of_link(&self, stat: &Stat, attributes: &[ExtendedAttribute]) -> Aspects {
        let time = timespec(self.mtime);
        let same_time = (stat.st_mtime, i64::try_from(stat.st_mtime_nsec)) == (time.tv_sec, Ok(time.tv_nsec));
        let same_attributes = self.attributes.iter().all(|attribute| is_among(attribute, attributes))
            && self.superfluous(attributes).next().is_none();
        Aspects::OWNER
            .when((stat.st_uid, stat.st_gid) != (self.uid, self.gid))
            .and(Aspects::TIME.when(!same_time))
            .and(Aspects::ATTRIBUTES.when(!same_attributes))
    }

    /// Returns the attributes that are there and should not be.
    pub(super) fn superfluous<'f>(
        &'f self,
        found: &'f [ExtendedAttribute],
    ) -> impl Iterator<Item = &'f ExtendedAttribute> {
        let known = |found: &ExtendedAttribute| self.attributes.iter().any(|attribute| attribute.name == found.name);
        found.iter().filter(move |found| is_ours(&found.name) && !known(found))
    }

    pub(super) fn times(&self) -> Timestamps {
        Timestamps { last_access: timespec(self.atime), last_modification: timespec(self.mtime) }
    }
}

/// Says whether an attribute that the snapshot does not have is to be removed. What the system itself gives to every
/// file, such as the label of a security module, is not: the snapshot may come from a system without it.
pub(super) fn is_ours(name: &str) -> bool {
    let of_system = name.starts_with("security.") || name.starts_with("system.");
    !of_system || name == "security.capability" || name.starts_with("system.posix_acl_")
}

/// Returns the times that something has.
pub(super) fn times_of(stat: &Stat) -> Timestamps {
    let time =
        |seconds, nanoseconds| Timespec { tv_sec: seconds, tv_nsec: i64::try_from(nanoseconds).unwrap_or_default() };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
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
    /// Whether new files may have got attributes from their directory.
    inherits: bool,
    root: bool,
    notes: Mutex<Vec<Note>>,
}

impl Setter {
    pub(super) fn new(default_owner: Option<(u32, u32)>, inherits: bool, notes: Vec<Note>) -> Self {
        let root = rustix::process::geteuid().is_root();
        Self { default_owner, inherits, root, notes: Mutex::new(notes) }
    }

    /// Says whether whoever restores may do what the permissions forbid.
    pub(super) fn is_root(&self) -> bool {
        self.root
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

    /// Sets what differs on an open file or directory that was there; says whether anything was changed.
    pub(super) fn mend(&self, fd: BorrowedFd<'_>, metadata: &Metadata, path: &dyn Fn() -> PathBuf) -> Result<bool> {
        let look = || Ok((rustix::fs::fstat(fd)?, inode::attributes(fd)?));
        let look = || look().map_err(|error: Errno| failed("metadata", path, error));
        let (mut stat, mut attributes) = look()?;
        let differing = metadata.differing(&stat, &attributes);
        let mut changed = false;
        let mut owned = true;
        if differing.has(Aspects::OWNER) {
            let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
            owned = self.owner(rustix::fs::fchown(fd, Some(uid), Some(gid)), path)?;
            changed |= owned;
            // Some bits and attributes do not survive another owner.
            (stat, attributes) = look()?;
        }
        for attribute in metadata.superfluous(&attributes) {
            changed |= self.attribute(attribute, rustix::fs::fremovexattr(fd, attribute.name.as_str()), path)?;
        }
        let mode = self.mode(metadata, owned, path);
        if stat.st_mode & PERMISSIONS != mode.as_raw_mode() & PERMISSIONS {
            rustix::fs::fchmod(fd, mode).map_err(|error| failed("permissions", path, error))?;
            changed = true;
        }
        for attribute in metadata.attributes.iter().filter(|attribute| !is_among(attribute, &attributes)) {
            let set = rustix::fs::fsetxattr(fd, attribute.name.as_str(), value(attribute), XattrFlags::empty());
            changed |= self.attribute(attribute, set, path)?;
        }
        if differing.has(Aspects::TIME) {
            match rustix::fs::futimens(fd, &metadata.times()) {
                Ok(()) => changed = true,
                // Such as a volume that belongs to root, and in which a group may write.
                Err(Errno::PERM) if !self.root => {
                    self.note(path, "keeps its time: only its owner may set another".to_owned());
                }
                Err(error) => return Err(failed("times", path, error)),
            }
        }
        Ok(changed)
    }

    /// Sets everything on an open file or directory that is new.
    pub(super) fn set(&self, fd: BorrowedFd<'_>, metadata: &Metadata, path: &dyn Fn() -> PathBuf) -> Result<()> {
        let owned = match self.default_owner == Some((metadata.uid, metadata.gid)) {
            true => true,
            false => {
                let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
                self.owner(rustix::fs::fchown(fd, Some(uid), Some(gid)), path)?
            }
        };
        if self.inherits {
            let attributes = inode::attributes(fd).map_err(|error| failed("attributes", path, error))?;
            for attribute in metadata.superfluous(&attributes) {
                self.attribute(attribute, rustix::fs::fremovexattr(fd, attribute.name.as_str()), path)?;
            }
        }
        // Changing the owner clears these bits, so permissions come after it.
        rustix::fs::fchmod(fd, self.mode(metadata, owned, path)).map_err(|error| failed("permissions", path, error))?;
        for attribute in &metadata.attributes {
            let set = rustix::fs::fsetxattr(fd, attribute.name.as_str(), value(attribute), XattrFlags::empty());
            self.attribute(attribute, set, path)?;
        }
        rustix::fs::futimens(fd, &metadata.times()).map_err(|error| failed("times", path, error))
    }

    /// Sets what `differing` says on what cannot be opened and was there; says whether anything was changed.
    pub(super) fn mend_special(
        &self,
        place: (BorrowedFd<'_>, &OsStr),
        symlink: bool,
        metadata: &Metadata,
        differing: Aspects,
        path: &dyn Fn() -> PathBuf,
    ) -> Result<bool> {
        if differing == Aspects::OWNER && !self.root {
            self.note_owner(path);
            return Ok(false);
        }
        self.set_special(place, symlink, metadata, path).map(|()| true)
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
        let attributes = inode::attributes_at(dir, name, &path()).map_err(|error| failed("attributes", path, error))?;
        for attribute in metadata.superfluous(&attributes) {
            self.attribute(attribute, rustix::fs::removexattr(inode.as_str(), attribute.name.as_str()), path)?;
        }
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
                self.note_owner(path);
                Ok(false)
            }
            Err(error) => Err(failed("owner", path, error)),
        }
    }

    fn note_owner(&self, path: &dyn Fn() -> PathBuf) {
        self.note(path, "belongs to whoever restores it: only root may give files away".to_owned());
    }

    /// Returns the permissions; a program that belongs to somebody else than before does not get that one's powers.
    fn mode(&self, metadata: &Metadata, owned: bool, path: &dyn Fn() -> PathBuf) -> Mode {
        let keep = owned || metadata.mode & SET_IDS == 0;
        if !keep {
            self.note(path, "is restored without its set-user-id and set-group-id bits".to_owned());
        }
        Mode::from_raw_mode(if keep { metadata.mode } else { metadata.mode & !SET_IDS })
    }

    /// Says whether an attribute could be set or removed.
    fn attribute(
        &self,
        attribute: &ExtendedAttribute,
        set: Result<(), Errno>,
        path: &dyn Fn() -> PathBuf,
    ) -> Result<bool> {
        match set {
            Ok(()) => Ok(true),
            // What the target's file system, or this user, cannot have.
            Err(error @ (Errno::NOTSUP | Errno::PERM | Errno::ACCESS | Errno::INVAL)) => {
                self.note(path, format!("is restored otherwise in its attribute {}: {error}", attribute.name));
                Ok(false)
            }
            Err(error) => Err(failed(&format!("attribute {}", attribute.name), path, error)),
        }
    }
}

/// Says whether an attribute is there. An empty value is stored as none by some clients.
fn is_among(attribute: &ExtendedAttribute, found: &[ExtendedAttribute]) -> bool {
    found.iter().any(|found| found.name == attribute.name && value(found) == value(attribute))
}

fn value(attribute: &ExtendedAttribute) -> &[u8] {
    attribute.value.as_ref().map_or(&[], |value| &value.0)
}

fn failed(what: &str, path: &dyn Fn() -> PathBuf, error: Errno) -> Error {
    let message = format!("cannot set the {what} of {}", path().display());
    Error::new(ErrorCode::RestoreFailed, message).caused_by(error)
}
