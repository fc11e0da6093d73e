//! Reading files: small ones at once, large ones as chunks that all workers take.

use super::super::chunker::{ChunkReader, MIN_SIZE};
use super::super::id::Id;
use super::super::pack::BlobType;
use super::super::tree::{Node, NodeType};
use super::directory::{Directory, Entry};
use super::metadata;
use super::outcome::IssueKind;
use super::schedule::Worker;
use super::walk::with_attributes;
use crate::error::{Error, ErrorCode, Result};
use rustix::fs::{Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Files that one worker reads before another may take over.
const BATCH_FILES: usize = 32;
/// The same in bytes.
const BATCH_BYTES: u64 = 4 << 20;
/// From this size on the chunks of a file are handed to other workers.
const SHARED_SIZE: u64 = 4 << 20;

/// A file that has to be read.
pub(super) struct PlannedFile {
    /// Its place in its directory.
    pub place: usize,
    pub name: OsString,
    /// Its size when it was listed.
    pub size: u64,
}

/// Some files of one directory.
pub(super) struct Batch {
    pub directory: Arc<Directory>,
    pub files: Vec<PlannedFile>,
}

/// One chunk of a file or stream.
pub(super) struct ChunkJob {
    pub content: Arc<Content>,
    /// Its place among the chunks.
    pub index: usize,
    pub data: Vec<u8>,
}

/// The content of one file whose chunks are on their way.
pub(super) struct Content {
    directory: Arc<Directory>,
    place: usize,
    /// Without content; `None` once it was delivered or given up.
    node: Mutex<Option<Node>>,
    ids: Mutex<Vec<Option<Id>>>,
    /// Chunks on their way, and one for the reader.
    pending: AtomicUsize,
}

/// How one try to read a file ended.
enum Try {
    /// The file is delivered, or will be by its last chunk.
    Done,
    /// It changed while it was read.
    Changed,
    Failed(std::io::Error),
}

/// Splits files into pieces of work of a similar size.
pub(super) fn batches(files: Vec<PlannedFile>) -> Vec<Vec<PlannedFile>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    for file in files {
        bytes += file.size;
        batch.push(file);
        if batch.len() == BATCH_FILES || bytes >= BATCH_BYTES {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

impl Content {
    /// Creates the content of the file that `node` describes, an entry of `directory`.
    pub fn new(directory: &Arc<Directory>, place: usize, node: Node) -> Arc<Self> {
        Arc::new(Self {
            directory: Arc::clone(directory),
            place,
            node: Mutex::new(Some(node)),
            ids: Mutex::default(),
            pending: AtomicUsize::new(1),
        })
    }

    /// Announces one more chunk and returns its place.
    pub fn announce(&self) -> usize {
        self.pending.fetch_add(1, Relaxed);
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.push(None);
        ids.len() - 1
    }

    /// Changes the node before the reader lets go; `None` gives the content up.
    pub fn settle(&self, change: impl FnOnce(Node) -> Option<Node>) {
        let mut node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        *node = node.take().and_then(change);
    }
}

impl Worker<'_, '_> {
    pub fn read_batch(&mut self, batch: Batch) -> Result<()> {
        // Set by `scan`, which made this batch.
        let Some(fd) = batch.directory.fd.get() else {
            return Err(Error::new(ErrorCode::Internal, "a directory was closed too early"));
        };
        for file in batch.files {
            self.schedule.cancel.check()?;
            self.read_file(&batch.directory, fd.as_fd(), file.place, &file.name)?;
        }
        Ok(())
    }

    fn read_file(&mut self, directory: &Arc<Directory>, fd: BorrowedFd<'_>, place: usize, name: &OsStr) -> Result<()> {
        let path = || directory.path.join(name);
        // A file that changes while it is read is read again; the second reading stands.
        let first = self.try_file(directory, fd, place, name, false)?;
        let outcome = match first {
            Try::Changed => self.try_file(directory, fd, place, name, true)?,
            other => other,
        };
        match outcome {
            Try::Done => {
                self.schedule.tally.files.fetch_add(1, Relaxed);
                self.schedule.tally.files_read.fetch_add(1, Relaxed);
                self.count_item();
                Ok(())
            }
            Try::Changed => self.deliver(directory, place, Entry::Absent),
            Try::Failed(error) => {
                match error.raw_os_error().map(Errno::from_raw_os_error) {
                    Some(error) => self.note(&path(), error),
                    None => self.schedule.tally.issue(path(), IssueKind::Unreadable, error.to_string()),
                }
                self.deliver(directory, place, Entry::Absent)
            }
        }
    }

    /// Reads a file once. The `last` try delivers what it read even if it changed again, and reports it.
    fn try_file(
        &mut self,
        directory: &Arc<Directory>,
        fd: BorrowedFd<'_>,
        place: usize,
        name: &OsStr,
        last: bool,
    ) -> Result<Try> {
        let opened = open(fd, name).and_then(|file| Ok((rustix::fs::fstat(&file)?, file)));
        let (stat, file) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(Try::Failed(error.into())),
        };
        if metadata::node_type(&stat) != Some(NodeType::File) {
            return Ok(Try::Failed(std::io::Error::other("was a file when it was listed, and is none now")));
        }
        let node = match with_attributes(metadata::node(name, NodeType::File, &stat), fd) {
            Ok(node) => node,
            Err(error) => return Ok(Try::Failed(error.into())),
        };
        let content = Content::new(directory, place, node);
        let read = if stat.st_size < MIN_SIZE as i64 {
            self.read_small(&content, &file)
        } else {
            self.read_large(&content, &file, &stat)
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(ReadError::Source(error)) => {
                content.settle(|_| None);
                return Ok(Try::Failed(error));
            }
            Err(ReadError::Run(error)) => return Err(error),
        };
        let changed = match rustix::fs::fstat(&file) {
            Ok(after) => has_changed(&stat, &after, bytes),
            Err(error) => return Ok(Try::Failed(error.into())),
        };
        if changed && !last {
            content.settle(|_| None);
            return Ok(Try::Changed);
        }
        if changed {
            let message = "changed while it was read, twice".to_owned();
            self.schedule.tally.issue(directory.path.join(name), IssueKind::Changed, message);
        }
        self.finish_content(&content, bytes)?;
        Ok(Try::Done)
    }

    fn read_small(&mut self, content: &Arc<Content>, file: &File) -> Result<u64, ReadError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        // One byte more than a small file may have: a file that grew is noticed, and not read to an end that may
        // never come.
        let read = file.take(MIN_SIZE as u64).read_to_end(&mut buffer);
        let stored = match read {
            Ok(0) => Ok(()),
            Ok(_) => self.store_piece(content, &buffer),
            Err(error) => Err(ReadError::Source(error)),
        };
        self.schedule.progress.add_bytes(buffer.len() as u64);
        let bytes = buffer.len() as u64;
        self.buffer = buffer;
        stored.map(|()| bytes)
    }

    fn store_piece(&mut self, content: &Arc<Content>, data: &[u8]) -> Result<(), ReadError> {
        let index = content.announce();
        self.store_at(content, index, data)?;
        content.pending.fetch_sub(1, AcqRel);
        Ok(())
    }

    fn read_large(&mut self, content: &Arc<Content>, file: &File, stat: &Stat) -> Result<u64, ReadError> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        // A file that grows as fast as it is read must not be read for ever.
        let source = file.take(size + 1);
        self.read_chunks(content, source, size, size >= SHARED_SIZE)
    }

    /// Reads `source` to its end and stores its chunks; the others help if `shared`.
    pub fn read_chunks(
        &mut self,
        content: &Arc<Content>,
        source: impl Read,
        expected: u64,
        shared: bool,
    ) -> Result<u64, ReadError> {
        let chunker = Arc::clone(self.schedule.writer.chunker());
        let mut reader = ChunkReader::new(&chunker, source).expecting(expected);
        let mut bytes = 0;
        let mut data = Vec::new();
        loop {
            self.schedule.cancel.check()?;
            if !reader.next_chunk(&mut data).map_err(ReadError::Source)? {
                return Ok(bytes);
            }
            bytes += data.len() as u64;
            self.schedule.progress.add_bytes(data.len() as u64);
            if shared {
                let index = content.announce();
                let data = std::mem::replace(&mut data, self.schedule.spare_buffer());
                self.pass_on(ChunkJob { content: Arc::clone(content), index, data })?;
            } else {
                self.store_piece(content, &data)?;
            }
        }
    }

    /// Stores a chunk; the last one of a content that was read to its end delivers the file.
    pub fn store_chunk(&mut self, chunk: ChunkJob) -> Result<()> {
        self.store_at(&chunk.content, chunk.index, &chunk.data)?;
        self.schedule.recycle(chunk.data);
        self.let_go(&chunk.content)
    }

    fn store_at(&mut self, content: &Content, index: usize, data: &[u8]) -> Result<()> {
        let id = Id::of(data);
        self.store(BlobType::Data, id, data)?;
        if let Some(slot) = content.ids.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
            *slot = Some(id);
        }
        Ok(())
    }

    /// Ends the reading of a content: its size is known now.
    pub fn finish_content(&mut self, content: &Arc<Content>, bytes: u64) -> Result<()> {
        self.schedule.tally.bytes.fetch_add(bytes, Relaxed);
        content.settle(|node| Some(Node { size: bytes, ..node }));
        self.let_go(content)
    }

    fn let_go(&mut self, content: &Content) -> Result<()> {
        if content.pending.fetch_sub(1, AcqRel) != 1 {
            return Ok(());
        }
        let node = content.node.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A content that was given up is read again, or reported, by its reader.
        let Some(node) = node else { return Ok(()) };
        let ids = std::mem::take(&mut *content.ids.lock().unwrap_or_else(PoisonError::into_inner));
        let ids: Option<Vec<Id>> = ids.into_iter().collect();
        let ids = ids.ok_or_else(|| Error::new(ErrorCode::Internal, "a chunk of a file was lost"))?;
        self.deliver(&content.directory, content.place, Entry::Changed(Node { content: Some(ids), ..node }))
    }
}

/// Why reading a content ended early.
pub(super) enum ReadError {
    /// The source could not be read: a fact about the source.
    Source(std::io::Error),
    /// The run cannot go on.
    Run(Error),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self::Run(error)
    }
}

/// Opens a file below its directory, leaving its time of access alone where that is permitted.
fn open(directory: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<File> {
    // Without NONBLOCK, opening what has become a pipe meanwhile would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(directory, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(directory, name, flags, Mode::empty()),
        result => result,
    }
    .map(File::from)
}

fn has_changed(before: &Stat, after: &Stat, bytes_read: u64) -> bool {
    let key = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
    key(before) != key(after) || u64::try_from(after.st_size) != Ok(bytes_read)
}
