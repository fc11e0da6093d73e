//! The directory that is restored into, and the mark in it that says that a restore is not complete.

use super::folders::{DIRECTORY, create};
use super::metadata;
use super::remove::remove_all;
use crate::error::{Error, ErrorCode, IoContext, Result};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file in the target, or in the directory that is restored itself, that says that a restore is not complete: written first, removed last.
pub const MARKER: &str = ".holdpoint-restore-incomplete";
const MARKER_TEXT: &str =
    "A restore into this directory has not ended, or was interrupted: what is here is not complete.\n";
/// The most that is read of a marker.
const MARKER_LIMIT: u64 = 64 << 10;
/// What the marker says of the names that files are written under: an interrupted restore leaves some.
const WORKING_NAMES: &str = "Files are written under names that begin with ";
/// How these names begin.
const WORKING: &str = ".holdpoint-";

/// The target of a restore.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    root: Arc<OwnedFd>,
    /// The directory that is marked: the root, or one in it that is restored itself.
    home: Arc<OwnedFd>,
    home_path: PathBuf,
    is_inside: bool,
    /// What existing names are replaced through; `None` where there is nothing to replace.
    temporary: Option<String>,
    /// Directories that hold the target or one of its parents, and got them only now.
    holders: Vec<PathBuf>,
    /// What restores that did not end have written, if this is the target of any: the text of their mark.
    unfinished: Option<String>,
}

impl Target {
    /// Opens the target, and makes it if needed. It must be empty, unless `force`.
    pub(super) fn open(path: &Path, force: bool) -> Result<Self> {
        let holders = create_all(path)?;
        let mut entries = std::fs::read_dir(path).io_context(|| format!("cannot list {}", path.display()))?;
        let empty = entries.next().is_none();
        if !empty && !force {
            let message = format!("the target {} is not empty", path.display());
            return Err(Error::new(ErrorCode::Usage, message)
                .hint("name an empty directory, or pass --force to overwrite what has the same name"));
        }
        let mut target = Self { holders, ..Self::open_existing(path, false)? };
        if !empty {
            target.temporary = Some(working_name()?);
            target.unfinished = target.read_mark()?;
        }
        Ok(target)
    }

    /// Opens the directory `parent`, in which the directory `name` is restored itself: that one is made if it is not there, and
    /// marked. Where it is there, nobody needs to write into `parent`. It must not be there, unless `force`.
    pub(super) fn open_inside(parent: &Path, name: &OsStr, force: bool) -> Result<Self> {
        let path = parent.join(name);
        if !force && path.symlink_metadata().is_ok() {
            return Err(Error::new(ErrorCode::Usage, format!("{} exists", path.display()))
                .hint("pass --force to overwrite what is there"));
        }
        let holders = create_all(parent)?;
        let mut target = Self { holders, ..Self::open_existing(parent, true)? };
        let open = || rustix::fs::openat(&target.root, name, DIRECTORY, Mode::empty());
        let (home, is_new) = match open() {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => (make_marked(&target.root, &path, name)?, true),
            // One that nobody may look into, but whose permissions may be changed.
            Err(Errno::ACCESS) => {
                let opened = create(&target.root, name, true).and_then(|()| open());
                (opened.io_context(|| format!("cannot open {}", path.display()))?, false)
            }
            opened => (opened.io_context(|| format!("cannot open {}", path.display()))?, false),
        };
        (target.home, target.is_inside) = (Arc::new(home), true);
        if is_new {
            target.holders.push(parent.to_owned());
        }
        target.home_path = path;
        target.temporary = Some(working_name()?);
        target.unfinished = target.read_mark()?;
        Ok(target)
    }

    /// Opens a target that is only looked at, or, if it is `passed`, only leads to what is restored: whoever may not list it may
    /// do that.
    pub(super) fn open_existing(path: &Path, passed: bool) -> Result<Self> {
        let flags = if passed { OFlags::PATH } else { OFlags::RDONLY } | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .io_context(|| format!("cannot open {}", path.display()))?;
        let root = Arc::new(root);
        Ok(Self {
            path: path.to_owned(),
            home_path: path.to_owned(),
            home: root.clone(),
            root,
            is_inside: false,
            temporary: None,
            holders: Vec::new(),
            unfinished: None,
        })
    }

    /// Reads the mark of a restore that did not end; `None` if there is none.
    fn read_mark(&self) -> Result<Option<String>> {
        let read = || -> std::io::Result<_> {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            match rustix::fs::openat(&self.home, MARKER, flags, Mode::empty()) {
                Ok(marker) => {
                    let mut text = String::new();
                    std::fs::File::from(marker).take(MARKER_LIMIT).read_to_string(&mut text)?;
                    Ok(Some(text))
                }
                Err(Errno::NOENT) => Ok(None),
                Err(error) => Err(error.into()),
            }
        };
        read().io_context(|| format!("cannot read {MARKER} in {}", self.home_path.display()))
    }

    /// Marks the target as incomplete; returns whom files made here belong to.
    pub(super) fn mark(&self) -> Result<(u32, u32)> {
        let mark = || -> std::io::Result<_> {
            let marker = match open_mark(&self.home) {
                // Its permissions are restored with all else.
                Err(Errno::ACCESS) if self.is_inside => {
                    let mode = rustix::fs::fstat(&self.home)?.st_mode;
                    rustix::fs::fchmod(&self.home, Mode::from_raw_mode(mode | 0o700))?;
                    open_mark(&self.home)?
                }
                opened => opened?,
            };
            let stat = rustix::fs::fstat(&marker)?;
            let mut marker = std::fs::File::from(marker);
            if self.unfinished.is_none() {
                marker.write_all(MARKER_TEXT.as_bytes())?;
            }
            if let Some(temporary) = &self.temporary {
                marker.write_all(format!("{WORKING_NAMES}{temporary}\n").as_bytes())?;
            }
            marker.sync_all()?;
            rustix::fs::fsync(&self.home)?;
            Ok((stat.st_uid, stat.st_gid))
        };
        mark().map_err(|error| {
            Error::new(ErrorCode::RestoreFailed, format!("cannot write into {}", self.home_path.display()))
                .caused_by(error)
                .hint("restore as a user who may, or into a directory (--target DIR)")
        })
    }

    /// Says whether a restore into this target did not end.
    pub(super) fn is_unfinished(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Returns how the working names begin that restores which did not end may have left.
    pub(super) fn abandoned(&self) -> Vec<&str> {
        let lines = self.unfinished.iter().flat_map(|text| text.lines());
        let names = lines.filter_map(|line| line.strip_prefix(WORKING_NAMES));
        // The mark can be written by anybody: only what can be a working name is removed.
        let random = |name: &&str| {
            let random = name.strip_prefix(WORKING).and_then(|rest| rest.strip_suffix('-'));
            random.is_some_and(|random| random.len() == 16 && random.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        names.filter(random).collect()
    }

    /// Returns its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory that is marked.
    pub(super) fn home(&self) -> &OwnedFd {
        &self.home
    }

    /// Returns its descriptor, for one more owner.
    pub(super) fn shared_root(&self) -> Arc<OwnedFd> {
        self.root.clone()
    }

    /// Returns its descriptor.
    pub(super) fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Says whether names may exist already.
    pub(super) fn replaces(&self) -> bool {
        self.temporary.is_some()
    }

    /// Returns the name that an entry is written under until it is complete.
    pub(super) fn working_name<'a>(&self, kind: char, number: usize, name: &'a OsStr) -> std::borrow::Cow<'a, OsStr> {
        match &self.temporary {
            None => name.into(),
            Some(temporary) => OsString::from(format!("{temporary}{kind}{number}")).into(),
        }
    }

    /// Puts what was written under a working name in its place, and replaces what is there. A directory that is there goes
    /// with all that it holds.
    pub(super) fn put_in_place(&self, dir: &OwnedFd, working: &OsStr, name: &OsStr) -> Result<(), Errno> {
        if self.temporary.is_none() {
            return Ok(());
        }
        match rustix::fs::renameat(dir, working, dir, name) {
            Err(Errno::ISDIR) => {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(dir, working, dir, name, exchange)?;
                remove_all(dir, working)
            }
            renamed => renamed,
        }
    }

    /// Writes everything on the file system of a directory to the medium, unless it is among those that are `done`.
    pub(super) fn sync_file_system(&self, dir: &OwnedFd, done: &mut HashSet<u64>) -> Result<()> {
        let device = rustix::fs::fstat(dir).io_context(|| self.cannot_sync())?.st_dev;
        if done.insert(device) { rustix::fs::syncfs(dir).io_context(|| self.cannot_sync()) } else { Ok(()) }
    }

    /// Writes the names of the target itself to the medium.
    pub(super) fn sync_names(&self) -> Result<()> {
        rustix::fs::fsync(&self.home).io_context(|| self.cannot_sync())?;
        for holder in &self.holders {
            let synced = std::fs::File::open(holder).and_then(|holder| holder.sync_all());
            synced.io_context(|| self.cannot_sync())?;
        }
        Ok(())
    }

    fn cannot_sync(&self) -> String {
        format!("cannot write everything to the medium of {}", self.home_path.display())
    }

    /// Removes the mark. A directory that is restored itself keeps the time and the permissions that it has got by then.
    pub(super) fn complete(&self) -> Result<()> {
        let complete = || -> Result<(), Errno> {
            let remove = || rustix::fs::unlinkat(&self.home, MARKER, AtFlags::empty());
            if !self.is_inside {
                remove()?;
                return rustix::fs::fsync(&self.home);
            }
            let stat = rustix::fs::fstat(&self.home)?;
            match remove() {
                Err(Errno::ACCESS) => {
                    rustix::fs::fchmod(&self.home, Mode::from_raw_mode(stat.st_mode | 0o700))?;
                    let removed = remove();
                    rustix::fs::fchmod(&self.home, Mode::from_raw_mode(stat.st_mode))?;
                    removed?;
                }
                removed => removed?,
            }
            match rustix::fs::futimens(&self.home, &metadata::times_of(&stat)) {
                // That of a directory of somebody else was not set before, either.
                Ok(()) | Err(Errno::PERM) => rustix::fs::fsync(&self.home),
                Err(error) => Err(error),
            }
        };
        complete().io_context(|| format!("cannot complete the restore into {}", self.home_path.display()))
    }
}

/// Makes a directory and what leads to it; returns the directories that got a new name in them.
fn create_all(path: &Path) -> Result<Vec<PathBuf>> {
    let made = path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
    let holder = |made: &Path| match made.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let holders = made.map(holder).collect();
    std::fs::create_dir_all(path).io_context(|| format!("cannot create {}", path.display()))?;
    Ok(holders)
}

/// Makes a directory, which is marked before it has its name. What is there and is no directory makes way for it.
fn make_marked(parent: &OwnedFd, path: &Path, name: &OsStr) -> Result<OwnedFd> {
    let working = OsString::from(working_name()?);
    let make = || -> std::io::Result<_> {
        rustix::fs::mkdirat(parent, &working, Mode::from_raw_mode(0o700))?;
        let made = rustix::fs::openat(parent, &working, DIRECTORY, Mode::empty())?;
        let mut marker = std::fs::File::from(open_mark(&made)?);
        marker.write_all(MARKER_TEXT.as_bytes())?;
        marker.sync_all()?;
        rustix::fs::fsync(&made)?;
        match rustix::fs::renameat(parent, &working, parent, name) {
            Err(Errno::NOTDIR) => {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(parent, &working, parent, name, exchange)?;
                remove_all(parent, &working)?;
            }
            renamed => renamed?,
        }
        Ok(made)
    };
    let made = make();
    if made.is_err() {
        // The first error is the one to tell.
        let _ = remove_all(parent, &working);
    }
    made.io_context(|| format!("cannot create {}", path.display()))
}

fn open_mark(home: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::APPEND;
    rustix::fs::openat(home, MARKER, flags, Mode::from_raw_mode(0o600))
}

/// Returns how the names begin that files have until they are complete.
fn working_name() -> Result<String> {
    Ok(format!("{WORKING}{}-", random()?))
}

fn random() -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorCode::Internal, "no random numbers are to be had").caused_by(error))?;
    Ok(hex::encode(bytes))
}
