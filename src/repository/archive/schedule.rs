//! The workers of one archive call: a stack of jobs that all of them take from.

use super::super::blobs::Indexed;
use super::super::id::Id;
use super::super::pack::BlobType;
use super::super::tree::Node;
use super::super::trees::{Scratch, TreeReader};
use super::directory::Directory;
use super::encoder::Encoder;
use super::file::{Batch, ChunkJob};
use super::outcome::Tally;
use super::writer::PackWriter;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::progress::Progress;
use crate::storage::ReadFrom;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a worker without work looks whether the run was cancelled.
const POLL: Duration = Duration::from_millis(50);
/// Chunks that may wait for a worker; a reader that is further ahead takes one itself.
const WAITING_CHUNKS: usize = 2;

/// One piece of work.
pub(super) enum Job {
    /// List a directory.
    Scan(Arc<Directory>),
    /// Read some files of a directory.
    Files(Batch),
    /// Store one chunk of a large file or stream.
    Chunk(ChunkJob),
}

impl Job {
    fn is_chunk(&self) -> bool {
        matches!(self, Self::Chunk(_))
    }
}

/// What the workers of one archive call share.
pub(super) struct Schedule<'a> {
    pub writer: &'a PackWriter,
    pub progress: &'a Progress,
    pub cancel: &'a Cancel,
    pub tally: Tally,
    /// Reads the trees of the parent snapshot.
    trees: TreeReader<'a>,
    state: Mutex<State>,
    wake: Condvar,
    /// Buffers of chunks, to be filled again.
    spare: Mutex<Vec<Vec<u8>>>,
}

#[derive(Default)]
struct State {
    /// Last in, first out: depth first, so that few directories are open at once, and chunks before new files.
    jobs: Vec<Job>,
    /// How many of them are chunks.
    chunks: usize,
    /// The root of the tree, once it is stored.
    root: Option<Id>,
    failure: Option<Error>,
    ended: bool,
}

/// One worker's own tools.
pub(super) struct Worker<'s, 'a> {
    pub schedule: &'s Schedule<'a>,
    pub encoder: Encoder,
    /// For trees of the parent snapshot.
    scratch: Scratch<'s>,
    /// Content of small files.
    pub buffer: Vec<u8>,
}

impl<'a> Schedule<'a> {
    pub fn new(writer: &'a PackWriter, progress: &'a Progress, cancel: &'a Cancel) -> Self {
        Self {
            writer,
            progress,
            cancel,
            tally: Tally::default(),
            trees: TreeReader::new(writer.indexed(), ReadFrom::Anywhere),
            state: Mutex::default(),
            wake: Condvar::new(),
            spare: Mutex::default(),
        }
    }

    pub fn indexed(&self) -> &Indexed {
        self.writer.indexed()
    }

    /// Puts jobs on the stack; the last one is taken first.
    pub fn push(&self, jobs: impl IntoIterator<Item = Job>) {
        let mut state = self.lock();
        for job in jobs {
            state.chunks += usize::from(job.is_chunk());
            state.jobs.push(job);
        }
        drop(state);
        self.wake.notify_all();
    }

    /// Ends the work: the tree is whole.
    pub fn end(&self, root: Id) {
        let mut state = self.lock();
        state.root = Some(root);
        state.ended = true;
        drop(state);
        self.wake.notify_all();
    }

    /// Runs `first` on one worker while the others take jobs, until the root of the tree is stored.
    pub fn run(
        self,
        workers: usize,
        first: impl FnOnce(&mut Worker<'_, 'a>) -> Result<()> + Send,
    ) -> Result<(Option<Id>, Tally)> {
        std::thread::scope(|scope| {
            for _ in 1..workers {
                // Where a thread is not to be had, fewer workers do the work.
                let thread = std::thread::Builder::new().name("archive".to_owned());
                let _ = thread.spawn_scoped(scope, || self.work(|_| Ok(())));
            }
            self.work(first);
        });
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = state.failure {
            return Err(failure);
        }
        // A stream ends early when a cancellation stops its program: that is not its end.
        self.cancel.check()?;
        Ok((state.root, self.tally))
    }

    /// Works until the work of all has ended; a failure or panic of one ends it.
    fn work(&self, first: impl FnOnce(&mut Worker<'_, 'a>) -> Result<()>) {
        let work = || {
            let scratch = Scratch::new(self.indexed().repository())?;
            let mut worker = Worker { schedule: self, encoder: Encoder::new()?, scratch, buffer: Vec::new() };
            first(&mut worker)?;
            while let Some(job) = self.next()? {
                worker.perform(job)?;
            }
            Ok(())
        };
        let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
            let error = Error::new(ErrorCode::Internal, "an archive thread panicked");
            // It may have claimed a blob that others of the run rely on now.
            self.writer.fail(error.replica());
            Err(error)
        });
        if let Err(error) = result {
            self.fail(error);
        }
    }

    /// Waits for a job; `None` when the work has ended.
    fn next(&self) -> Result<Option<Job>> {
        let mut state = self.lock();
        loop {
            if state.ended {
                return Ok(None);
            }
            self.cancel.check()?;
            if let Some(job) = state.jobs.pop() {
                state.chunks -= usize::from(job.is_chunk());
                return Ok(Some(job));
            }
            state = self.wake.wait_timeout(state, POLL).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes a waiting chunk if a reader is too far ahead of the other workers.
    fn chunk_to_help_with(&self) -> Option<ChunkJob> {
        let mut state = self.lock();
        if state.chunks < WAITING_CHUNKS {
            return None;
        }
        let Job::Chunk(chunk) = state.jobs.pop_if(|job| job.is_chunk())? else { return None };
        state.chunks -= 1;
        Some(chunk)
    }

    /// Returns a buffer for a chunk, used before if there is one.
    pub fn spare_buffer(&self) -> Vec<u8> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub fn recycle(&self, buffer: Vec<u8>) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
    }

    fn fail(&self, error: Error) {
        let mut state = self.lock();
        // All workers end with a cancelled run; the one that was reading may know why it took so long.
        let says_more = state.failure.as_ref().is_some_and(Error::is_cancelled) && !error.hints().is_empty();
        if state.failure.is_none() || says_more {
            state.failure = Some(error);
        }
        state.ended = true;
        state.jobs.clear();
        drop(state);
        self.wake.notify_all();
    }

    fn ended(&self) -> bool {
        self.lock().ended
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker<'_, '_> {
    fn perform(&mut self, job: Job) -> Result<()> {
        match job {
            Job::Scan(directory) => self.scan(&directory),
            Job::Files(batch) => self.read_batch(batch),
            Job::Chunk(chunk) => self.store_chunk(chunk),
        }
    }

    /// Hands a chunk to whoever is free; stores others here while too many wait.
    pub fn pass_on(&mut self, chunk: ChunkJob) -> Result<()> {
        if self.schedule.ended() {
            // Another worker failed and says why.
            return Err(Error::new(ErrorCode::CaptureFailed, "another part of the capture failed"));
        }
        self.schedule.push([Job::Chunk(chunk)]);
        while let Some(chunk) = self.schedule.chunk_to_help_with() {
            self.store_chunk(chunk)?;
        }
        Ok(())
    }

    /// Returns the nodes of a tree of the parent snapshot.
    pub fn read_tree(&mut self, id: Option<Id>) -> Result<Vec<Node>> {
        match id {
            Some(id) => Ok(self.schedule.trees.read(&mut self.scratch, &id)?.nodes),
            None => Ok(Vec::new()),
        }
    }

    /// Stores a blob of content or a tree, and counts what it added.
    pub fn store(&mut self, kind: BlobType, id: Id, plain: &[u8]) -> Result<()> {
        if let Some(stored) = self.schedule.writer.add(&mut self.encoder, kind, id, plain)? {
            let tally = &self.schedule.tally;
            let blobs = if kind == BlobType::Data { &tally.data_blobs } else { &tally.tree_blobs };
            blobs.fetch_add(1, Relaxed);
            tally.bytes_added.fetch_add(plain.len() as u64, Relaxed);
            tally.bytes_stored.fetch_add(stored, Relaxed);
        }
        Ok(())
    }
}
