//! A program that serves others until it is told to stop, such as a throw-away database server.

use super::group::{Running, Stdout};
use super::limit::Limit;
use super::program::Program;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, IoContext, Result};
use rustix::process::Signal;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The pause between two looks at a program that is to stop.
const PAUSE: Duration = Duration::from_millis(10);

/// A program that runs in the foreground, with nothing on standard input; what it says is kept as far as its last lines.
/// Dropping it ends it and its group: SIGTERM, a grace, SIGKILL.
#[derive(Debug)]
pub struct Service(Running);

impl Service {
    /// Starts the program. A cancellation of the run does not end it: whoever started it does.
    ///
    /// # Errors
    /// `process-failed`: it cannot be found or started.
    pub fn start(program: &Program) -> Result<Self> {
        let limit = Limit::new(&Cancel::new(), None);
        Running::start(program, Stdio::null(), Stdout::Tail, limit).map(Self)
    }

    /// Returns the process, which leads a group of its own.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Says whether the program has exited, without waiting for it.
    ///
    /// # Errors
    /// `io`: the system does not say.
    pub fn has_exited(&self) -> Result<bool> {
        self.0.has_exited().io_context(|| format!("cannot wait for {}", self.0.name()))
    }

    /// Sends the program itself, not its group, a signal, and waits at most `within` for its end; says whether it has
    /// ended.
    ///
    /// # Errors
    /// `io`: the system does not say.
    pub fn stop_by(&self, signal: Signal, within: Duration) -> Result<bool> {
        self.0.signal_itself(signal);
        self.ends_within(within)
    }

    /// Waits at most `within` for the end of the program; says whether it has ended.
    ///
    /// # Errors
    /// `io`: the system does not say.
    pub fn ends_within(&self, within: Duration) -> Result<bool> {
        let until = Instant::now() + within;
        while !self.has_exited()? {
            if Instant::now() >= until {
                return Ok(false);
            }
            std::thread::sleep(PAUSE);
        }
        Ok(true)
    }

    /// Ends the program and its group, if they still run, and returns how it ended in words, with its last lines.
    pub fn end(self) -> String {
        let name = self.0.name().to_owned();
        match self.0.end() {
            Ok(ended) => {
                let status = super::status::in_words(ended.status);
                match ended.tail.last_lines() {
                    Some(lines) => format!("{name} {status}: {lines}"),
                    None => format!("{name} {status}"),
                }
            }
            Err(error) => error.chain(),
        }
    }
}

impl Running {
    /// Ends the program and its group and returns how it exited and what it said.
    fn end(mut self) -> Result<super::group::Ended> {
        let status = self.end_group();
        let name = self.name().to_owned();
        let status =
            status.ok_or_else(|| Error::new(ErrorCode::ProcessFailed, format!("cannot learn how {name} ended")))?;
        Ok(self.ended(status))
    }
}
