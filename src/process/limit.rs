//! How long to wait for a program: until the run is cancelled, or its own time is up.

use crate::cancel::{Cancel, Reason};
use crate::error::{Error, ErrorCode, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The longest wait that does not look at the cancellation.
pub(super) const SLICE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// What ends the patience with one program.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    cancel: Cancel,
    own: Option<(Instant, Duration)>,
}

impl Limit {
    /// Waits until `cancel` says otherwise, or for `timeout` if there is one.
    pub(super) fn new(cancel: &Cancel, timeout: Option<Duration>) -> Self {
        // A timeout too long for the clock is none.
        let own = timeout.and_then(|timeout| Some((Instant::now().checked_add(timeout)?, timeout)));
        Self { cancel: cancel.clone(), own }
    }

    /// Fails once `program` had its time.
    pub(super) fn check(&self, program: &str) -> Result<()> {
        self.cancel.check()?;
        match self.own {
            Some((until, timeout)) if Instant::now() >= until => {
                let timeout = humantime::format_duration(timeout);
                Err(Error::new(ErrorCode::ProcessFailed, format!("{program} did not end within {timeout}")))
            }
            _ => Ok(()),
        }
    }

    /// Returns how long the program may take between SIGTERM and SIGKILL.
    pub(super) fn grace(&self) -> Duration {
        self.cancel.reason().unwrap_or(Reason::Abandoned).grace()
    }

    /// Blocks until `end` of a pipe is ready (or closed at the other side), in slices that see the limit.
    pub(super) fn wait_for(&self, end: &impl AsFd, flags: PollFlags, program: &str) -> Result<()> {
        loop {
            self.check(program)?;
            match poll(&mut [PollFd::new(end, flags)], Some(&SLICE)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(()),
                Err(error) => {
                    let error = std::io::Error::from(error);
                    return Err(Error::new(ErrorCode::Io, format!("cannot wait for {program}")).caused_by(error));
                }
            }
        }
    }
}
