//! Reading many trees: whole packs at a time, on several threads, shared subtrees once.

use super::Repository;
use super::blobs::{BlobOpener, Indexed};
use super::files::FileType;
use super::id::{Id, IdSet};
use super::pack::BlobType;
use super::parallel::Workers;
use super::tree::{NodeType, Tree};
use crate::error::{Error, ErrorCode, Result};
use crate::storage::ReadFrom;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How many bytes of packs are kept: two packs of restic's size.
const KEPT: usize = 32 << 20;
/// How many packs are fetched at once, beside those that are kept.
const FETCHES: usize = 3;

/// Reads trees. Trees lie close together in packs of their own, so each pack is read whole when it is first
/// needed; a pack that had to make room is read again in pieces, which the cache of this machine still holds.
pub(super) struct TreeReader<'a> {
    indexed: &'a Indexed,
    from: ReadFrom,
    /// Packs that were read from the medium already: any cache may give them once more.
    proved: IdSet,
    packs: Mutex<Packs>,
    /// Told when a fetch ends.
    fetched: Condvar,
    bytes_read: AtomicU64,
}

#[derive(Default)]
struct Packs {
    kept: VecDeque<(Id, Arc<Vec<u8>>)>,
    bytes: usize,
    /// Packs that were fetched, or are being fetched.
    seen: IdSet,
    /// Packs that a thread is fetching now.
    coming: Vec<Id>,
}

/// What one thread needs to open blobs.
pub(super) struct Scratch<'a> {
    pub(super) opener: BlobOpener<'a>,
    sealed: Vec<u8>,
    pub(super) plain: Vec<u8>,
}

impl<'a> Scratch<'a> {
    pub(super) fn new(repository: &'a Repository) -> Result<Self> {
        Ok(Self { opener: BlobOpener::new(repository)?, sealed: Vec::new(), plain: Vec::new() })
    }
}

impl<'a> TreeReader<'a> {
    pub(super) fn new(indexed: &'a Indexed, from: ReadFrom) -> Self {
        let (packs, fetched) = (Mutex::default(), Condvar::new());
        Self { indexed, from, proved: IdSet::default(), packs, fetched, bytes_read: AtomicU64::new(0) }
    }

    /// Says which packs this run has read from the medium and compared with their names already.
    pub(super) fn knowing(mut self, proved: &IdSet) -> Self {
        self.proved.clone_from(proved);
        self
    }

    /// Returns how many bytes were read from the store.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Relaxed)
    }

    /// Reads one tree and compares it with its id.
    ///
    /// # Errors
    /// `damaged`, naming the blob and its pack; `store-unavailable`.
    pub(super) fn read(&self, scratch: &mut Scratch<'_>, id: &Id) -> Result<Tree> {
        let (pack, location) = self.indexed.locate(BlobType::Tree, id)?;
        let Scratch { opener, sealed, plain } = scratch;
        let start = location.offset as usize;
        sealed.clear();
        match self.whole(&pack)? {
            Some(whole) => {
                let part = start.checked_add(location.length as usize).and_then(|end| whole.get(start..end));
                sealed.extend_from_slice(part.ok_or_else(|| short(&pack))?);
            }
            None => {
                let key = FileType::Pack.key(&pack);
                let storage = self.indexed.repository().storage();
                let part = storage.get_range(&key, location.offset.into(), location.length as usize)?;
                *sealed = part.ok_or_else(|| missing(&pack))?;
                self.bytes_read.fetch_add(u64::from(location.length), Relaxed);
            }
        }
        opener.open(&pack, &location, sealed, plain)?;
        Tree::parse(plain).map_err(|error| {
            Error::new(ErrorCode::Damaged, format!("the tree {id} is not what it should be")).caused_by(error)
        })
    }

    /// Returns a pack that is needed for the first time, or is still kept. Whoever needs one that another thread is
    /// fetching waits for it; nobody else does.
    fn whole(&self, pack: &Id) -> Result<Option<Arc<Vec<u8>>>> {
        let mut packs = lock(&self.packs);
        loop {
            if let Some((_, whole)) = packs.kept.iter().find(|(id, _)| id == pack) {
                return Ok(Some(whole.clone()));
            }
            let is_coming = packs.coming.contains(pack);
            if packs.seen.contains(pack) && !is_coming {
                return Ok(None);
            }
            if !is_coming && packs.coming.len() < FETCHES {
                break;
            }
            packs = self.fetched.wait(packs).unwrap_or_else(PoisonError::into_inner);
        }
        packs.seen.insert(*pack);
        packs.coming.push(*pack);
        drop(packs);
        let storage = self.indexed.repository().storage();
        let key = FileType::Pack.key(pack);
        let read = match self.from {
            ReadFrom::Medium if !self.proved.contains(pack) => storage.get(&key, self.from),
            ReadFrom::Medium | ReadFrom::Anywhere => storage.get_again(&key),
        };
        let whole = read.map(|whole| whole.map(Arc::new));
        let mut packs = lock(&self.packs);
        packs.coming.retain(|id| id != pack);
        self.fetched.notify_all();
        let whole = whole?.ok_or_else(|| missing(pack))?;
        self.bytes_read.fetch_add(whole.len() as u64, Relaxed);
        packs.bytes += whole.len();
        packs.kept.push_back((*pack, whole.clone()));
        while packs.bytes > KEPT && packs.kept.len() > 1 {
            if let Some((_, old)) = packs.kept.pop_front() {
                packs.bytes -= old.len();
            }
        }
        Ok(Some(whole))
    }

    /// Reads every tree below `roots` and hands it, or what is wrong with it, to `visit`; each distinct tree once, in
    /// any order. An error of `visit` ends the walk.
    ///
    /// # Errors
    /// What `visit` fails with; a cancellation.
    pub(super) fn walk(
        &self,
        roots: &[Id],
        workers: &Workers<'_>,
        visit: impl Fn(&Id, Result<Tree>) -> Result<()> + Sync,
    ) -> Result<()> {
        let queue = Queue::default();
        lock(&queue.state).push(roots.iter().copied());
        workers.run(|first| {
            // Whoever leaves, by whatever door, wakes the others.
            let _closing = Closing(&queue);
            let mut scratch = Scratch::new(self.indexed.repository())?;
            while let Some(id) = queue.next() {
                workers.cancel.check()?;
                if first.is_set() {
                    break;
                }
                let tree = self.read(&mut scratch, &id);
                let mut children = Vec::new();
                if let Ok(tree) = &tree {
                    let folders = tree.nodes.iter().filter(|node| node.kind == NodeType::Dir);
                    children.extend(folders.filter_map(|node| node.subtree));
                }
                visit(&id, tree)?;
                queue.done(children);
            }
            Ok(())
        })
    }
}

/// Trees to read, shared by the threads of a walk.
#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Default)]
struct QueueState {
    waiting: Vec<Id>,
    seen: IdSet,
    /// Trees that a thread works on, and that may still have children.
    active: usize,
    closed: bool,
}

impl QueueState {
    fn push(&mut self, ids: impl IntoIterator<Item = Id>) {
        for id in ids {
            if self.seen.insert(id) {
                self.waiting.push(id);
            }
        }
    }
}

impl Queue {
    /// Returns the next tree; `None` once all are done or the walk was closed.
    fn next(&self) -> Option<Id> {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return None;
            }
            if let Some(id) = state.waiting.pop() {
                state.active += 1;
                return Some(id);
            }
            if state.active == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, children: Vec<Id>) {
        let mut state = lock(&self.state);
        state.push(children);
        state.active -= 1;
        drop(state);
        self.changed.notify_all();
    }
}

/// Closes the queue when a thread leaves: either all is done, or it failed.
struct Closing<'a>(&'a Queue);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).closed = true;
        self.0.changed.notify_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn missing(pack: &Id) -> Error {
    Error::new(ErrorCode::Damaged, format!("the pack {pack} is missing"))
}

fn short(pack: &Id) -> Error {
    Error::new(ErrorCode::Damaged, format!("the pack {pack} is shorter than the index says"))
}
