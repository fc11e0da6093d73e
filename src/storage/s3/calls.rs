//! How a request is made: in turn, within time, again if that may help, and not at all once the run is over.

use super::failure::{Failure, Subject};
use crate::cancel::{Cancel, Reason};
use crate::error::{Error, ErrorCode, Result};
use backon::{BackoffBuilder, ExponentialBuilder};
use std::future::Future;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Tries of one operation: some twenty to thirty seconds, which a server that restarts or a full queue may need.
const ATTEMPTS: usize = 9;
/// Tries while the store has never answered: then it is more likely that it is named wrongly.
const FIRST_ATTEMPTS: usize = 4;
/// One operation with all its tries takes at most so many times as long as one request may.
const REQUESTS: u32 = 5;
/// The first pause, doubled before each later one, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long a run that was cancelled may still speak to the store once its children have had their time, to give back what
/// it holds and to write its record.
const WIND_UP: Duration = Duration::from_millis(1500);
/// How long one request may take once the store was found not to answer.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// Makes requests.
pub(super) struct Calls {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    cancel: Cancel,
    /// When the cancellation was first seen.
    cancelled_at: OnceLock<Instant>,
    turns: Semaphore,
    request_timeout: Duration,
    has_answered: AtomicBool,
    /// Whether the last operation failed after all its tries: then further ones get one short try.
    is_down: AtomicBool,
}

impl Calls {
    /// Starts the threads that requests need.
    pub(super) fn start(connections: usize, request_timeout: Duration, cancel: Cancel) -> Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(2).thread_name("s3").enable_all().build().map_err(|error| {
                Error::new(ErrorCode::Internal, "cannot start the threads of the store").caused_by(error)
            })?;
        Ok(Self {
            runtime: Some(runtime),
            cancel,
            cancelled_at: OnceLock::new(),
            turns: Semaphore::new(connections.max(1)),
            request_timeout,
            has_answered: AtomicBool::new(false),
            is_down: AtomicBool::new(false),
        })
    }

    /// Returns what ends the run.
    pub(super) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Runs something that is not a request of ours, such as building the client.
    pub(super) fn run<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.within_time(future)
    }

    /// Makes a request until the server answers it, or no other try may help; `attempt` gets the number of the try, from 0.
    ///
    /// # Errors
    /// What the last try came to, or the reason of a cancellation.
    pub(super) fn request<T>(
        &self,
        subject: &Subject<'_>,
        attempt: impl AsyncFn(usize) -> Result<T, Failure>,
    ) -> Result<Answered<T>> {
        self.within_time(async {
            let Ok(_turn) = self.turns.acquire().await else {
                return Err(Error::new(ErrorCode::Internal, "the store was closed"));
            };
            let mut pauses = ExponentialBuilder::new()
                .with_min_delay(FIRST_PAUSE)
                .with_max_delay(LONGEST_PAUSE)
                .with_max_times(self.attempts() - 1)
                .with_jitter()
                .build();
            let (began, most) = (Instant::now(), self.request_timeout.saturating_mul(REQUESTS));
            let mut number = 0;
            loop {
                let limit = if self.is_down.load(Relaxed) { LAST_LOOK } else { self.request_timeout };
                let failure = match timeout(limit, attempt(number)).await {
                    Ok(Ok(value)) => {
                        self.answered();
                        return Ok(Answered::Done(value));
                    }
                    Ok(Err(failure)) => failure,
                    Err(_) => {
                        let why = format!("no answer within {} s", limit.as_secs());
                        Failure::Transient(subject.unavailable(&why))
                    }
                };
                match failure {
                    Failure::Missing => {
                        self.answered();
                        return Ok(Answered::Missing);
                    }
                    Failure::Exists => {
                        self.answered();
                        return Ok(Answered::Exists { tries: number + 1 });
                    }
                    Failure::Final(error) => return Err(error),
                    Failure::Transient(error) => match pauses.next().filter(|_| began.elapsed() < most) {
                        Some(pause) => sleep(pause).await,
                        None => {
                            self.is_down.store(true, Relaxed);
                            return Err(error);
                        }
                    },
                }
                number += 1;
            }
        })
    }

    fn attempts(&self) -> usize {
        match (self.is_down.load(Relaxed), self.has_answered.load(Relaxed)) {
            (true, _) => 1,
            (false, false) => FIRST_ATTEMPTS,
            (false, true) => ATTEMPTS,
        }
    }

    fn answered(&self) {
        self.has_answered.store(true, Relaxed);
        self.is_down.store(false, Relaxed);
    }

    /// Runs `future` until the run is cancelled; for a run that was cancelled before, within what is left of [`WIND_UP`].
    fn within_time<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::new(ErrorCode::Internal, "the store was closed"))?;
        let was_cancelled = self.cancel.is_cancelled();
        let since = || self.cancelled_at.get_or_init(Instant::now).elapsed();
        let result = runtime.block_on(async {
            if was_cancelled {
                let whole = WIND_UP + self.cancel.reason().map_or(Duration::ZERO, Reason::grace);
                return timeout(whole.saturating_sub(since()), future).await.ok();
            }
            tokio::select! {
                result = future => Some(result),
                _ = self.cancel.cancelled() => None,
            }
        });
        result.unwrap_or_else(|| {
            since();
            self.cancel.check()?;
            Err(Error::new(ErrorCode::StoreUnavailable, "the run was over before the store answered"))
        })
    }
}

impl Drop for Calls {
    /// Does not wait for requests that nobody waits for.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl std::fmt::Debug for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

/// What a request came to, if the server answered it.
#[derive(Debug)]
pub(super) enum Answered<T> {
    /// It was done.
    Done(T),
    /// There is no such object.
    Missing,
    /// The object exists; after several tries, one of them may have written it.
    Exists {
        /// The tries.
        tries: usize,
    },
}

impl<T> Answered<T> {
    /// Returns what was found; `None` where there is nothing.
    pub(super) fn found(self) -> Option<T> {
        match self {
            Self::Done(value) => Some(value),
            Self::Missing | Self::Exists { .. } => None,
        }
    }
}
