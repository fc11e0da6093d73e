//! The directory that is restored into: everything is reached from its descriptor, one name at a time, so that no
//! symbolic link is followed and no path is too long.

use super::differences::Aspects;
use super::look::Look;
use super::plan::{Dir, Entry, Plan};
use super::remove::remove_all;
use crate::error::{Error, ErrorCode, IoContext, Result};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file in the target that says that a restore is not complete: written first, removed last.
pub const MARKER: &str = ".holdpoint-restore-incomplete";
const MARKER_TEXT: &str =
    "A restore into this directory has not ended, or was interrupted: what is here is not complete.\n";
/// The most that is read of a marker.
const MARKER_LIMIT: u64 = 64 << 10;
/// What the marker says of the names that files are written under: an interrupted restore leaves some.
const WORKING_NAMES: &str = "Files are written under names that begin with ";
/// How these names begin.
const WORKING: &str = ".holdpoint-";
/// How many directories a thread keeps open.
const OPEN: usize = 64;
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The target of a restore.
#[derive(Debug)]
pub(super) struct Target {
    path: PathBuf,
    root: Arc<OwnedFd>,
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
        let made = path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        let holder = |made: &Path| match made.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let holders = made.map(holder).collect();
        std::fs::create_dir_all(path).io_context(|| format!("cannot create {}", path.display()))?;
        let mut entries = std::fs::read_dir(path).io_context(|| format!("cannot list {}", path.display()))?;
        let empty = entries.next().is_none();
        if !empty && !force {
            let message = format!("the target {} is not empty", path.display());
            return Err(Error::new(ErrorCode::Usage, message)
                .hint("name an empty directory, or pass --force to overwrite what has the same name"));
        }
        let mut target = Self { holders, ..Self::open_existing(path)? };
        if !empty {
            target.temporary = Some(format!("{WORKING}{}-", random()?));
            let unfinished = || -> std::io::Result<_> {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                match rustix::fs::openat(&target.root, MARKER, flags, Mode::empty()) {
                    Ok(marker) => {
                        let mut text = String::new();
                        std::fs::File::from(marker).take(MARKER_LIMIT).read_to_string(&mut text)?;
                        Ok(Some(text))
                    }
                    Err(Errno::NOENT) => Ok(None),
                    Err(error) => Err(error.into()),
                }
            };
            target.unfinished = unfinished().io_context(|| format!("cannot read {MARKER} in {}", path.display()))?;
        }
        Ok(target)
    }

    /// Opens a target that is only looked at.
    pub(super) fn open_existing(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .io_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { path: path.to_owned(), root: Arc::new(root), temporary: None, holders: Vec::new(), unfinished: None })
    }

    /// Marks the target as incomplete; returns whom files made here belong to.
    pub(super) fn mark(&self) -> Result<(u32, u32)> {
        let mark = || -> std::io::Result<_> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::APPEND;
            let marker = rustix::fs::openat(&self.root, MARKER, flags, Mode::from_raw_mode(0o600))?;
            let stat = rustix::fs::fstat(&marker)?;
            let mut marker = std::fs::File::from(marker);
            if self.unfinished.is_none() {
                marker.write_all(MARKER_TEXT.as_bytes())?;
            }
            if let Some(temporary) = &self.temporary {
                marker.write_all(format!("{WORKING_NAMES}{temporary}\n").as_bytes())?;
            }
            marker.sync_all()?;
            rustix::fs::fsync(&self.root)?;
            Ok((stat.st_uid, stat.st_gid))
        };
        mark().io_context(|| format!("cannot write into {}", self.path.display()))
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

    /// Writes everything on its file system to the medium.
    pub(super) fn sync_all(&self) -> Result<()> {
        rustix::fs::syncfs(&self.root).io_context(|| self.cannot_sync())
    }

    /// Writes the names of the target itself to the medium.
    pub(super) fn sync_names(&self) -> Result<()> {
        rustix::fs::fsync(&self.root).io_context(|| self.cannot_sync())?;
        for holder in &self.holders {
            let synced = std::fs::File::open(holder).and_then(|holder| holder.sync_all());
            synced.io_context(|| self.cannot_sync())?;
        }
        Ok(())
    }

    fn cannot_sync(&self) -> String {
        format!("cannot write everything to the medium of {}", self.path.display())
    }

    /// Removes the mark.
    pub(super) fn complete(&self) -> Result<()> {
        let complete = || -> Result<(), Errno> {
            rustix::fs::unlinkat(&self.root, MARKER, AtFlags::empty())?;
            rustix::fs::fsync(&self.root)
        };
        complete().io_context(|| format!("cannot complete the restore into {}", self.path.display()))
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
            let Some(number) = at else { break self.target.root.clone() };
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
fn create(parent: &OwnedFd, name: &OsStr, replace: bool) -> Result<(), Errno> {
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
