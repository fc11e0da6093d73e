//! The read-back that a pass rests on: what is in the store is what its names say, and all of it is there.

use super::Repository;
use super::blobs::{BlobOpener, Indexed};
use super::files::{FileType, altered};
use super::id::{Id, IdMap, IdSet};
use super::index::{Index, IndexFile, PackNumber};
use super::pack::{self, BlobLocation, BlobType};
use super::parallel::Workers;
use super::tree::{Node, NodeType};
use super::trees::{TreeReader, missing};
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::VerifyMode;
use crate::storage::ReadFrom;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// How many packs are read back at once on a machine of few cores: enough to wait for some while others are worked on.
/// Each takes its size, 12 MiB of ours and up to 16 of restic's, and the largest of its blobs.
pub(super) const PACKS_AT_ONCE: usize = 4;

/// Packs that were read back whole in this run.
#[derive(Debug, Clone, Default)]
pub struct PackEvidence {
    packs: IdSet,
    bytes_read: u64,
    blobs: u64,
}

impl PackEvidence {
    /// Says whether a pack was read back.
    pub fn contains(&self, pack: &Id) -> bool {
        self.packs.contains(pack)
    }

    /// Returns the bytes that were read from the store.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Returns how many blobs were compared with their ids.
    pub fn blobs(&self) -> u64 {
        self.blobs
    }
}

/// The proof that a tree can be read back. Only [`verify_tree`] makes one, and only for one can a snapshot be
/// published.
#[derive(Debug, Clone)]
pub struct Verified {
    tree: Id,
    mode: VerifyMode,
    files: u64,
    dirs: u64,
    bytes: u64,
    bytes_read: u64,
    blobs: u64,
    packs: Vec<Id>,
}

impl Verified {
    /// Returns the root of the tree.
    pub fn tree(&self) -> Id {
        self.tree
    }

    /// Returns what was read back.
    pub fn mode(&self) -> VerifyMode {
        self.mode
    }

    /// Returns how many files there are; those in a directory that occurs twice with the same content count once.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// Returns how many distinct directories there are.
    pub fn dirs(&self) -> u64 {
        self.dirs
    }

    /// Returns the sizes of these files, added up, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the bytes that were read from the store, those of the [`PackEvidence`] included.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Returns how many blobs were compared with their ids, those of the [`PackEvidence`] included.
    pub fn blobs(&self) -> u64 {
        self.blobs
    }

    /// Returns every pack that the tree needs; none in mode `none`, for nothing was looked at.
    pub fn packs(&self) -> &[Id] {
        &self.packs
    }
}

impl Repository {
    /// Lists the packs in the store with their sizes in bytes.
    ///
    /// # Errors
    /// `store-unavailable`.
    pub fn pack_sizes(&self) -> Result<IdMap<u64>> {
        Ok(self.list(FileType::Pack)?.into_iter().collect())
    }
}

/// Reads packs whole from the medium and compares each with its name, its header with the index, and every blob in it
/// with its id. The progress counts bytes and packs.
///
/// # Errors
/// `damaged`, naming the pack or blob; `store-unavailable`; a cancellation.
pub fn verify_packs(indexed: &Indexed, packs: &[Id], workers: &Workers<'_>) -> Result<PackEvidence> {
    let expected = indexed.with_index(|index| blobs_per_pack(index, packs));
    let blobs = AtomicU64::new(0);
    let bytes_read = AtomicU64::new(0);
    let state = || Ok((BlobOpener::new(indexed.repository())?, Vec::new()));
    few(workers).each(packs, state, |(opener, plain), id| {
        let (bytes, header) = read_pack(indexed.repository(), opener, plain, id)?;
        indexed.with_index(|index| compare(index, id, &header, expected.get(id).copied().unwrap_or(0)))?;
        blobs.fetch_add(header.len() as u64, Relaxed);
        bytes_read.fetch_add(bytes, Relaxed);
        workers.progress.add_bytes(bytes);
        workers.progress.add_items(1);
        Ok(())
    })?;
    let packs = packs.iter().copied().collect();
    Ok(PackEvidence { packs, bytes_read: bytes_read.into_inner(), blobs: blobs.into_inner() })
}

/// Reads back the index files that appeared since `indexed` was opened, and makes sure that they list `packs` as the
/// index in memory does: without them nobody else would find what this run stored.
///
/// # Errors
/// `damaged`, naming the pack that is not listed as it should be; `store-unavailable`; a cancellation.
pub fn verify_index(indexed: &Indexed, packs: &[Id], workers: &Workers<'_>) -> Result<()> {
    if packs.is_empty() {
        return Ok(());
    }
    let repository = indexed.repository();
    let files = repository.list(FileType::Index)?;
    let new: Vec<Id> = files.into_iter().map(|(id, _)| id).filter(|id| !indexed.was_loaded(id)).collect();
    let listed = Mutex::new(IdMap::default());
    let state = || Ok(());
    workers.each(&new, state, |(), id| {
        // One that was removed since it was listed was replaced by another.
        let Some(file) = repository.load_json::<IndexFile>(FileType::Index, id, ReadFrom::Medium)? else {
            return Ok(());
        };
        let mut listed = listed.lock().unwrap_or_else(PoisonError::into_inner);
        listed.extend(file.packs.iter().map(|pack| (pack.id, pack.locations())));
        Ok(())
    })?;
    let listed = listed.into_inner().unwrap_or_else(PoisonError::into_inner);
    indexed.with_index(|index| {
        let expected = blobs_per_pack(index, packs);
        packs.iter().try_for_each(|pack| {
            let blobs = listed.get(pack).ok_or_else(|| {
                Error::new(ErrorCode::Damaged, format!("no index file in the store lists the pack {pack}"))
            })?;
            compare(index, pack, blobs, expected.get(pack).copied().unwrap_or(0))
        })
    })
}

/// Walks every tree below `root`, each read back from the store, and makes sure that every blob is in the index and
/// every pack it needs is in `pack_sizes` with the size that the index implies. In mode `all` every pack that is not in
/// `evidence` is read back as [`verify_packs`] does; in mode `none` nothing is read.
///
/// # Errors
/// `damaged`, naming what is missing or wrong; `store-unavailable`; a cancellation.
pub fn verify_tree(
    indexed: &Indexed,
    root: Id,
    mode: VerifyMode,
    evidence: &PackEvidence,
    pack_sizes: &IdMap<u64>,
    workers: &Workers<'_>,
) -> Result<Verified> {
    let mut verified =
        Verified { tree: root, mode, files: 0, dirs: 0, bytes: 0, bytes_read: 0, blobs: 0, packs: Vec::new() };
    verified.bytes_read = evidence.bytes_read;
    verified.blobs = evidence.blobs;
    if mode == VerifyMode::None {
        return Ok(verified);
    }
    let packs = NeededPacks::new(indexed, pack_sizes);
    let reader = TreeReader::new(indexed, ReadFrom::Medium).knowing(&evidence.packs);
    let totals = Mutex::new((0, 0, 0));
    reader.walk(&[root], workers, |id, tree| {
        let tree = tree?;
        let counts = indexed.with_index(|index| -> Result<_> {
            packs.need(index, BlobType::Tree, id)?;
            let mut counts = (0, 0);
            for node in &tree.nodes {
                if let Some(size) = packs.check_node(index, node)? {
                    counts = (counts.0 + 1, counts.1 + size);
                }
            }
            Ok(counts)
        })?;
        let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
        *totals = (totals.0 + counts.0, totals.1 + 1, totals.2 + counts.1);
        Ok(())
    })?;
    (verified.files, verified.dirs, verified.bytes) = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    verified.bytes_read += reader.bytes_read();
    verified.blobs += verified.dirs;
    verified.packs = packs.needed();
    if mode == VerifyMode::All {
        let rest: Vec<Id> = verified.packs.iter().filter(|pack| !evidence.contains(pack)).copied().collect();
        let more = verify_packs(indexed, &rest, workers)?;
        verified.bytes_read += more.bytes_read;
        verified.blobs += more.blobs;
    }
    Ok(verified)
}

/// Reads one pack whole from the medium, compares it with its name and every blob with its id; returns its size and
/// its header. `plain` is overwritten.
///
/// # Errors
/// `damaged`, naming the pack or blob; `store-unavailable`.
pub(super) fn read_pack(
    repository: &Repository,
    opener: &mut BlobOpener<'_>,
    plain: &mut Vec<u8>,
    id: &Id,
) -> Result<(u64, Vec<BlobLocation>)> {
    let mut stored = repository.read_file(FileType::Pack, id, ReadFrom::Medium)?.ok_or_else(|| missing(id))?;
    let size = stored.len() as u64;
    let header = pack::read_header(repository.key(), &stored).map_err(|error| {
        Error::new(ErrorCode::Damaged, format!("the pack {id} is not what it should be")).caused_by(error)
    })?;
    for blob in &header {
        let start = blob.offset as usize;
        let end = start.saturating_add(blob.length as usize);
        let sealed = stored.get_mut(start..end).ok_or_else(|| altered(FileType::Pack, id))?;
        opener.open(id, blob, sealed, plain)?;
    }
    Ok((size, header))
}

/// Returns as many of the workers as may hold a whole pack each.
pub(super) fn few<'a>(workers: &Workers<'a>) -> Workers<'a> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Workers { threads: workers.threads.min(cores.max(PACKS_AT_ONCE)), ..*workers }
}

/// Counts the blobs that the index looks up in each of `packs`.
pub(super) fn blobs_per_pack(index: &Index, packs: &[Id]) -> IdMap<usize> {
    let mut counts: IdMap<usize> = packs.iter().map(|pack| (*pack, 0)).collect();
    for (number, _) in index.blobs() {
        if let Some(count) = index.pack(number).and_then(|pack| counts.get_mut(&pack.id)) {
            *count += 1;
        }
    }
    counts
}

/// Compares the blobs that a pack holds with what the index says of it, which must look up `expected` blobs there. A
/// blob that the index looks up in another pack is a duplicate and harmless.
///
/// # Errors
/// `damaged`, naming the pack or blob.
pub(super) fn compare(index: &Index, pack: &Id, blobs: &[BlobLocation], expected: usize) -> Result<()> {
    let mut found = IdSet::default();
    for blob in blobs {
        let known = index.find(blob.kind, &blob.id).and_then(|(number, known)| Some((index.pack(number)?.id, known)));
        match known {
            None => {
                let message = format!("the pack {pack} holds the {} blob {}, which is in no index", blob.kind, blob.id);
                return Err(Error::new(ErrorCode::Damaged, message).hint("run `restic repair index`"));
            }
            // The same blob may be twice in one pack; the index looks up one of them.
            Some((holder, known)) if holder == *pack && known == *blob => {
                found.insert(blob.id);
            }
            Some(_) => {}
        }
    }
    if found.len() == expected {
        return Ok(());
    }
    let message =
        format!("the index looks up {expected} blobs in the pack {pack}, which holds {} of them", found.len());
    Err(Error::new(ErrorCode::Damaged, message))
}

/// The packs that a tree needs, checked once each.
pub(super) struct NeededPacks<'a> {
    indexed: &'a Indexed,
    sizes: &'a IdMap<u64>,
    /// One for each pack in the index when the walk began, set once it was checked.
    checked: Vec<AtomicBool>,
}

impl<'a> NeededPacks<'a> {
    pub(super) fn new(indexed: &'a Indexed, sizes: &'a IdMap<u64>) -> Self {
        let packs = indexed.with_index(|index| index.packs().count());
        Self { indexed, sizes, checked: std::iter::repeat_with(AtomicBool::default).take(packs).collect() }
    }

    /// Makes sure that a blob is in the index and its pack in the store; returns the length of its plain text.
    pub(super) fn need(&self, index: &Index, kind: BlobType, id: &Id) -> Result<u64> {
        let (number, location) = index
            .find(kind, id)
            .ok_or_else(|| Error::new(ErrorCode::Damaged, format!("no pack holds the {kind} blob {id}")))?;
        self.check_pack(index, number)?;
        Ok(location.plain_length() as u64)
    }

    fn check_pack(&self, index: &Index, number: PackNumber) -> Result<()> {
        let checked = self.checked.get(number.position());
        if checked.is_some_and(|checked| checked.load(Relaxed)) {
            return Ok(());
        }
        let Some(pack) = index.pack(number) else { return Ok(()) };
        check_size(&pack.id, pack.size, self.sizes)?;
        if let Some(checked) = checked {
            checked.store(true, Relaxed);
        }
        Ok(())
    }

    /// Makes sure that all of a node is there; returns the size of a file.
    pub(super) fn check_node(&self, index: &Index, node: &Node) -> Result<Option<u64>> {
        let lacks = |what: &str| Error::new(ErrorCode::Damaged, format!("the node {:?} has no {what}", node.name));
        match node.kind {
            NodeType::File => {
                let content = node.content.as_ref().ok_or_else(|| lacks("content"))?;
                let mut size: u64 = 0;
                for id in content {
                    size = size.saturating_add(self.need(index, BlobType::Data, id)?);
                }
                if size == node.size {
                    return Ok(Some(size));
                }
                let message = format!("the file {:?} has {} bytes and content of {size} bytes", node.name, node.size);
                Err(Error::new(ErrorCode::Damaged, message))
            }
            NodeType::Dir => node.subtree.map(|_| None).ok_or_else(|| lacks("subtree")),
            _ => Ok(None),
        }
    }

    /// Returns the packs that were needed so far.
    pub(super) fn needed(&self) -> Vec<Id> {
        self.indexed.with_index(|index| {
            let needed = self.checked.iter().zip(index.packs()).filter(|(checked, _)| checked.load(Relaxed));
            needed.map(|(_, (_, pack))| pack.id).collect()
        })
    }
}

/// Makes sure that a pack is in the store and has the size that the index implies.
///
/// # Errors
/// `damaged`, naming the pack.
pub(super) fn check_size(pack: &Id, size: u64, sizes: &IdMap<u64>) -> Result<()> {
    match sizes.get(pack) {
        None => Err(missing(pack)),
        Some(stored) if *stored == size => Ok(()),
        Some(stored) => {
            let message = format!("the pack {pack} has {stored} bytes, and should have {size}");
            Err(Error::new(ErrorCode::Damaged, message))
        }
    }
}
