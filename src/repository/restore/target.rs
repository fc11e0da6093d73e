//! The directory that is restored into: everything is reached from its descriptor, one name at a time, so that no
//! symbolic link is followed and no path is too long.

use super::plan::{Entry, Plan};
use crate::error::{Error, ErrorCode, IoContext, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// The file in the target that says that a restore is not complete: written first, removed last.
pub const MARKER: &str = ".holdpoint-restore-incomplete";
const MARKER_TEXT: &str =
    "A restore into this directory has not ended, or was interrupted: what is here is not complete.\n";
/// How many directories a thread keeps open.
const OPEN: usize = 64;
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The target of a restore, marked as incomplete.
#[derive(Debug)]
pub(super) struct Target {
    root: Arc<OwnedFd>,
    /// What existing names are replaced through; `None` where there is nothing to replace.
    temporary: Option<String>,
    /// Whom files made here belong to.
    pub(super) owner: (u32, u32),
}

impl Target {
    /// Opens the target, makes it if needed, and marks it as incomplete.
    pub(super) fn open(path: &Path, force: bool) -> Result<Self> {
        std::fs::create_dir_all(path).io_context(|| format!("cannot create {}", path.display()))?;
        let mut entries = std::fs::read_dir(path).io_context(|| format!("cannot list {}", path.display()))?;
        let empty = entries.next().is_none();
        if !empty && !force {
            let message = format!("the target {} is not empty", path.display());
            return Err(Error::new(ErrorCode::Usage, message)
                .hint("name an empty directory, or pass --force to overwrite what has the same name"));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .io_context(|| format!("cannot open {}", path.display()))?;
        let mark = || -> std::io::Result<_> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let marker = rustix::fs::openat(&root, MARKER, flags, Mode::from_raw_mode(0o600))?;
            let stat = rustix::fs::fstat(&marker)?;
            let mut marker = std::fs::File::from(marker);
            marker.write_all(MARKER_TEXT.as_bytes())?;
            marker.sync_all()?;
            rustix::fs::fsync(&root)?;
            Ok((stat.st_uid, stat.st_gid))
        };
        let owner = mark().io_context(|| format!("cannot write into {}", path.display()))?;
        let temporary = if empty { None } else { Some(format!(".holdpoint-{}-", random()?)) };
        Ok(Self { root: Arc::new(root), temporary, owner })
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

    /// Puts what was written under a working name in its place, and replaces what is there.
    pub(super) fn put_in_place(&self, dir: &OwnedFd, working: &OsStr, name: &OsStr) -> Result<(), Errno> {
        if self.temporary.is_some() { rustix::fs::renameat(dir, working, dir, name) } else { Ok(()) }
    }

    /// Writes everything to the medium, then removes the mark.
    pub(super) fn complete(&self, path: &Path) -> Result<()> {
        let complete = || -> Result<(), Errno> {
            // One call for the whole file system costs less than one for each file.
            rustix::fs::syncfs(&self.root)?;
            rustix::fs::unlinkat(&self.root, MARKER, AtFlags::empty())?;
            rustix::fs::fsync(&self.root)
        };
        complete().io_context(|| format!("cannot complete the restore into {}", path.display()))
    }
}

fn random() -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorCode::Internal, "no random numbers are to be had").caused_by(error))?;
    Ok(hex::encode(bytes))
}

/// The directories of a plan, opened when needed; one set for each thread.
pub(super) struct Folders<'a> {
    plan: &'a Plan,
    target: &'a Target,
    open: HashMap<u32, Arc<OwnedFd>>,
    /// In the order in which they were opened.
    order: VecDeque<u32>,
}

impl<'a> Folders<'a> {
    pub(super) fn new(plan: &'a Plan, target: &'a Target) -> Self {
        Self { plan, target, open: HashMap::new(), order: VecDeque::new() }
    }

    /// Returns a directory of the plan; `None` stands for the target.
    pub(super) fn get(&mut self, dir: Option<u32>) -> Result<Arc<OwnedFd>> {
        // The nearest one that is open, and the way from there.
        let mut way = Vec::new();
        let mut at = dir;
        let mut fd = loop {
            let Some(number) = at else { break self.target.root.clone() };
            if let Some(open) = self.open.get(&number) {
                break open.clone();
            }
            let entry = self.plan.dirs.get(number as usize);
            let entry = entry.ok_or_else(|| Error::new(ErrorCode::Internal, "a directory is not in its plan"))?;
            way.push((number, entry));
            at = entry.dir;
        };
        for (number, entry) in way.into_iter().rev() {
            let opened = rustix::fs::openat(&fd, &entry.name, DIRECTORY, Mode::empty());
            fd = Arc::new(opened.map_err(|error| failed("open", self.plan, entry, error))?);
            self.open.insert(number, fd.clone());
            self.order.push_back(number);
        }
        while self.order.len() > OPEN {
            if let Some(oldest) = self.order.pop_front() {
                self.open.remove(&oldest);
            }
        }
        Ok(fd)
    }

    /// Makes the directories of the plan, for their owner alone until they are complete.
    pub(super) fn create_all(&mut self) -> Result<()> {
        for entry in &self.plan.dirs {
            let parent = self.get(entry.dir)?;
            create(&parent, &entry.name, self.target.replaces())
                .map_err(|error| failed("create", self.plan, entry, error))?;
        }
        Ok(())
    }
}

/// Makes a directory; with `replace` one may exist, and anything else makes way for it.
fn create(parent: &OwnedFd, name: &OsStr, replace: bool) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(0o700);
    match rustix::fs::mkdirat(parent, name, mode) {
        Err(Errno::EXIST) if replace => match rustix::fs::openat(parent, name, DIRECTORY, Mode::empty()) {
            Ok(_) => Ok(()),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
                rustix::fs::mkdirat(parent, name, mode)
            }
            Err(error) => Err(error),
        },
        made => made,
    }
}

pub(super) fn failed(verb: &str, plan: &Plan, entry: &Entry, error: impl Into<std::io::Error>) -> Error {
    let message = format!("cannot {verb} {} in the target", plan.path(entry.dir, &entry.name).display());
    Error::new(ErrorCode::RestoreFailed, message).caused_by(error.into())
}

/// Removes a name, if it is there.
pub(super) fn remove(dir: impl AsFd, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}
