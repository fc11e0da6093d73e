//! One token that stops everything: engine threads, tasks and child processes.

use crate::error::{Error, ErrorCode, Result};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Why a run was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The deadline passed.
    Deadline,
    /// SIGINT arrived.
    Interrupt,
    /// SIGTERM arrived.
    Terminate,
    /// The lease was lost to another run.
    LeaseLost,
    /// Another part of the same run failed, so that this one's work is no longer wanted.
    Abandoned,
}

impl Reason {
    /// Returns how long children may take between SIGTERM and SIGKILL (design §3.4).
    pub fn grace(self) -> Duration {
        match self {
            Self::Interrupt | Self::Terminate => Duration::from_secs(2),
            Self::Deadline | Self::LeaseLost | Self::Abandoned => Duration::from_secs(5),
        }
    }

    fn to_error(self) -> Error {
        match self {
            Self::Deadline => Error::new(ErrorCode::DeadlinePassed, "the deadline passed"),
            Self::Interrupt => Error::new(ErrorCode::Interrupted, "interrupted by SIGINT"),
            Self::Terminate => Error::new(ErrorCode::Terminated, "terminated by SIGTERM"),
            Self::LeaseLost => Error::new(ErrorCode::LeaseLost, "the lease of this run was lost"),
            Self::Abandoned => Error::new(ErrorCode::CaptureFailed, "stopped because another part of the run failed"),
        }
    }
}

/// A handle on the cancellation of one run; clones share it, children can be cancelled alone.
#[derive(Debug, Clone)]
pub struct Cancel {
    token: CancellationToken,
    /// Reasons from the root of the run down to this token; the first one set speaks.
    reasons: Arc<Vec<Arc<OnceLock<Reason>>>>,
}

/// What cancels later, as long as it is held.
#[derive(Debug)]
pub struct Timer {
    _armed: Sender<()>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self { token: CancellationToken::new(), reasons: Arc::new(vec![Arc::default()]) }
    }
}

impl Cancel {
    /// Creates a token that nobody has cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a token that is cancelled with this one, and can be cancelled without it.
    #[must_use]
    pub fn child(&self) -> Self {
        let mut reasons = Vec::clone(&self.reasons);
        reasons.push(Arc::default());
        Self { token: self.token.child_token(), reasons: Arc::new(reasons) }
    }

    /// Cancels; the first reason stays.
    pub fn cancel(&self, reason: Reason) {
        if let Some(own) = self.reasons.last() {
            let _ = own.set(reason);
        }
        self.token.cancel();
    }

    /// Cancels by `reason` once `duration` is over, unless the answer is dropped before.
    ///
    /// # Errors
    /// `internal`: no thread to be had.
    pub fn after(&self, duration: Duration, reason: Reason) -> Result<Timer> {
        let (armed, dropped) = channel::<()>();
        let cancel = self.clone();
        let wait = move || {
            if dropped.recv_timeout(duration) == Err(RecvTimeoutError::Timeout) {
                cancel.cancel(reason);
            }
        };
        std::thread::Builder::new()
            .name("timer".to_owned())
            .spawn(wait)
            .map_err(|error| Error::new(ErrorCode::Internal, "cannot start a thread").caused_by(error))?;
        Ok(Timer { _armed: armed })
    }

    /// Returns why the run was cancelled, or `None` while it is not.
    pub fn reason(&self) -> Option<Reason> {
        if !self.token.is_cancelled() {
            return None;
        }
        Some(self.reasons.iter().find_map(|reason| reason.get().copied()).unwrap_or(Reason::Abandoned))
    }

    /// Says whether the run was cancelled; costs one atomic load.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Fails once the run was cancelled.
    ///
    /// # Errors
    /// The reason, as an error with the exit code of design §2.
    pub fn check(&self) -> Result<()> {
        match self.reason() {
            None => Ok(()),
            Some(reason) => Err(reason.to_error()),
        }
    }

    /// Waits until the run is cancelled.
    pub async fn cancelled(&self) -> Reason {
        self.token.cancelled().await;
        self.reason().unwrap_or(Reason::Abandoned)
    }

    /// Blocks the calling thread for `duration`, or until the run is cancelled.
    ///
    /// # Errors
    /// The reason of the cancellation, as [`Cancel::check`] gives it.
    pub fn sleep(&self, duration: Duration) -> Result<()> {
        let until = std::time::Instant::now() + duration;
        loop {
            self.check()?;
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(Duration::from_millis(20)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_cancels_while_it_is_held() {
        let (one, two) = (Cancel::new(), Cancel::new());
        let held = one.after(Duration::ZERO, Reason::Deadline).unwrap();
        drop(two.after(Duration::from_secs(3600), Reason::Deadline).unwrap());
        while !one.is_cancelled() {
            std::thread::yield_now();
        }
        assert_eq!(one.reason(), Some(Reason::Deadline));
        assert!(!two.is_cancelled());
        drop(held);
    }

    #[test]
    fn a_child_follows_its_parent_and_not_the_other_way() {
        let run = Cancel::new();
        let (one, two) = (run.child(), run.child());
        one.cancel(Reason::Abandoned);
        assert!(!run.is_cancelled() && !two.is_cancelled());
        run.cancel(Reason::Deadline);
        run.cancel(Reason::Interrupt);
        assert_eq!(two.reason(), Some(Reason::Deadline));
        assert_eq!(two.check().unwrap_err().code(), ErrorCode::DeadlinePassed);
    }
}
