//! A directory on its way into a tree: it waits for its entries, then hands its own node to its parent.

use super::super::exclude::DirMatcher;
use super::super::id::Id;
use super::super::pack::BlobType;
use super::super::tree::{Node, Tree};
use super::schedule::Worker;
use crate::error::Result;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Release};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A directory whose entries are being archived.
pub(super) struct Directory {
    /// The full path, for messages and exclusion.
    pub path: PathBuf,
    /// Open while its entries are read.
    pub fd: OnceLock<OwnedFd>,
    /// What its subdirectories and files are matched against.
    pub matcher: DirMatcher,
    /// The directory that waits for this one, and its place there; `None` for the root of the tree.
    parent: Option<(Arc<Directory>, usize)>,
    /// Its tree in the parent snapshot.
    previous: Option<Id>,
    /// Its own node, without the tree; `None` for the root.
    node: Mutex<Option<Node>>,
    entries: Mutex<Entries>,
    /// Entries that are not archived yet.
    pending: AtomicUsize,
}

#[derive(Default)]
struct Entries {
    nodes: Vec<Option<Node>>,
    /// Entries that are exactly what the parent snapshot has.
    unchanged: usize,
    /// Entries that are not.
    changed: usize,
    /// How many entries the parent snapshot has.
    before: usize,
}

/// What became of one entry of a directory.
pub(super) enum Entry {
    /// The node is exactly the parent snapshot's.
    Unchanged(Node),
    /// The node differs from the parent snapshot's, or is new.
    Changed(Node),
    /// The entry is not stored: left out, vanished, or not readable.
    Absent,
}

impl Directory {
    pub fn new(
        path: PathBuf,
        matcher: DirMatcher,
        parent: Option<(Arc<Directory>, usize)>,
        node: Option<Node>,
        previous: Option<Id>,
    ) -> Arc<Self> {
        Arc::new(Self {
            path,
            fd: OnceLock::new(),
            matcher,
            parent,
            previous,
            node: Mutex::new(node),
            entries: Mutex::default(),
            pending: AtomicUsize::new(0),
        })
    }

    /// Returns the directory in which this one is an entry.
    pub fn parent(&self) -> Option<&Arc<Directory>> {
        self.parent.as_ref().map(|(parent, _)| parent)
    }

    /// Returns its tree in the parent snapshot.
    pub fn previous(&self) -> Option<Id> {
        self.previous
    }

    /// Says how many entries will come, and how many the parent snapshot has. One more is awaited until
    /// [`Worker::release`] is called, so that the directory is not whole before all its jobs are planned.
    pub fn expect(&self, entries: usize, before: usize) {
        let mut own = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        own.nodes.resize_with(entries, || None);
        own.before = before;
        self.pending.store(entries + 1, Release);
    }

    /// Makes a place for one entry more than was expected; called before [`Worker::release`].
    pub fn announce(&self) -> usize {
        let mut own = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        own.nodes.push(None);
        self.pending.fetch_add(1, AcqRel);
        own.nodes.len() - 1
    }

    /// Takes one entry; says whether nothing is awaited any more.
    fn put(&self, place: usize, entry: Entry) -> bool {
        {
            let mut own = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            let (count, node) = match entry {
                Entry::Unchanged(node) => (&mut own.unchanged, node),
                Entry::Changed(node) => (&mut own.changed, node),
                Entry::Absent => return self.arrived(),
            };
            *count += 1;
            if let Some(slot) = own.nodes.get_mut(place) {
                *slot = Some(node);
            }
        }
        self.arrived()
    }

    fn arrived(&self) -> bool {
        self.pending.fetch_sub(1, AcqRel) == 1
    }
}

impl Drop for Directory {
    /// Drops the directories above that nobody else holds one by one: a tree may be deeper than a stack.
    fn drop(&mut self) {
        let mut above = self.parent.take();
        while let Some((parent, _)) = above {
            above = Arc::into_inner(parent).and_then(|mut parent| parent.parent.take());
        }
    }
}

impl Worker<'_, '_> {
    /// Hands an entry to its directory, and every directory that is whole by it to its own parent.
    pub fn deliver(&mut self, directory: &Arc<Directory>, place: usize, entry: Entry) -> Result<()> {
        if directory.put(place, entry) { self.complete(directory) } else { Ok(()) }
    }

    /// Ends the planning of a directory: from now on its last entry completes it.
    pub fn release(&mut self, directory: &Arc<Directory>) -> Result<()> {
        if directory.arrived() { self.complete(directory) } else { Ok(()) }
    }

    /// Stores the tree of a directory whose entries are all there.
    fn complete(&mut self, directory: &Arc<Directory>) -> Result<()> {
        let mut directory = Arc::clone(directory);
        loop {
            let tree = self.store_tree(&directory)?;
            let Some((parent, place)) = &directory.parent else {
                self.schedule.end(tree);
                return Ok(());
            };
            let node = directory.node.lock().unwrap_or_else(PoisonError::into_inner).take();
            let entry = match node {
                // `scan` gave it the parent snapshot's node, tree and all, if its own metadata is the same.
                Some(node) if node.subtree == Some(tree) => Entry::Unchanged(node),
                Some(node) => Entry::Changed(Node { subtree: Some(tree), ..node }),
                None => Entry::Absent,
            };
            if !parent.put(*place, entry) {
                return Ok(());
            }
            let parent = Arc::clone(parent);
            directory = parent;
        }
    }

    fn store_tree(&mut self, directory: &Directory) -> Result<Id> {
        let entries = std::mem::take(&mut *directory.entries.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(previous) = directory.previous
            && entries.changed == 0
            && entries.unchanged == entries.before
        {
            return Ok(previous);
        }
        let mut nodes: Vec<_> = entries.nodes.into_iter().flatten().collect();
        // Those of a directory are sorted already; streams come as they are produced.
        nodes.sort_by(|one, two| one.name.cmp(&two.name));
        let tree = Tree { nodes };
        let json = tree.to_json()?;
        let id = Id::of(&json);
        self.store(BlobType::Tree, id, &json)?;
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_tree_drops() {
        let mut directory = Directory::new(PathBuf::new(), DirMatcher::default(), None, None, None);
        for _ in 0..100_000 {
            directory = Directory::new(PathBuf::new(), DirMatcher::default(), Some((directory, 0)), None, None);
        }
    }
}
