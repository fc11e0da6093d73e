//! A program whose standard output is read while it runs.

use super::group::{Running, Stdout};
use super::limit::Limit;
use super::program::Program;
use super::watch::Watcher;
use crate::cancel::Cancel;
use crate::error::{IoContext, Result};
use rustix::event::PollFlags;
use std::io::{PipeReader, Read};
use std::process::Stdio;

/// The size of a pipe in bytes; the kernel's default of 64 KiB means many switches between program and reader.
pub(super) const PIPE_SIZE: usize = 1024 * 1024;

/// The standard output of a running program. Reading fails once the run is cancelled, even if a process that escaped
/// keeps the pipe open; dropping it ends the program and its group.
#[derive(Debug)]
pub struct Stream {
    // Dropped in this order: the program is ended before its pipe is closed, so that it does not see a reader vanish.
    running: Running,
    stdout: PipeReader,
    watcher: Option<Watcher>,
}

impl Stream {
    /// Starts a program with nothing on standard input.
    ///
    /// # Errors
    /// `process-failed` if it cannot be found or started; the reason of a cancellation.
    pub fn start(program: &Program, cancel: &Cancel) -> Result<Self> {
        Self::start_within(program, Limit::new(cancel, None))
    }

    /// As [`Stream::start`]; the program is killed even if this process is.
    ///
    /// # Errors
    /// As those.
    pub fn start_watched(program: &Program, cancel: &Cancel) -> Result<Self> {
        let mut stream = Self::start(program, cancel)?;
        stream.watcher = Watcher::start(None);
        if let Some(watcher) = &mut stream.watcher {
            watcher.over(stream.running.group());
        }
        Ok(stream)
    }

    pub(super) fn start_within(program: &Program, limit: Limit) -> Result<Self> {
        let (stdout, writer) = std::io::pipe().io_context(|| "cannot make a pipe".to_owned())?;
        // Unprivileged users have a quota; a smaller pipe is only slower.
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_SIZE);
        let running = Running::start(program, Stdio::null(), Stdout::Pipe(writer), limit)?;
        Ok(Self { running, stdout, watcher: None })
    }

    /// Says whether the program has exited, without waiting for it.
    ///
    /// # Errors
    /// `io`: the system does not say.
    pub fn has_exited(&self) -> Result<bool> {
        self.running.has_exited().io_context(|| format!("cannot wait for {}", self.running.name()))
    }

    /// Waits for the program, whose output was read to its end, and fails unless it exited 0.
    ///
    /// # Errors
    /// `process-failed` with its status in words and its last lines on standard error; the reason of a cancellation.
    pub fn finish(self) -> Result<()> {
        self.wait()?.success()
    }

    pub(super) fn wait(self) -> Result<super::group::Ended> {
        let Self { running, stdout, watcher } = self;
        drop(stdout);
        let ended = running.wait();
        // Only now: until then there is something to watch over.
        drop(watcher);
        ended
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let limit = self.running.limit();
        limit.wait_for(&self.stdout, PollFlags::IN, self.running.name()).map_err(std::io::Error::other)?;
        self.stdout.read(buffer)
    }
}
