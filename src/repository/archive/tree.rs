//! Archiving files and directories.

use super::super::exclude::{DirMatcher, Matcher};
use super::super::id::Id;
use super::super::tree::{Node, NodeType, Tree};
use super::directory::Directory;
use super::metadata;
use super::outcome::{Archived, IssueKind};
use super::roots::{Way, lay_out};
use super::schedule::{Schedule, Worker};
use super::walk::{Found, Plan};
use super::writer::PackWriter;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::exclude::Exclude;
use crate::model::progress::Progress;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// How many files this process wants to be allowed to open. Not all that there are: programs that it starts inherit the
/// limit, and some close every number up to it.
const OPEN_FILES: u64 = 1 << 16;

/// Files and directories to archive.
#[derive(Debug, Clone, Default)]
pub struct TreeRequest {
    /// Absolute paths without `..`; each is stored under its full path.
    pub roots: Vec<PathBuf>,
    /// What to leave out.
    pub exclude: Exclude,
    /// The root of the tree of the parent snapshot: files that are unchanged since then are not read.
    pub parent: Option<Id>,
}

/// Archives files and directories; what cannot be read is in the outcome, for the caller to judge.
///
/// # Errors
/// `usage` if a root is not such a path, `not-found` if it does not exist, `damaged` if the parent's trees are, a
/// failure of the store, a cancellation.
pub fn archive_tree(
    writer: &PackWriter,
    request: &TreeRequest,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Archived> {
    if request.roots.is_empty() {
        return Err(Error::new(ErrorCode::Usage, "no path to capture"));
    }
    let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    if let Some(odd) = request.roots.iter().find(|root| !root.is_absolute() || !root.components().all(is_plain)) {
        return Err(Error::new(ErrorCode::Usage, format!("{} is not a plain absolute path", odd.display())));
    }
    raise_limit_of_open_files();
    let matcher = Matcher::new(&request.exclude, &request.roots)?;
    let way = lay_out(&request.roots);
    let schedule = Schedule::new(writer, progress, cancel);
    let (root, tally) = schedule.run(super::workers(), |worker| {
        let previous = worker.known(request.parent);
        if way.is_target {
            // The root of the file system itself.
            let matcher = matcher.root(&way.path).clone();
            return worker.scan(&Directory::new(way.path.clone(), matcher, None, None, previous));
        }
        let root = Directory::new(way.path.clone(), DirMatcher::default(), None, None, previous);
        let fd = open_way(CWD, way.path.as_os_str()).map_err(|error| cannot_read(&way.path, error))?;
        worker.follow(&way, &root, fd, &matcher)
    })?;
    tally.into_archived(root)
}

impl Worker<'_, '_> {
    /// Archives what lies on the ways below one directory, which is itself only on the way.
    fn follow(&mut self, way: &Way, directory: &Arc<Directory>, fd: OwnedFd, matcher: &Matcher) -> Result<()> {
        let fd = directory.fd.get_or_init(|| fd).as_fd();
        let previous = Tree { nodes: self.read_tree(directory.previous())? };
        directory.expect(way.children.len(), previous.nodes.len());
        let mut plan = Plan::default();
        for (place, (name, child)) in way.children.iter().enumerate() {
            let before = previous.find(name).cloned();
            let cannot_read = |error| cannot_read(&child.path, error);
            if child.is_target {
                let stat = metadata::stat(fd, name).map_err(cannot_read)?;
                if metadata::node_type(&stat) == Some(NodeType::Socket) {
                    let message = "is a socket, of which there is nothing to store".to_owned();
                    self.schedule.tally.issue(child.path.clone(), IssueKind::Unreadable, message);
                }
                let found = Found { directory, fd, place, name: name.clone(), stat, before };
                let enter = |_: &DirMatcher, path: &Path| matcher.root(path).clone();
                self.admit(found, child.path.clone(), enter, &mut plan)?;
                continue;
            }
            let opened = open_way(fd, name).map_err(cannot_read)?;
            let stat = rustix::fs::fstat(&opened).map_err(cannot_read)?;
            let subtree = self.known(before.as_ref().and_then(|node| node.subtree));
            let before = before.filter(|before| metadata::is_unchanged(&stat, before));
            let node = match before {
                Some(node) => node,
                None => {
                    let extended_attributes = metadata::attributes_at(fd, name, &child.path).map_err(cannot_read)?;
                    Node { extended_attributes, ..metadata::node(name, NodeType::Dir, &stat) }
                }
            };
            let parent = Some((Arc::clone(directory), place));
            let below = Directory::new(child.path.clone(), DirMatcher::default(), parent, Some(node), subtree);
            self.follow(child, &below, opened, matcher)?;
        }
        self.schedule.push(plan.into_jobs(directory));
        self.release(directory)
    }
}

/// Opens a directory on the way to a root; that it cannot be listed, or is reached by a link, does not matter.
fn open_way(directory: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(directory, name, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

fn cannot_read(path: &Path, error: Errno) -> Error {
    let code =
        if matches!(error, Errno::NOENT | Errno::NOTDIR) { ErrorCode::NotFound } else { ErrorCode::CaptureFailed };
    Error::new(code, format!("cannot read {}", path.display())).caused_by(std::io::Error::from(error))
}

/// Lets this process open as many files as it may: every directory between a root and what is read stays open.
fn raise_limit_of_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(OPEN_FILES);
    if limit.current.is_some_and(|current| current < most) {
        // Where it cannot be raised, a tree that is too deep is reported as not readable.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit });
    }
}
