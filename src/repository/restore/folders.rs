//! The directories of a plan in the target: everything is reached from its descriptor, one name at a time, so that no symbolic
//! link is followed and no path is too long.

use super::differences::Aspects;
use super::look::Look;
use super::plan::{Dir, Entry, Plan};
use super::target::Target;
use crate::error::{Error, ErrorCode, Result};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::sync::Arc;

/// How many directories a thread keeps open.
const OPEN: usize = 64;
/// How a directory is opened that may be listed.
pub(super) const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

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
        self.open(dir)?.map_err(|(entry, error)| failed("open", self.plan, entry, error))
    }

    /// Returns a directory of the plan, unless it, or one on the way to it, does not exist or is something else.
    pub(super) fn find(&mut self, dir: Option<u32>) -> Result<Option<Arc<OwnedFd>>> {
        match self.open(dir)? {
            Ok(fd) => Ok(Some(fd)),
            // What is in a directory that cannot be read cannot be said to be right.
            Err((_, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS)) => Ok(None),
            Err((entry, error)) => Err(failed("open", self.plan, entry, error)),
        }
    }

    fn open(&mut self, dir: Option<u32>) -> Result<std::result::Result<Arc<OwnedFd>, (&'a Entry, Errno)>> {
        // The nearest one that is open, and the way from there.
        let mut way = Vec::new();
        let mut at = dir;
        let mut fd = loop {
            let Some(number) = at else { break self.target.shared_root() };
            if let Some(open) = self.open.get(&number) {
                break open.clone();
            }
            let dir = self.plan.dirs.get(number as usize);
            let dir = dir.ok_or_else(|| Error::new(ErrorCode::Internal, "a directory is not in its plan"))?;
            let entry = &dir.entry;
            way.push((number, entry));
            at = entry.dir;
        };
        for (number, entry) in way.into_iter().rev() {
            fd = match rustix::fs::openat(&fd, &entry.name, DIRECTORY, Mode::empty()) {
                Ok(opened) => Arc::new(opened),
                Err(error) => return Ok(Err((entry, error))),
            };
            self.open.insert(number, fd.clone());
            self.order.push_back(number);
        }
        while self.order.len() > OPEN {
            if let Some(oldest) = self.order.pop_front() {
                self.open.remove(&oldest);
            }
        }
        Ok(Ok(fd))
    }

    /// Makes the directories of the plan that are not there, for their owner alone until they are complete.
    pub(super) fn create_missing(&mut self, look: &Look) -> Result<()> {
        for (Dir { entry, .. }, aspects) in self.plan.dirs.iter().zip(&look.dirs) {
            if aspects.has(Aspects::REPLACE) {
                let parent = self.get(entry.dir)?;
                create(&parent, &entry.name, self.target.replaces())
                    .map_err(|error| failed("create", self.plan, entry, error))?;
            }
        }
        Ok(())
    }
}

/// Makes a directory; with `replace` one may exist, and anything else makes way for it.
pub(super) fn create(parent: &OwnedFd, name: &OsStr, replace: bool) -> Result<(), Errno> {
    let mode = Mode::from_raw_mode(0o700);
    match rustix::fs::mkdirat(parent, name, mode) {
        Err(Errno::EXIST) if replace => match rustix::fs::openat(parent, name, DIRECTORY, Mode::empty()) {
            Ok(_) => Ok(()),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
                rustix::fs::mkdirat(parent, name, mode)
            }
            // One that nobody may look into, but whose permissions may be changed.
            Err(Errno::ACCESS) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let dir = rustix::fs::openat(parent, name, flags, Mode::empty())?;
                rustix::fs::chmod(format!("/proc/self/fd/{}", dir.as_raw_fd()), mode)
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
