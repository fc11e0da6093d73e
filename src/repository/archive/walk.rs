//! Listing a directory, and archiving what needs no reading.

use super::super::exclude::DirMatcher;
use super::super::id::Id;
use super::super::index::Index;
use super::super::pack::BlobType;
use super::super::tree::{Node, NodeType};
use super::directory::{Directory, Entry};
use super::file::{Batch, PlannedFile, batches};
use super::metadata;
use super::outcome::IssueKind;
use super::schedule::{Job, Worker};
use crate::error::Result;
use rustix::fs::{CWD, OFlags, RawDir, Stat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes of directory entries that are read at once.
const LISTING_BUFFER: usize = 32 << 10;

/// An entry of a directory, as the system describes it.
pub(super) struct Found<'d> {
    pub directory: &'d Arc<Directory>,
    pub fd: BorrowedFd<'d>,
    /// Its place in the directory.
    pub place: usize,
    pub name: OsString,
    pub stat: Stat,
    /// The parent snapshot's node of that name.
    pub before: Option<Node>,
}

/// Work that listing a directory brings.
#[derive(Default)]
pub(super) struct Plan {
    files: Vec<PlannedFile>,
    jobs: Vec<Job>,
}

impl Plan {
    /// Returns the jobs; those for files of `directory` come last, so that they are taken first, while it is open.
    pub fn into_jobs(mut self, directory: &Arc<Directory>) -> Vec<Job> {
        for files in batches(self.files) {
            self.jobs.push(Job::Files(Batch { directory: Arc::clone(directory), files }));
        }
        self.jobs
    }
}

impl Worker<'_, '_> {
    /// Lists a directory, delivers what is unchanged or has no content, and plans jobs for the rest.
    pub fn scan(&mut self, directory: &Arc<Directory>) -> Result<()> {
        let names = match open_listed(directory) {
            Ok(names) => names,
            Err(error) => return self.give_up(directory, error),
        };
        // `open_listed` set it.
        let Some(fd) = directory.fd.get() else { return self.give_up(directory, Errno::BADF) };
        let previous = self.read_tree(directory.previous())?;
        directory.expect(names.len(), previous.len());
        let mut previous = previous.into_iter().peekable();
        let mut plan = Plan::default();
        for (place, name) in names.into_iter().enumerate() {
            self.schedule.cancel.check()?;
            let before = matching(&mut previous, &name);
            match metadata::stat(fd.as_fd(), &name) {
                Ok(stat) => self.visit(Found { directory, fd: fd.as_fd(), place, name, stat, before }, &mut plan)?,
                Err(error) => {
                    self.note(directory.path.join(&name), &error.into());
                    self.deliver(directory, place, Entry::Absent)?;
                }
            }
        }
        self.schedule.push(plan.into_jobs(directory));
        self.release(directory)
    }

    /// Archives one entry, unless it is left out.
    fn visit(&mut self, found: Found<'_>, plan: &mut Plan) -> Result<()> {
        let path = found.directory.path.join(&found.name);
        let kind = metadata::node_type(&found.stat);
        let size = match kind {
            Some(NodeType::File) => u64::try_from(found.stat.st_size).unwrap_or(0),
            _ => 0,
        };
        let matcher = &found.directory.matcher;
        if matcher.is_excluded(&path, kind == Some(NodeType::Dir), size) {
            return self.deliver(found.directory, found.place, Entry::Absent);
        }
        self.admit(found, path, DirMatcher::enter, plan)
    }

    /// Archives one entry as far as that needs no reading of content; `enter` makes the matcher of a directory from
    /// that of its parent and its path.
    pub fn admit(
        &mut self,
        found: Found<'_>,
        path: PathBuf,
        enter: impl FnOnce(&DirMatcher, &Path) -> DirMatcher,
        plan: &mut Plan,
    ) -> Result<()> {
        let Found { directory, fd, place, name, stat, before } = found;
        let Some(kind) = metadata::node_type(&stat) else {
            self.schedule.tally.issue(path, IssueKind::Unreadable, "is of a type that cannot be stored".to_owned());
            return self.deliver(directory, place, Entry::Absent);
        };
        // A directory that changed has most of its entries as before.
        let previous = before.as_ref().and_then(|node| node.subtree);
        let before = before.filter(|before| metadata::is_unchanged(&stat, before));
        match kind {
            // As restic: a socket is nothing without the process that listens on it.
            NodeType::Socket => self.deliver(directory, place, Entry::Absent),
            NodeType::File => match before.filter(|before| self.has_content(before)) {
                Some(node) => self.keep_file(directory, place, node),
                None => {
                    let size = u64::try_from(stat.st_size).unwrap_or(0);
                    plan.files.push(PlannedFile { place, name, size });
                    Ok(())
                }
            },
            NodeType::Dir => {
                let Some(node) = self.node_of(&name, kind, &stat, fd, before, &path) else {
                    return self.deliver(directory, place, Entry::Absent);
                };
                let matcher = enter(&directory.matcher, &path);
                let parent = Some((Arc::clone(directory), place));
                plan.jobs.push(Job::Scan(Directory::new(path, matcher, parent, Some(node), self.known(previous))));
                self.schedule.tally.dirs.fetch_add(1, Relaxed);
                self.count_item();
                Ok(())
            }
            _ => {
                let unchanged = before.is_some();
                let Some(node) = self.node_of(&name, kind, &stat, fd, before, &path) else {
                    return self.deliver(directory, place, Entry::Absent);
                };
                self.count_item();
                let entry = if unchanged { Entry::Unchanged(node) } else { Entry::Changed(node) };
                self.deliver(directory, place, entry)
            }
        }
    }

    /// Passes a tree on that is in the repository; one that is not is stored again.
    pub fn known(&self, tree: Option<Id>) -> Option<Id> {
        tree.filter(|tree| self.schedule.indexed().contains(BlobType::Tree, tree))
    }

    /// Delivers a file that the parent snapshot has already.
    fn keep_file(&mut self, directory: &Arc<Directory>, place: usize, node: Node) -> Result<()> {
        let tally = &self.schedule.tally;
        tally.files.fetch_add(1, Relaxed);
        tally.files_unmodified.fetch_add(1, Relaxed);
        tally.bytes.fetch_add(node.size, Relaxed);
        self.schedule.progress.add_bytes(node.size);
        self.count_item();
        self.deliver(directory, place, Entry::Unchanged(node))
    }

    /// Returns the node of anything but a file: the parent snapshot's if nothing changed; `None` if it cannot be read.
    fn node_of(
        &self,
        name: &OsStr,
        kind: NodeType,
        stat: &Stat,
        fd: BorrowedFd<'_>,
        before: Option<Node>,
        path: &Path,
    ) -> Option<Node> {
        let read = || -> rustix::io::Result<Node> {
            let mut node = metadata::node(name, kind, stat);
            if kind == NodeType::Symlink {
                node.set_link_target(metadata::read_link(fd, name)?);
            }
            node.extended_attributes = metadata::attributes_at(fd, name, path)?;
            Ok(node)
        };
        match before.map_or_else(read, Ok) {
            Ok(node) => Some(node),
            Err(error) => {
                self.note(path.to_owned(), &error.into());
                None
            }
        }
    }

    /// Says whether every blob of a file of the parent snapshot is still in the repository, all of its size.
    fn has_content(&self, node: &Node) -> bool {
        let Some(content) = &node.content else { return false };
        let length = |index: &Index, id| Some(index.find(BlobType::Data, id)?.1.plain_length() as u64);
        let known: Option<u64> =
            self.schedule.indexed().with_index(|index| content.iter().map(|id| length(index, id)).sum());
        known == Some(node.size)
    }

    /// Notes an entry that the system does not let us have.
    pub fn note(&self, path: PathBuf, error: &std::io::Error) {
        let vanished = error.kind() == std::io::ErrorKind::NotFound;
        let kind = if vanished { IssueKind::Vanished } else { IssueKind::Unreadable };
        self.schedule.tally.issue(path, kind, error.to_string());
    }

    pub fn count_item(&self) {
        self.schedule.tally.items.fetch_add(1, Relaxed);
        self.schedule.progress.add_items(1);
    }

    /// Notes a directory that cannot be listed, and stores it as an empty one.
    fn give_up(&mut self, directory: &Arc<Directory>, error: Errno) -> Result<()> {
        self.note(directory.path.clone(), &error.into());
        directory.expect(0, 0);
        self.release(directory)
    }
}

/// Opens a directory below its open parent and returns the sorted names of its entries.
fn open_listed(directory: &Directory) -> rustix::io::Result<Vec<OsString>> {
    let parent = directory.parent().and_then(|parent| parent.fd.get());
    let fd = match (parent, directory.path.file_name()) {
        (Some(parent), Some(name)) => metadata::open(parent.as_fd(), name, OFlags::DIRECTORY)?,
        _ => metadata::open(CWD, directory.path.as_os_str(), OFlags::DIRECTORY)?,
    };
    let mut buffer = [MaybeUninit::uninit(); LISTING_BUFFER];
    let mut names = Vec::new();
    let mut listing = RawDir::new(&fd, &mut buffer);
    while let Some(entry) = listing.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    names.sort_unstable();
    let _ = directory.fd.set(fd);
    Ok(names)
}

/// Takes the node of that name out of the sorted nodes of the parent snapshot.
fn matching(previous: &mut std::iter::Peekable<std::vec::IntoIter<Node>>, name: &OsStr) -> Option<Node> {
    while previous.next_if(|node| node.name.as_bytes() < name.as_bytes()).is_some() {}
    previous.next_if(|node| node.name == name)
}
