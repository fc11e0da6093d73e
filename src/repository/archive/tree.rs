//! Archiving files and directories.

use super::super::exclude::{DirMatcher, Matcher};
use super::super::id::Id;
use super::super::pack::BlobType;
use super::super::tree::{NodeType, Tree};
use super::directory::Directory;
use super::metadata;
use super::outcome::Archived;
use super::roots::{Way, lay_out};
use super::schedule::{Schedule, Worker};
use super::walk::{Found, Plan, with_attributes};
use super::writer::PackWriter;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::model::exclude::Exclude;
use crate::model::progress::Progress;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files and directories to archive.
#[derive(Debug, Clone, Default)]
pub struct TreeRequest {
    /// Absolute paths without `.` or `..`; each is stored under its full path.
    pub roots: Vec<PathBuf>,
    /// What to leave out.
    pub exclude: Exclude,
    /// The root of the tree of the parent snapshot: files that are unchanged since then are not read.
    pub parent: Option<Id>,
}

/// Archives files and directories; what cannot be read is in the outcome, for the caller to judge.
///
/// # Errors
/// `not-found` if a root does not exist, `damaged` if the parent's trees are, a failure of the store, a cancellation.
pub fn archive_tree(
    writer: &PackWriter,
    request: &TreeRequest,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Archived> {
    if request.roots.is_empty() {
        return Err(Error::new(ErrorCode::Usage, "no path to capture"));
    }
    let matcher = Matcher::new(&request.exclude, &request.roots)?;
    let way = lay_out(&request.roots);
    let previous = request.parent;
    let schedule = Schedule::new(writer, progress, cancel);
    let (root, tally) = schedule.run(super::workers(), |worker| {
        if way.is_target {
            // The root of the file system itself.
            let matcher = matcher.root(&way.path).clone();
            return worker.scan(&Directory::new(way.path.clone(), matcher, None, None, previous));
        }
        let root = Directory::new(way.path.clone(), DirMatcher::default(), None, None, previous);
        worker.follow(&way, &root, &matcher)
    })?;
    tally.into_archived(root)
}

impl Worker<'_, '_> {
    /// Archives what lies on the ways below one directory, which is itself only on the way.
    fn follow(&mut self, way: &Way, directory: &Arc<Directory>, matcher: &Matcher) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&way.path, flags, Mode::empty())
            .io_context(|| format!("cannot open {}", way.path.display()))?;
        let fd = directory.fd.get_or_init(|| fd).as_fd();
        let previous = match directory.previous() {
            Some(id) => self.schedule.indexed().read_tree(&id)?,
            None => Tree::default(),
        };
        directory.expect(way.children.len(), previous.nodes.len());
        let mut plan = Plan::default();
        for (place, (name, child)) in way.children.iter().enumerate() {
            let before = previous.find(name).cloned();
            let cannot_read = |error: Errno| {
                Error::new(ErrorCode::NotFound, format!("cannot read {}", child.path.display()))
                    .caused_by(std::io::Error::from(error))
            };
            let stat = metadata::stat(fd, name).map_err(cannot_read)?;
            if child.is_target {
                let found = Found { directory, fd, place, name: name.clone(), stat, before };
                let enter = |_: &DirMatcher, path: &Path| matcher.root(path).clone();
                self.admit(found, child.path.clone(), enter, &mut plan)?;
                continue;
            }
            let before = before.filter(|before| metadata::is_unchanged(&stat, before));
            let subtree = before.as_ref().and_then(|node| node.subtree);
            let subtree = subtree.filter(|tree| self.schedule.indexed().contains(BlobType::Tree, tree));
            let node = match before {
                Some(node) => node,
                None => with_attributes(metadata::node(name, NodeType::Dir, &stat), fd).map_err(cannot_read)?,
            };
            let parent = Some((Arc::clone(directory), place));
            let below = Directory::new(child.path.clone(), DirMatcher::default(), parent, Some(node), subtree);
            self.follow(child, &below, matcher)?;
        }
        self.schedule.push(plan.into_jobs(directory));
        self.release(directory)
    }
}
