//! What a restore will do: read from the trees, before anything is written.

use super::Note;
use super::metadata::Metadata;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::blobs::Indexed;
use crate::repository::id::{Id, IdMap};
use crate::repository::index::PackNumber;
use crate::repository::ls::{Found, find};
use crate::repository::pack::{BlobLocation, BlobType};
use crate::repository::parallel::Workers;
use crate::repository::tree::{Node, NodeType, Tree};
use crate::repository::trees::{Scratch, TreeReader};
use crate::storage::ReadFrom;
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Mutex, PoisonError};

/// How many trees are read at once: enough for every thread, few enough for memory.
const BATCH: usize = 256;

/// What a restore will do; made by [`plan`], done by [`Plan::perform`].
#[derive(Debug, Default)]
pub struct Plan {
    /// Parents before children; the target itself is not among them.
    pub(super) dirs: Vec<Dir>,
    pub(super) files: Vec<FileEntry>,
    pub(super) specials: Vec<Special>,
    pub(super) links: Vec<Link>,
    /// In the order of the files and the places in them.
    pub(super) uses: Vec<Use>,
    pub(super) packs: HashMap<PackNumber, Id>,
    pub(super) notes: Vec<Note>,
    /// Names that the snapshot has and that are left out.
    pub(super) left_out: Vec<(Option<u32>, OsString)>,
    /// The directory that is marked until the restore is complete; `None` stands for the target itself.
    pub(super) home: Option<u32>,
    /// Whether the plan has all that belongs into the target itself.
    pub(super) whole: bool,
    bytes: u64,
}

/// A directory.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) entry: Entry,
    /// Whether it is here only because something in it was chosen: where it exists, it is left as it is.
    pub(super) passing: bool,
}

/// A name in a directory, and what it gets when it is complete.
#[derive(Debug)]
pub(super) struct Entry {
    /// The number of its directory in [`Plan::dirs`]; `None` for the target itself.
    pub(super) dir: Option<u32>,
    pub(super) name: OsString,
    pub(super) metadata: Metadata,
}

/// A file with content.
#[derive(Debug)]
pub(super) struct FileEntry {
    pub(super) entry: Entry,
    pub(super) size: u64,
    /// How many names the inode had when it was stored.
    pub(super) names: u64,
    /// The number of its first blob in [`Plan::uses`].
    pub(super) first: usize,
    /// How many blobs it has.
    pub(super) blobs: u32,
    /// How many of them are still to be written.
    pub(super) pending: AtomicU32,
    pub(super) failed: AtomicBool,
}

/// What is neither file nor directory.
#[derive(Debug)]
pub(super) struct Special {
    pub(super) entry: Entry,
    /// How many names the inode had when it was stored.
    pub(super) names: u64,
    pub(super) kind: SpecialKind,
}

#[derive(Debug)]
pub(super) enum SpecialKind {
    Symlink(OsString),
    Fifo,
    BlockDevice(u64),
    CharDevice(u64),
}

/// One more name for something restored under another.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) dir: Option<u32>,
    pub(super) name: OsString,
    pub(super) to: LinkTarget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum LinkTarget {
    File(u32),
    Special(u32),
}

/// One place that one blob is written to.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) pack: PackNumber,
    pub(super) blob: BlobLocation,
    pub(super) file: u32,
    pub(super) at: u64,
}

/// Plans the restore of what `path` leads to below the tree `root`: a directory's content, or one file.
///
/// # Errors
/// `not-found`; `damaged`, naming the tree or blob; `store-unavailable`; a cancellation.
pub fn plan(indexed: &Indexed, root: Id, path: &Path, workers: &Workers<'_>) -> Result<Plan> {
    let mut planner = Planner::default();
    match find(indexed, root, path)? {
        Found::Root(tree) => planner.start(tree),
        Found::Node(node) => match (node.kind, node.subtree) {
            (NodeType::Dir, Some(tree)) => planner.start(tree),
            _ => planner.add(indexed, None, *node)?,
        },
    }
    planner.walk(indexed, workers)
}

/// Plans the restore of what `path` leads to below the tree `root`, under its own name: into the directory that holds it. A
/// directory is marked itself until the restore is complete, and nothing is written beside it.
///
/// # Errors
/// As [`plan`].
pub fn plan_itself(indexed: &Indexed, root: Id, path: &Path, workers: &Workers<'_>) -> Result<Plan> {
    let mut planner = Planner::default();
    match find(indexed, root, path)? {
        Found::Root(tree) => planner.start(tree),
        Found::Node(node) => {
            let is_dir = node.kind == NodeType::Dir;
            planner.add(indexed, None, *node)?;
            planner.plan.home = is_dir.then_some(0);
        }
    }
    planner.walk(indexed, workers)
}

impl Planner {
    /// Reads the trees that are left, and ends the plan.
    pub(super) fn walk(mut self, indexed: &Indexed, workers: &Workers<'_>) -> Result<Plan> {
        let reader = TreeReader::new(indexed, ReadFrom::Anywhere);
        while !self.queue.is_empty() {
            let batch: Vec<_> = self.queue.drain(..self.queue.len().min(BATCH)).collect();
            for ((dir, id), tree) in batch.iter().zip(read_all(&reader, &batch, indexed, workers)?) {
                check_names(id, &tree)?;
                for node in tree.nodes {
                    self.add(indexed, *dir, node)?;
                }
            }
        }
        Ok(self.plan)
    }
}

impl Plan {
    /// Returns how many files will be written, each hard link counted.
    pub fn files(&self) -> u64 {
        (self.files.len() + self.links.len()) as u64
    }

    /// Returns how many names it has.
    pub(super) fn names(&self) -> usize {
        self.dirs.len() + self.files.len() + self.specials.len() + self.links.len()
    }

    /// Returns how many directories will be made.
    pub fn dirs(&self) -> u64 {
        self.dirs.len() as u64
    }

    /// Returns the sizes of the files, added up, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the path of a name inside the target.
    pub(super) fn path(&self, mut dir: Option<u32>, name: &OsStr) -> PathBuf {
        let mut parts = vec![name];
        while let Some(Dir { entry, .. }) = dir.and_then(|number| self.dirs.get(number as usize)) {
            parts.push(&entry.name);
            dir = entry.dir;
        }
        parts.into_iter().rev().collect()
    }

    /// Returns the blobs of a file, in order.
    pub(super) fn uses_of(&self, file: &FileEntry) -> &[Use] {
        self.uses.get(file.first..file.first.saturating_add(file.blobs as usize)).unwrap_or_default()
    }
}

/// Makes a plan.
#[derive(Default)]
pub(super) struct Planner {
    plan: Plan,
    queue: VecDeque<(Option<u32>, Id)>,
    /// The first name of everything that has several.
    linked: HashMap<(NodeType, u64, u64), LinkTarget>,
}

impl Planner {
    /// Begins with the content of the target itself.
    pub(super) fn start(&mut self, tree: Id) {
        self.plan.whole = true;
        self.queue.push_back((None, tree));
    }

    /// Adds a directory of which only something is chosen; returns its number.
    pub(super) fn pass(&mut self, dir: Option<u32>, node: Node) -> Result<u32> {
        let number = number(self.plan.dirs.len())?;
        self.plan.dirs.push(Dir { entry: Entry::new(dir, node), passing: true });
        Ok(number)
    }

    /// Adds a node of the directory `dir`; what is in it, if it is a directory, is left for [`Planner::walk`].
    pub(super) fn add(&mut self, indexed: &Indexed, dir: Option<u32>, node: Node) -> Result<()> {
        let plan = &mut self.plan;
        if !node.error.is_empty() {
            let message = format!("was not read completely when it was stored: {}", node.error);
            plan.notes.push(Note { path: plan.path(dir, &node.name), message });
        }
        if dir == plan.home && node.name == super::MARKER {
            let message = "is left out: it marks an interrupted restore".to_owned();
            plan.notes.push(Note { path: node.name.into(), message });
            return Ok(());
        }
        let links = (node.links > 1).then_some((node.kind, node.inode, node.device_id));
        if let Some(to) = links.and_then(|key| self.linked.get(&key)) {
            plan.links.push(Link { dir, name: node.name, to: *to });
            return Ok(());
        }
        let lacks = |what: &str| {
            Error::new(ErrorCode::Damaged, format!("{} has no {what}", plan.path(dir, &node.name).display()))
        };
        let kind = match node.kind {
            NodeType::Dir => {
                let subtree = node.subtree.ok_or_else(|| lacks("subtree"))?;
                let number = number(plan.dirs.len())?;
                plan.dirs.push(Dir { entry: Entry::new(dir, node), passing: false });
                self.queue.push_back((Some(number), subtree));
                return Ok(());
            }
            NodeType::File => {
                let content = node.content.clone().ok_or_else(|| lacks("content"))?;
                let file = plan.add_file(indexed, dir, node, &content)?;
                self.linked.extend(links.map(|key| (key, LinkTarget::File(file))));
                return Ok(());
            }
            NodeType::Symlink => SpecialKind::Symlink(node.link_target()),
            NodeType::Fifo => SpecialKind::Fifo,
            NodeType::Dev => SpecialKind::BlockDevice(node.device),
            NodeType::CharDev => SpecialKind::CharDevice(node.device),
            NodeType::Socket | NodeType::Irregular => {
                let message = "is left out: a socket lives only as long as its program".to_owned();
                plan.notes.push(Note { path: plan.path(dir, &node.name), message });
                plan.left_out.push((dir, node.name));
                return Ok(());
            }
        };
        let number = number(plan.specials.len())?;
        plan.specials.push(Special { names: node.links, entry: Entry::new(dir, node), kind });
        self.linked.extend(links.map(|key| (key, LinkTarget::Special(number))));
        Ok(())
    }
}

impl Plan {
    fn add_file(&mut self, indexed: &Indexed, dir: Option<u32>, node: Node, content: &[Id]) -> Result<u32> {
        let file = number(self.files.len())?;
        let first = self.uses.len();
        let mut at = 0;
        indexed.with_index(|index| -> Result<()> {
            for id in content {
                let found = index.find(BlobType::Data, id);
                let Some((pack, blob)) = found else {
                    let path = self.path(dir, &node.name);
                    let message = format!("no pack holds the data blob {id} of {}", path.display());
                    return Err(Error::new(ErrorCode::Damaged, message));
                };
                if let Some(info) = index.pack(pack) {
                    self.packs.insert(pack, info.id);
                }
                self.uses.push(Use { pack, blob, file, at });
                at += blob.plain_length() as u64;
            }
            Ok(())
        })?;
        if at != node.size {
            let message = format!("has {at} bytes of content, although its size was stored as {}", node.size);
            self.notes.push(Note { path: self.path(dir, &node.name), message });
        }
        self.bytes += at;
        let blobs = number(content.len())?;
        self.files.push(FileEntry {
            names: node.links,
            entry: Entry::new(dir, node),
            size: at,
            first,
            blobs,
            pending: AtomicU32::new(blobs),
            failed: AtomicBool::new(false),
        });
        Ok(file)
    }
}

impl Entry {
    fn new(dir: Option<u32>, node: Node) -> Self {
        Self { dir, metadata: Metadata::new(&node), name: node.name }
    }
}

fn number(count: usize) -> Result<u32> {
    u32::try_from(count).map_err(|error| Error::new(ErrorCode::RestoreFailed, "too many files").caused_by(error))
}

/// Makes sure that no name occurs twice: the second could be written through the first.
pub(super) fn check_names(id: &Id, tree: &Tree) -> Result<()> {
    let sorted = tree.nodes.windows(2).all(|pair| matches!(pair, [one, two] if one.name < two.name));
    let mut seen = HashSet::new();
    match tree.nodes.iter().find(|node| !sorted && !seen.insert(&node.name)) {
        None => Ok(()),
        Some(node) => {
            Err(Error::new(ErrorCode::Damaged, format!("the tree {id} holds the name {:?} twice", node.name)))
        }
    }
}

/// Reads trees on several threads; returns them in the order of `batch`.
fn read_all(
    reader: &TreeReader<'_>,
    batch: &[(Option<u32>, Id)],
    indexed: &Indexed,
    workers: &Workers<'_>,
) -> Result<Vec<Tree>> {
    let read = Mutex::new(IdMap::default());
    workers.each(
        batch,
        || Scratch::new(indexed.repository()),
        |scratch, (_, id)| {
            let tree = reader.read(scratch, id)?;
            read.lock().unwrap_or_else(PoisonError::into_inner).insert(*id, tree);
            Ok(())
        },
    )?;
    let read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
    // The same tree may occur more than once.
    let tree = |(_, id): &(_, Id)| read.get(id).cloned();
    batch.iter().map(|item| tree(item).ok_or_else(|| Error::new(ErrorCode::Internal, "a tree was not read"))).collect()
}
