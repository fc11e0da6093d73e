//! Reading files: small ones at once, large ones as chunks that all workers take.

use super::super::chunker::{ChunkReader, MIN_SIZE};
use super::super::id::Id;
use super::super::pack::BlobType;
use super::super::tree::{Node, NodeType};
use super::directory::{Directory, Entry};
use super::metadata;
use super::outcome::IssueKind;
use super::schedule::Worker;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use rustix::fs::{OFlags, Stat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read};
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
    /// Without content; taken when it is delivered.
    node: Mutex<Option<Node>>,
    ids: Mutex<Vec<Option<Id>>>,
    /// Chunks on their way, and one for the reader: a content that it gives up is never delivered.
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
        // A file that changes while it is read is read again; the second reading stands.
        let outcome = match self.try_file(directory, fd, place, name, false)? {
            Try::Changed => self.try_file(directory, fd, place, name, true)?,
            first => first,
        };
        if let Try::Failed(error) = outcome {
            self.note(directory.path.join(name), &error);
            return self.deliver(directory, place, Entry::Absent);
        }
        self.schedule.tally.files.fetch_add(1, Relaxed);
        self.schedule.tally.files_read.fetch_add(1, Relaxed);
        self.count_item();
        Ok(())
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
        let (file, stat, node) = match open(fd, name) {
            Ok(opened) => opened,
            Err(error) => return Ok(Try::Failed(error)),
        };
        let size = node.size;
        let content = Content::new(directory, place, node);
        let read = match usize::try_from(size) {
            Ok(size) if size < MIN_SIZE => self.read_small(&content, &file, size),
            // A file that grows as fast as it is read must not be read for ever.
            _ => self.read_chunks(&content, (&file).take(size + 1), size, size >= SHARED_SIZE),
        };
        let (bytes, after) = match read.and_then(|bytes| Ok((bytes, rustix::fs::fstat(&file)?))) {
            Ok(read) => read,
            Err(ReadError::Source(error)) => return Ok(Try::Failed(error)),
            Err(ReadError::Run(error)) => return Err(error),
        };
        let changed = bytes != size || has_changed(&stat, &after);
        if changed && !last {
            return Ok(Try::Changed);
        }
        if changed {
            let message = "changed while it was read, twice".to_owned();
            self.schedule.tally.issue(directory.path.join(name), IssueKind::Changed, message);
        }
        self.finish_content(&content, bytes)?;
        Ok(Try::Done)
    }

    fn read_small(&mut self, content: &Arc<Content>, file: &File, size: usize) -> Result<u64, ReadError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let stored = read_up_to(file, size, &mut buffer).map_err(ReadError::from).and_then(|data| {
            self.schedule.progress.add_bytes(data.len() as u64);
            if !data.is_empty() {
                self.store_piece(content, data)?;
            }
            Ok(data.len() as u64)
        });
        self.buffer = buffer;
        stored
    }

    fn store_piece(&mut self, content: &Arc<Content>, data: &[u8]) -> Result<(), ReadError> {
        let index = content.announce();
        self.store_at(content, index, data)?;
        content.pending.fetch_sub(1, AcqRel);
        Ok(())
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
        let source = Cancellable { source, cancel: self.schedule.cancel };
        let mut reader = ChunkReader::new(&chunker, source).expecting(expected);
        let mut bytes = 0;
        let mut data = self.schedule.spare_buffer();
        loop {
            if !reader.next_chunk(&mut data)? {
                self.schedule.recycle(data);
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
        if let Some(node) = &mut *content.node.lock().unwrap_or_else(PoisonError::into_inner) {
            node.size = bytes;
        }
        self.let_go(content)
    }

    fn let_go(&mut self, content: &Content) -> Result<()> {
        if content.pending.fetch_sub(1, AcqRel) != 1 {
            return Ok(());
        }
        let node = content.node.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ids = std::mem::take(&mut *content.ids.lock().unwrap_or_else(PoisonError::into_inner));
        let ids: Option<Vec<Id>> = ids.into_iter().collect();
        let (Some(node), Some(ids)) = (node, ids) else {
            return Err(Error::new(ErrorCode::Internal, "a chunk of a file was lost"));
        };
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

impl From<std::io::Error> for ReadError {
    /// A reader of ours passes its own error through the system's type: a cancellation, a program that failed.
    fn from(error: std::io::Error) -> Self {
        error.downcast().map_or_else(Self::Source, Self::Run)
    }
}

impl From<Errno> for ReadError {
    fn from(error: Errno) -> Self {
        Self::Source(error.into())
    }
}

/// A source that ends with the cancellation, however slowly it yields.
struct Cancellable<'c, R> {
    source: R,
    cancel: &'c Cancel,
}

impl<R: Read> Read for Cancellable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.cancel.check().map_err(std::io::Error::other)?;
        self.source.read(buffer)
    }
}

/// Opens a file below its directory and describes it.
fn open(directory: BorrowedFd<'_>, name: &OsStr) -> std::io::Result<(File, Stat, Node)> {
    let file = metadata::open(directory, name, OFlags::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if metadata::node_type(&stat) != Some(NodeType::File) {
        return Err(std::io::Error::other("was a file when it was listed, and is none now"));
    }
    let extended_attributes = metadata::attributes(file.as_fd())?;
    let node = Node { extended_attributes, ..metadata::node(name, NodeType::File, &stat) };
    Ok((file.into(), stat, node))
}

/// Reads a file of `size` bytes, and one byte more if it grew: its end may never come.
fn read_up_to<'b>(mut file: &File, size: usize, buffer: &'b mut Vec<u8>) -> std::io::Result<&'b [u8]> {
    if buffer.len() <= size {
        buffer.resize(size + 1, 0);
    }
    let buffer = buffer.get_mut(..=size).unwrap_or_default();
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        // It ended one byte short of what was asked for: no need to ask again.
        if filled == size {
            break;
        }
    }
    Ok(buffer.get(..filled).unwrap_or_default())
}

fn has_changed(before: &Stat, after: &Stat) -> bool {
    let key = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
    key(before) != key(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode};

    #[test]
    fn what_has_become_a_pipe_or_a_link_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let directory = File::open(folder.path()).unwrap();
        rustix::fs::mknodat(CWD, folder.path().join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        for name in ["pipe", "link"] {
            assert!(open(directory.as_fd(), OsStr::new(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn a_file_is_read_to_one_byte_beyond_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, b"orders").unwrap();
        let read = |size, buffer: &mut Vec<u8>| read_up_to(&File::open(&path).unwrap(), size, buffer).unwrap().to_vec();
        let mut buffer = vec![7; 4];
        assert_eq!(read(3, &mut buffer), b"orde");
        assert_eq!(read(6, &mut buffer), b"orders");
        assert_eq!(read(9, &mut buffer), b"orders");
        assert_eq!(read(0, &mut buffer), b"o");
    }
}
