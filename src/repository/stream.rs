//! Reading one file of a snapshot from its start to its end, several blobs ahead.

use super::blobs::{BlobOpener, Indexed};
use super::files::FileType;
use super::id::Id;
use super::ls::{Found, find};
use super::pack::BlobType;
use super::trees::missing;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// A blob to read, and where it is waited for.
pub(super) struct Job {
    id: Id,
    done: Sender<Result<Vec<u8>>>,
}

/// Writes the file at `path` below the tree `root` to `out`; returns how many bytes it has.
///
/// # Errors
/// `not-found`; `damaged`, after which `out` holds only the part before the damage; `io` if `out` fails; a cancellation.
pub fn dump(
    indexed: &Indexed,
    root: Id,
    path: &Path,
    threads: usize,
    cancel: &Cancel,
    out: &mut dyn Write,
) -> Result<u64> {
    let (content, size) = content(indexed, root, path)?;
    let (jobs, queue) = unbounded();
    let written = std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let queue = queue.clone();
            scope.spawn(move || serve(indexed, &queue));
        }
        let mut blobs = Ordered::new(content, jobs, threads, cancel.clone());
        let mut written = 0;
        while let Some(blob) = blobs.next() {
            let blob = blob?;
            out.write_all(&blob).io_context(|| format!("cannot write the content of {}", path.display()))?;
            written += blob.len() as u64;
        }
        out.flush().io_context(|| format!("cannot write the content of {}", path.display()))?;
        Ok(written)
    })?;
    if written == size { Ok(written) } else { Err(wrong_size(path, size, written)) }
}

/// Opens the file at `path` below the tree `root` for reading; every blob is compared with its id before its bytes come
/// out. An error of the repository comes out as an [`std::io::Error`] that holds the [`Error`].
///
/// # Errors
/// `not-found`; `damaged`; `store-unavailable`; `io` if no thread can be started.
pub fn open_stream(
    indexed: &Arc<Indexed>,
    root: Id,
    path: &Path,
    threads: usize,
    cancel: &Cancel,
) -> Result<StreamReader> {
    let (content, size) = content(indexed, root, path)?;
    let (jobs, queue) = unbounded();
    let mut running = Vec::new();
    for _ in 0..threads.max(1) {
        let (indexed, queue) = (Arc::clone(indexed), queue.clone());
        let builder = std::thread::Builder::new().name("stream".to_owned());
        let thread = builder.spawn(move || serve(&indexed, &queue));
        running.push(thread.io_context(|| "cannot start a thread".to_owned())?);
    }
    let blobs = Ordered::new(content, jobs, threads, cancel.clone());
    Ok(StreamReader {
        path: path.to_owned(),
        blobs: Some(blobs),
        threads: running,
        current: Vec::new(),
        at: 0,
        size,
        read: 0,
    })
}

/// The content of one file, to be read in order.
pub struct StreamReader {
    path: std::path::PathBuf,
    /// `None` once the reader ends.
    blobs: Option<Ordered>,
    threads: Vec<JoinHandle<()>>,
    current: Vec<u8>,
    at: usize,
    size: u64,
    read: u64,
}

impl StreamReader {
    /// Returns the size of the whole file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for StreamReader {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.at == self.current.len() {
            match self.blobs.as_mut().and_then(Ordered::next) {
                Some(blob) => (self.current, self.at) = (blob.map_err(std::io::Error::other)?, 0),
                None if self.read == self.size => return Ok(0),
                None => return Err(std::io::Error::other(wrong_size(&self.path, self.size, self.read))),
            }
        }
        let rest = self.current.get(self.at..).unwrap_or_default();
        let length = rest.len().min(out.len());
        for (to, from) in out.iter_mut().zip(rest) {
            *to = *from;
        }
        self.at += length;
        self.read += length as u64;
        Ok(length)
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        // Without jobs the threads end; at most each finishes the blob that it is at.
        self.blobs = None;
        for thread in self.threads.drain(..) {
            // A panic there was seen as a blob that never came.
            let _ = thread.join();
        }
    }
}

/// Blobs in order, a few of them asked for ahead.
pub(super) struct Ordered {
    rest: std::vec::IntoIter<Id>,
    asked: VecDeque<Receiver<Result<Vec<u8>>>>,
    jobs: Sender<Job>,
    cancel: Cancel,
    failed: bool,
}

impl Ordered {
    /// Asks for the first blobs of `content`; whoever [`serve`]s `jobs` reads them.
    pub(super) fn new(content: Vec<Id>, jobs: Sender<Job>, threads: usize, cancel: Cancel) -> Self {
        let mut ordered = Self { rest: content.into_iter(), asked: VecDeque::new(), jobs, cancel, failed: false };
        // One for each thread to work at, one more each that is done and waits.
        for _ in 0..threads.max(1) * 2 {
            ordered.ask();
        }
        ordered
    }

    fn ask(&mut self) {
        if let Some(id) = self.rest.next() {
            let (done, receiver) = bounded(1);
            // Threads that are gone show as a blob that never comes.
            let _ = self.jobs.send(Job { id, done });
            self.asked.push_back(receiver);
        }
    }

    /// Returns the next blob; `None` after the last one, or after an error.
    pub(super) fn next(&mut self) -> Option<Result<Vec<u8>>> {
        if self.failed {
            return None;
        }
        let waiting = self.asked.pop_front()?;
        let blob = self.wait(&waiting);
        self.failed = blob.is_err();
        self.ask();
        Some(blob)
    }

    fn wait(&self, blob: &Receiver<Result<Vec<u8>>>) -> Result<Vec<u8>> {
        loop {
            self.cancel.check()?;
            match blob.recv_timeout(Duration::from_millis(50)) {
                Ok(blob) => return blob,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(ErrorCode::Internal, "a thread of the engine panicked"));
                }
            }
        }
    }
}

/// Reads blobs until nobody asks for more.
pub(super) fn serve(indexed: &Indexed, queue: &Receiver<Job>) {
    let mut opener = None;
    for Job { id, done } in queue {
        // Whoever asked may have gone.
        let _ = done.send(read(indexed, &mut opener, &id));
    }
}

fn read<'a>(indexed: &'a Indexed, opener: &mut Option<BlobOpener<'a>>, id: &Id) -> Result<Vec<u8>> {
    let opener = match opener {
        Some(opener) => opener,
        None => opener.insert(BlobOpener::new(indexed.repository())?),
    };
    let (pack, location) = indexed.locate(BlobType::Data, id)?;
    let key = FileType::Pack.key(&pack);
    let storage = indexed.repository().storage();
    let sealed = storage.get_range(&key, location.offset.into(), location.length as usize)?;
    let mut plain = Vec::new();
    opener.open(&pack, &location, &mut sealed.ok_or_else(|| missing(&pack))?, &mut plain)?;
    Ok(plain)
}

/// Returns blobs and size of the file at `path`.
fn content(indexed: &Indexed, root: Id, path: &Path) -> Result<(Vec<Id>, u64)> {
    match find(indexed, root, path)? {
        Found::Node(node) => match node.content {
            Some(content) => Ok((content, node.size)),
            None => Err(Error::new(ErrorCode::NotFound, format!("{} is not a file", path.display()))),
        },
        Found::Root(_) => Err(Error::new(ErrorCode::NotFound, "the root of a snapshot is not a file")),
    }
}

fn wrong_size(path: &Path, size: u64, found: u64) -> Error {
    let message = format!("{} should have {size} bytes, and its content has {found}", path.display());
    Error::new(ErrorCode::Damaged, message)
}
