//! Programs that are run to their end: for what they print, or for what they are fed.

use super::group::{Ended, Running, Stdout};
use super::limit::Limit;
use super::program::Program;
use super::stream::{PIPE_SIZE, Stream};
use super::tail::Tail;
use super::watch::Watcher;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, IoContext, Result};
use rustix::event::PollFlags;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::io::{ErrorKind, PipeWriter, Read, Write};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

/// How much is read at once of what a program is fed.
const CHUNK: usize = 256 * 1024;

/// What a program left.
#[derive(Debug)]
pub struct Output {
    /// Everything that it printed.
    pub stdout: Vec<u8>,
    ended: Ended,
}

impl Output {
    /// Returns how it exited.
    pub fn status(&self) -> ExitStatus {
        self.ended.status
    }

    /// Returns the end of what it said on standard error, without secrets.
    pub fn stderr(&self) -> &Tail {
        &self.ended.tail
    }

    /// Returns what it printed, if it exited 0.
    ///
    /// # Errors
    /// `process-failed` with its status in words and its last lines on standard error.
    pub fn into_stdout(self) -> Result<Vec<u8>> {
        self.ended.success()?;
        Ok(self.stdout)
    }
}

/// Runs a program with nothing on standard input and collects what it prints, at most `limit_bytes`.
///
/// # Errors
/// `process-failed` if it cannot be started, prints more, or does not end within `timeout`; the reason of a
/// cancellation. How it exited is for the caller to judge.
pub fn run_to_end(program: &Program, timeout: Duration, cancel: &Cancel, limit_bytes: u64) -> Result<Output> {
    let mut stream = Stream::start_within(program, Limit::new(cancel, Some(timeout)))?;
    let mut stdout = Vec::new();
    let most = limit_bytes.saturating_add(1);
    stream
        .by_ref()
        .take(most)
        .read_to_end(&mut stdout)
        .io_context(|| format!("cannot read what {} prints", program.name()))?;
    if stdout.len() as u64 > limit_bytes {
        let text = format!("{} printed more than {limit_bytes} bytes", program.name());
        return Err(Error::new(ErrorCode::ProcessFailed, text));
    }
    Ok(Output { stdout, ended: stream.wait()? })
}

/// Runs a program with `input` on standard input, and fails unless it exited 0. A program that ends early has read all
/// it wanted: its exit status decides.
///
/// # Errors
/// `process-failed` if it cannot be started or fails, with its last lines on both outputs; the reason of a
/// cancellation; the error of `input`, after which the program is ended before it can take the end for complete. So it is
/// if this process is killed.
pub fn feed(program: &Program, input: &mut dyn Read, cancel: &Cancel) -> Result<()> {
    let (reader, mut stdin) = std::io::pipe().io_context(|| "cannot make a pipe".to_owned())?;
    // Unprivileged users have a quota; a smaller pipe is only slower.
    let _ = rustix::pipe::fcntl_setpipe_size(&stdin, PIPE_SIZE);
    // A blocking write of more than fits could not be cancelled. The program's end of the pipe still blocks.
    set_nonblocking(&stdin).io_context(|| "cannot set up a pipe".to_owned())?;
    // If we are killed, the program is ended before its input is closed.
    let mut watcher = Watcher::start(Some(&stdin));
    // Declared after both, so that on an error the program is ended before its input is closed.
    let running = Running::start(program, Stdio::from(reader), Stdout::Tail, Limit::new(cancel, None))?;
    if let Some(watcher) = &mut watcher {
        watcher.over(running.group());
    }
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).io_context(|| format!("cannot read the input of {}", running.name())),
        };
        if !write_all(&running, &mut stdin, buffer.get(..count).unwrap_or_default())? {
            break;
        }
    }
    drop((stdin, watcher));
    running.wait()?.success()
}

/// Runs a program with nothing on standard input and shows all that it prints on standard error, and fails unless it
/// exited 0.
///
/// # Errors
/// `process-failed` if it cannot be started or fails, with its status in words; the reason of a cancellation.
pub fn run_shown(program: &Program, cancel: &Cancel) -> Result<()> {
    Running::start(program, Stdio::null(), Stdout::Shown, Limit::new(cancel, None))?.wait()?.success()
}

/// Writes everything; returns false if the program does not read any more.
fn write_all(running: &Running, stdin: &mut PipeWriter, mut data: &[u8]) -> Result<bool> {
    while !data.is_empty() {
        running.limit().wait_for(stdin, PollFlags::OUT, running.name())?;
        match stdin.write(data) {
            Ok(count) => data = data.get(count..).unwrap_or_default(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(false),
            Err(error) => return Err(error).io_context(|| format!("cannot write to {}", running.name())),
        }
    }
    Ok(true)
}

fn set_nonblocking(pipe: &PipeWriter) -> rustix::io::Result<()> {
    fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)
}
