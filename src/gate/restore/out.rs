//! Restoring to a writer, such as standard output: one stream as it was captured, or everything as a tar archive.

use super::super::stored::StoredStreams;
use super::{Restore, nothing_written};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::model::progress::{Phase, Progress};
use crate::repository::Id;
use crate::repository::restore::Restored;
use crate::repository::tar::{self, Selection};
use crate::source::Stored;
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// How much is read and written at once.
const CHUNK: usize = 256 * 1024;
/// How often a cancellation is looked for while nobody takes what is written.
const PAUSE: Duration = Duration::from_millis(50);

impl Restore<'_> {
    /// Returns the names of the files at the root of a snapshot of streams.
    ///
    /// # Errors
    /// As [`StoredStreams::of`].
    pub fn names(&self, root: Id) -> Result<Vec<String>> {
        Ok(StoredStreams::of(self.indexed, root, self.cancel)?.names().to_vec())
    }

    /// Writes one stream of a snapshot to `out`, byte for byte as it was captured.
    ///
    /// # Errors
    /// `restore-failed`, or the reason of a cancellation, once something was written: what `out` has is then not all of it
    /// and says so nowhere. Before that, `restore-failed` if something is damaged, and else the repository's own.
    pub fn stream_to(&self, label: &str, root: Id, name: &str, out: File) -> Result<Restored> {
        let streams = StoredStreams::of(self.indexed, root, self.cancel);
        let streams = streams.map_err(|error| nothing_written(label, error))?;
        let mut stream = streams.open(name).map_err(|error| nothing_written(label, error))?;
        self.pour(label, None, out, |out, progress| {
            let mut buffer = vec![0; CHUNK];
            let mut bytes = 0;
            loop {
                let count = match stream.read(&mut buffer) {
                    Ok(0) => return Ok(Restored { files: 1, bytes, ..Restored::default() }.anew()),
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error).io_context(|| "cannot read the snapshot".to_owned()),
                };
                out.write_all(buffer.get(..count).unwrap_or_default()).io_context(cannot)?;
                bytes += count as u64;
                progress.add_bytes(count as u64);
            }
        })
    }

    /// Writes a tree, or some paths of it, to `out` as a tar archive, with the paths that it would have below a directory.
    ///
    /// # Errors
    /// As [`Restore::stream_to`].
    pub fn archive_to(&self, label: &str, selection: Selection<'_>, out: File) -> Result<Restored> {
        let progress = Progress::new();
        let bytes = tar::size(self.indexed, selection, &self.workers(&progress));
        let bytes = bytes.map_err(|error| nothing_written(label, error))?;
        self.pour(label, Some(bytes), out, |out, progress| {
            tar::write(self.indexed, selection, &self.workers(progress), out)
        })
    }

    fn pour(
        &self,
        label: &str,
        bytes: Option<u64>,
        out: File,
        work: impl FnOnce(&mut Outlet, &Arc<Progress>) -> Result<Restored>,
    ) -> Result<Restored> {
        let progress = Progress::new();
        self.observer.started(Phase::Restore, label, &progress, bytes);
        let mut outlet = Outlet::start(out, self.cancel)?;
        let poured = work(&mut outlet, &progress).and_then(|restored| outlet.finish().map(|()| restored));
        self.observer.finished(Phase::Restore, label, if poured.is_ok() { "restored" } else { "failed" });
        poured.map_err(|error| match outlet.handed_over {
            0 => nothing_written(label, error),
            bytes => cut_off(label, bytes, error),
        })
    }
}

/// Says that what was written is not to be used.
fn cut_off(label: &str, bytes: u64, error: Error) -> Error {
    let message = format!("{label} is not complete: what was written so far, up to {bytes} bytes, must be thrown away");
    let code = if error.is_cancelled() { error.code() } else { ErrorCode::RestoreFailed };
    error.under(code, message).hint(
        "a program that reads from a pipe takes its end for the end of the data: undo what it did, and look at the exit \
         code of holdpoint as well (set -o pipefail)",
    )
}

/// Writes on a thread of its own: a reader that does not read must not keep a cancelled run alive.
struct Outlet {
    /// `None` once all was handed over.
    chunks: Option<Sender<Vec<u8>>>,
    end: Receiver<std::io::Result<()>>,
    cancel: Cancel,
    buffer: Vec<u8>,
    /// How many bytes were handed over for writing.
    handed_over: u64,
}

impl Outlet {
    fn start(mut out: File, cancel: &Cancel) -> Result<Self> {
        let (chunks, received) = bounded::<Vec<u8>>(4);
        let (ended, end) = bounded(1);
        let write = move || {
            let written = received.iter().try_for_each(|chunk| out.write_all(&chunk)).and_then(|()| sync(&out));
            // Whoever waited may have gone.
            let _ = ended.send(written);
        };
        let thread = std::thread::Builder::new().name("out".to_owned()).spawn(write);
        thread.io_context(|| "cannot start a thread".to_owned())?;
        let buffer = Vec::with_capacity(CHUNK);
        Ok(Self { chunks: Some(chunks), end, cancel: cancel.clone(), buffer, handed_over: 0 })
    }

    fn hand_over(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.handed_over += chunk.len() as u64;
        let Some(chunks) = &self.chunks else { return self.wait() };
        loop {
            self.cancel.check()?;
            match chunks.send_timeout(chunk, PAUSE) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(back)) => chunk = back,
                // It stopped, and says why.
                Err(SendTimeoutError::Disconnected(_)) => return self.wait(),
            }
        }
    }

    /// Writes what is left and returns once it is where it goes.
    fn finish(&mut self) -> Result<()> {
        self.hand_over()?;
        self.chunks = None;
        self.wait()
    }

    fn wait(&self) -> Result<()> {
        loop {
            self.cancel.check()?;
            match self.end.recv_timeout(PAUSE) {
                Ok(written) => return written.io_context(cannot),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(ErrorCode::Internal, "the thread that writes panicked"));
                }
            }
        }
    }
}

impl Write for Outlet {
    fn write(&mut self, data: &[u8]) -> std::io::Result<usize> {
        let room = CHUNK - self.buffer.len();
        let part = data.get(..room.min(data.len())).unwrap_or_default();
        self.buffer.extend_from_slice(part);
        if self.buffer.len() >= CHUNK {
            self.hand_over().map_err(std::io::Error::other)?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.hand_over().map_err(std::io::Error::other)
    }
}

/// Returns once a file is durable; pipes and the like have nothing to wait for.
fn sync(out: &File) -> std::io::Result<()> {
    if out.metadata()?.is_file() { out.sync_all() } else { Ok(()) }
}

fn cannot() -> String {
    "cannot write to standard output".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Reason;

    #[test]
    fn a_reader_that_does_not_read_or_goes_away_ends_it() {
        let (reader, writer) = std::io::pipe().unwrap();
        let cancel = Cancel::new();
        let mut outlet = Outlet::start(File::from(std::os::fd::OwnedFd::from(writer)), &cancel).unwrap();
        let stop = cancel.clone();
        std::thread::spawn(move || stop.cancel(Reason::Terminate));
        // More than a pipe and the channel hold.
        let error = std::iter::repeat_with(|| outlet.write_all(&[7; CHUNK])).find_map(Result::err).unwrap();
        let error = Err::<(), _>(error).io_context(cannot).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Terminated, "{}", error.chain());
        drop(reader);

        let (reader, writer) = std::io::pipe().unwrap();
        let mut outlet = Outlet::start(File::from(std::os::fd::OwnedFd::from(writer)), &Cancel::new()).unwrap();
        drop(reader);
        outlet.write_all(b"x").unwrap();
        let error = cut_off("orders", 1, outlet.finish().unwrap_err());
        assert_eq!(error.code(), ErrorCode::RestoreFailed);
        assert!(error.chain().contains("must be thrown away") && error.chain().contains("Broken pipe"), "{error}");
    }
}
