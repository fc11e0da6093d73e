//! The pack writer: collects sealed blobs in packs, stores the packs, and writes the index.

use super::super::blobs::Indexed;
use super::super::chunker::Chunker;
use super::super::files::FileType;
use super::super::id::{Id, IdSet};
use super::super::index::{IndexFile, PackEntry};
use super::super::lock::LockWatch;
use super::super::pack::{self, BlobLocation, BlobType};
use super::encoder::Encoder;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::{Class, PutMode};
use bytes::Bytes;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A pack is stored before it grows beyond this size; less than restic's 16 MiB, because several are in memory at once.
pub(in crate::repository) const PACK_SIZE: usize = 12 << 20;
/// A pack is stored, and an index file written, when it has so many blobs: tiny files would make a pack whose header
/// no client accepts, and an index file that takes much memory.
pub(in crate::repository) const MAX_BLOBS: usize = 50_000;
/// Locks that the set of claimed blobs is spread over.
const SHARDS: usize = 16;
/// An index file is written when a pack has waited for one so long, so that a run that is killed loses little.
const INDEX_AGE: Duration = Duration::from_secs(60);
/// How often a worker that waits for an uploader looks whether the run was cancelled.
const POLL: Duration = Duration::from_millis(50);

/// Writes the packs of one run; all sources of the run share it.
pub struct PackWriter {
    shared: Arc<Shared>,
    chunker: Arc<Chunker>,
    open: [Mutex<OpenPack>; 2],
    packs: Option<Sender<OpenPack>>,
    uploaders: Vec<JoinHandle<()>>,
}

/// The packs that a run added, all stored and indexed.
#[derive(Debug, Clone, Default)]
pub struct StoredPacks {
    /// Their ids.
    pub packs: Vec<Id>,
    /// The index files that list them.
    pub index_files: Vec<Id>,
    /// Their size in bytes, in all.
    pub bytes: u64,
}

/// A pack that grows.
struct OpenPack {
    kind: BlobType,
    bytes: Vec<u8>,
    blobs: Vec<BlobLocation>,
}

impl OpenPack {
    fn new(kind: BlobType) -> Self {
        Self { kind, bytes: Vec::new(), blobs: Vec::new() }
    }

    /// Returns the pack and leaves an empty one of its kind.
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.kind))
    }
}

/// Packs that are stored, and not yet in an index file.
#[derive(Default)]
struct Unindexed {
    packs: Vec<PackEntry>,
    blobs: usize,
    /// When the first one was stored.
    since: Option<Instant>,
}

/// What workers and uploaders share.
struct Shared {
    indexed: Arc<Indexed>,
    cancel: Cancel,
    lock: Option<LockWatch>,
    /// Blobs on their way into packs that are not in the index yet.
    claimed: [[Mutex<IdSet>; SHARDS]; 2],
    unindexed: Mutex<Unindexed>,
    stored: Mutex<StoredPacks>,
    /// The first failure: everything after it fails in its name.
    failure: Mutex<Option<Error>>,
    /// Buffers of stored packs, to be filled again.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl PackWriter {
    /// Starts a writer whose packs go to the store of `indexed`. Once `lock` is lost it lists none of them in the index any
    /// more; `None` is only for where nobody else can be at work.
    ///
    /// # Errors
    /// `internal`: no threads to be had.
    pub fn start(indexed: Arc<Indexed>, lock: Option<LockWatch>, cancel: Cancel) -> Result<Self> {
        let shared = Arc::new(Shared {
            indexed,
            cancel,
            lock,
            claimed: Default::default(),
            unindexed: Mutex::default(),
            stored: Mutex::default(),
            failure: Mutex::default(),
            spare: Mutex::default(),
        });
        // No queue: a full pack is handed over when an uploader is free, so that few are in memory at once.
        let (packs, waiting) = bounded(0);
        let threads = shared.indexed.repository().storage().parallelism().uploads;
        let mut uploaders = Vec::with_capacity(threads);
        for _ in 0..threads {
            let (shared, waiting) = (Arc::clone(&shared), waiting.clone());
            let thread = std::thread::Builder::new().name("upload".to_owned());
            let handle = thread
                .spawn(move || shared.upload(&waiting))
                .map_err(|error| Error::new(ErrorCode::Internal, "cannot start a thread").caused_by(error))?;
            uploaders.push(handle);
        }
        let chunker = Arc::new(Chunker::new(shared.indexed.repository().config().chunker_polynomial));
        let open = [BlobType::Data, BlobType::Tree].map(|kind| Mutex::new(OpenPack::new(kind)));
        Ok(Self { shared, chunker, open, packs: Some(packs), uploaders })
    }

    /// Returns the repository that is written to.
    pub fn indexed(&self) -> &Arc<Indexed> {
        &self.shared.indexed
    }

    /// Returns the repository's chunker.
    pub(super) fn chunker(&self) -> &Arc<Chunker> {
        &self.chunker
    }

    /// Stores a blob unless it is known, or claimed by another worker of this run.
    ///
    /// Returns how many bytes it takes as stored; `None` if it was known.
    pub(super) fn add(&self, encoder: &mut Encoder, kind: BlobType, id: Id, plain: &[u8]) -> Result<Option<u64>> {
        self.shared.check()?;
        if !self.shared.claim(kind, id) {
            return Ok(None);
        }
        // Others rely on a claimed blob: that it could not be stored is the failure of all.
        self.append(encoder, kind, id, plain).map(Some).inspect_err(|error| self.fail(error.replica()))
    }

    fn append(&self, encoder: &mut Encoder, kind: BlobType, id: Id, plain: &[u8]) -> Result<u64> {
        let internal = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorCode::Internal, format!("cannot put the {kind} blob {id} into a pack")).caused_by(error)
        };
        let payload = encoder.encode(plain)?;
        let mut open = lock(self.open_pack(kind));
        let has_room = open.bytes.len() + payload.bytes.len() <= PACK_SIZE && open.blobs.len() < MAX_BLOBS;
        if !has_room && !open.blobs.is_empty() {
            // The others wait behind this lock, so that no further pack is begun while all uploaders are busy.
            self.hand_over(open.take())?;
        }
        if open.bytes.capacity() == 0 {
            open.bytes = lock(&self.shared.spare).pop().unwrap_or_else(|| Vec::with_capacity(PACK_SIZE + (1 << 20)));
        }
        let start = open.bytes.len();
        // Sealed where it stays: a buffer of its own for each worker would cost more than the wait for this lock.
        let key = self.shared.indexed.repository().key();
        key.seal_into(payload.bytes, &mut open.bytes).map_err(|error| internal(error.into()))?;
        let number = |number: usize| u32::try_from(number).map_err(|error| internal(error.into()));
        let length = number(open.bytes.len() - start)?;
        let uncompressed_length = if payload.is_compressed { number(plain.len())? } else { 0 };
        open.blobs.push(BlobLocation { kind, id, offset: number(start)?, length, uncompressed_length });
        Ok(length.into())
    }

    /// Makes everything that is added from now on fail.
    pub(super) fn fail(&self, error: Error) {
        self.shared.fail(error);
    }

    /// Stores what is left, writes the index, and returns what this run added.
    ///
    /// # Errors
    /// The first failure of the run; what was stored before it is indexed all the same, unless the lock was lost.
    pub fn finish(mut self) -> Result<StoredPacks> {
        let flushed = self.flush();
        self.close();
        let indexed = self.shared.write_index();
        flushed?;
        self.shared.check()?;
        indexed?;
        Ok(std::mem::take(&mut *lock(&self.shared.stored)))
    }

    fn flush(&self) -> Result<()> {
        for open in &self.open {
            let pack = lock(open).take();
            if !pack.blobs.is_empty() {
                self.hand_over(pack)?;
            }
        }
        Ok(())
    }

    /// Waits for the uploaders.
    fn close(&mut self) {
        self.packs = None;
        for uploader in self.uploaders.drain(..) {
            if uploader.join().is_err() {
                self.shared.fail(Error::new(ErrorCode::Internal, "an upload thread panicked"));
            }
        }
        lock(&self.shared.spare).clear();
    }

    fn hand_over(&self, mut pack: OpenPack) -> Result<()> {
        let gone = || Error::new(ErrorCode::Internal, "the upload threads are gone");
        let packs = self.packs.as_ref().ok_or_else(gone)?;
        loop {
            self.shared.check()?;
            match packs.send_timeout(pack, POLL) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(unsent)) => pack = unsent,
                Err(SendTimeoutError::Disconnected(_)) => return Err(gone()),
            }
        }
    }

    fn open_pack(&self, kind: BlobType) -> &Mutex<OpenPack> {
        let [data, tree] = &self.open;
        match kind {
            BlobType::Data => data,
            BlobType::Tree => tree,
        }
    }
}

impl Drop for PackWriter {
    /// A run that ends early leaves its stored packs indexed, so that the next one goes on from there.
    fn drop(&mut self) {
        if !self.uploaders.is_empty() {
            self.close();
            // The run has failed already and says why; packs without an index are found again by the next run.
            let _ = self.shared.write_index();
        }
    }
}

impl Shared {
    fn upload(&self, waiting: &Receiver<OpenPack>) {
        for pack in waiting {
            if self.check().is_err() {
                continue;
            }
            if let Err(error) = self.store(pack) {
                self.fail(error);
            }
        }
    }

    fn store(&self, mut pack: OpenPack) -> Result<()> {
        let repository = self.indexed.repository();
        pack::finish(repository.key(), &pack.blobs, &mut pack.bytes)?;
        let bytes = Bytes::from(std::mem::take(&mut pack.bytes));
        let id = Id::of(&bytes);
        let class = match pack.kind {
            BlobType::Data => Class::Data,
            BlobType::Tree => Class::Record,
        };
        // A pack of that name holds the same bytes.
        let _ = repository.storage().put(&FileType::Pack.key(&id), &bytes, PutMode::CreateOnly, class)?;
        self.indexed.add_pack(id, &pack.blobs)?;
        // They are found in the index from now on.
        for blob in &pack.blobs {
            lock(self.shard(blob.kind, &blob.id)).remove(&blob.id);
        }
        {
            let mut stored = lock(&self.stored);
            stored.packs.push(id);
            stored.bytes += bytes.len() as u64;
        }
        // A storage that still holds on to the bytes keeps the buffer.
        if let Ok(bytes) = bytes.try_into_mut() {
            let mut buffer = Vec::from(bytes);
            buffer.clear();
            lock(&self.spare).push(buffer);
        }
        let is_due = {
            let mut unindexed = lock(&self.unindexed);
            unindexed.packs.push(PackEntry::new(id, &pack.blobs));
            unindexed.blobs += pack.blobs.len();
            let since = *unindexed.since.get_or_insert_with(Instant::now);
            unindexed.blobs >= MAX_BLOBS || since.elapsed() >= INDEX_AGE
        };
        if is_due { self.write_index() } else { Ok(()) }
    }

    /// Claims a blob that is neither in the index nor claimed already.
    fn claim(&self, kind: BlobType, id: Id) -> bool {
        let mut shard = lock(self.shard(kind, &id));
        !self.indexed.contains(kind, &id) && shard.insert(id)
    }

    fn shard(&self, kind: BlobType, id: &Id) -> &Mutex<IdSet> {
        let [data, trees] = &self.claimed;
        let shards = match kind {
            BlobType::Data => data,
            BlobType::Tree => trees,
        };
        &shards[usize::from(id.as_bytes()[31]) % SHARDS]
    }

    fn write_index(&self) -> Result<()> {
        let packs = std::mem::take(&mut *lock(&self.unindexed)).packs;
        if packs.is_empty() {
            return Ok(());
        }
        // Without the lock a prune may have removed these packs, and whoever trusts an index that lists them stores what
        // they held no more. Packs without an index harm nobody.
        self.lock.as_ref().map_or(Ok(()), LockWatch::confirm)?;
        let file = IndexFile { supersedes: Vec::new(), packs };
        let id = self.indexed.repository().save_json(FileType::Index, &file)?;
        lock(&self.stored).index_files.push(id);
        Ok(())
    }

    /// Fails once the run failed or was cancelled.
    fn check(&self) -> Result<()> {
        if let Some(failure) = &*lock(&self.failure) {
            return Err(failure.replica());
        }
        self.cancel.check()
    }

    fn fail(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::super::lock::LockKind;
    use super::super::super::{Cost, Creator, Repository};
    use super::*;
    use crate::storage::{LocalStorage, ReadFrom};

    /// One source fails, and a pack of another cannot be stored any more: both fail for the reason of the first.
    #[test]
    fn everything_after_the_first_failure_fails_in_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(LocalStorage::new(folder.path()).unwrap());
        let repository = Repository::create(storage, "secret", Cost::RandomKey, Creator::default()).unwrap();
        let cancel = Cancel::new();
        let writer = PackWriter::start(Arc::new(repository.index(&cancel).unwrap()), None, cancel.clone()).unwrap();
        let mut encoder = Encoder::new().unwrap();
        let mut add = |text: &str| writer.add(&mut encoder, BlobType::Data, Id::of(text.as_bytes()), text.as_bytes());
        assert!(add("before").unwrap().is_some());
        writer.fail(Error::new(ErrorCode::StoreFull, "the cause"));
        writer.fail(Error::new(ErrorCode::StoreUnavailable, "a consequence"));
        cancel.cancel(crate::cancel::Reason::Interrupt);
        let told = |error: Error| (error.code(), error.message().to_owned());
        let cause = (ErrorCode::StoreFull, "the cause".to_owned());
        assert_eq!(told(add("after").unwrap_err()), cause);
        assert_eq!(told(writer.finish().unwrap_err()), cause);
    }

    /// As after a machine slept, and a prune removed what no index listed.
    #[test]
    fn nothing_is_indexed_once_the_lock_is_lost() {
        for ended_early in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let storage = Arc::new(LocalStorage::new(folder.path()).unwrap());
            let repository = Repository::create(storage, "secret", Cost::RandomKey, Creator::default()).unwrap();
            for lost in [true, false] {
                let cancel = Cancel::new();
                let lock = repository.lock(LockKind::Shared, Duration::ZERO, &cancel).unwrap();
                let indexed = Arc::new(repository.index(&cancel).unwrap());
                let writer = PackWriter::start(indexed, Some(lock.watch()), cancel.clone()).unwrap();
                let mut encoder = Encoder::new().unwrap();
                writer.add(&mut encoder, BlobType::Data, Id::of(b"data"), b"data").unwrap().unwrap();
                writer.flush().unwrap();
                if lost {
                    for (id, _) in repository.list(FileType::Lock).unwrap() {
                        repository.storage().delete(&FileType::Lock.key(&id)).unwrap();
                    }
                }
                if ended_early {
                    drop(writer);
                    assert_eq!(cancel.is_cancelled(), lost);
                } else {
                    let code = writer.finish().map(drop).map_err(|error| error.code());
                    assert_eq!(code, if lost { Err(ErrorCode::LeaseLost) } else { Ok(()) });
                }
                assert_eq!(repository.list(FileType::Index).unwrap().is_empty(), lost);
                assert!(!repository.pack_sizes().unwrap().is_empty());
            }
        }
    }

    #[test]
    fn a_pack_of_tiny_blobs_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Arc::new(LocalStorage::new(folder.path()).unwrap());
        let repository = Repository::create(storage, "secret", Cost::RandomKey, Creator::default()).unwrap();
        let cancel = Cancel::new();
        let writer = PackWriter::start(Arc::new(repository.index(&cancel).unwrap()), None, cancel.clone()).unwrap();
        let mut encoder = Encoder::new().unwrap();
        let mut add = |number: usize| {
            let plain = number.to_string().into_bytes();
            writer.add(&mut encoder, BlobType::Data, Id::of(&plain), &plain).unwrap()
        };
        assert!((0..MAX_BLOBS + 1).all(|number| add(number).is_some()));
        // Whether in a pack that is stored, or in one that grows.
        assert!((add(0), add(MAX_BLOBS)) == (None, None));
        let stored = writer.finish().unwrap();
        let blobs = |id: &Id| {
            let bytes = repository.read_file(FileType::Pack, id, ReadFrom::Anywhere).unwrap().unwrap();
            pack::read_header(repository.key(), &bytes).unwrap().len()
        };
        let mut found: Vec<usize> = stored.packs.iter().map(blobs).collect();
        found.sort_unstable();
        assert_eq!(found, [1, MAX_BLOBS]);
        assert_eq!(repository.index(&cancel).unwrap().with_index(|index| index.len(BlobType::Data)), MAX_BLOBS + 1);
    }
}
