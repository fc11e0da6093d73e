//! Work on several threads: the first error ends it.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::progress::Progress;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// With what a piece of work is done.
#[derive(Debug, Clone, Copy)]
pub struct Workers<'a> {
    /// How many threads; at least one is used.
    pub threads: usize,
    /// Counts the bytes read from the store and the finished items.
    pub progress: &'a Progress,
    /// Ends the work early.
    pub cancel: &'a Cancel,
}

/// Keeps the first error of several threads, and tells the others to stop.
#[derive(Debug, Default)]
pub(super) struct FirstError {
    failed: AtomicBool,
    error: Mutex<Option<Error>>,
}

impl FirstError {
    pub(super) fn set(&self, error: Error) {
        self.failed.store(true, Relaxed);
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    pub(super) fn is_set(&self) -> bool {
        self.failed.load(Relaxed)
    }

    pub(super) fn into_result(self) -> Result<()> {
        match self.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Workers<'_> {
    /// Runs `work` on every thread at once and returns the first error.
    ///
    /// # Errors
    /// What `work` fails with; `internal` if it panics.
    pub(super) fn run(&self, work: impl Fn(&FirstError) -> Result<()> + Sync) -> Result<()> {
        let first = FirstError::default();
        let guarded = || {
            if let Err(error) = work(&first) {
                first.set(error);
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (1..self.threads.max(1)).map(|_| scope.spawn(guarded)).collect();
            guarded();
            for thread in threads {
                if thread.join().is_err() {
                    first.set(Error::new(ErrorCode::Internal, "a thread of the engine panicked"));
                }
            }
        });
        first.into_result()
    }

    /// Calls `work` for every item, in any order, with a state that each thread makes for itself.
    ///
    /// # Errors
    /// What `state` or `work` fails with first; a cancellation.
    pub fn each<T: Sync, S>(
        &self,
        items: &[T],
        state: impl Fn() -> Result<S> + Sync,
        work: impl Fn(&mut S, &T) -> Result<()> + Sync,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        self.run(|first| {
            let mut own = state()?;
            while let Some(item) = items.get(next.fetch_add(1, Relaxed)) {
                if first.is_set() {
                    break;
                }
                self.cancel.check()?;
                work(&mut own, item)?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Reason;

    #[test]
    fn every_item_is_worked_on_and_the_first_error_ends_it() {
        let (progress, cancel) = (Progress::default(), Cancel::new());
        let workers = Workers { threads: 3, progress: &progress, cancel: &cancel };
        let items: Vec<u64> = (0..100).collect();
        let add = |_: &mut (), item: &u64| {
            progress.add_bytes(*item);
            Ok(())
        };
        workers.each(&items, || Ok(()), add).unwrap();
        assert_eq!(progress.bytes(), 4950);
        let fail = |_: &mut (), item: &u64| match item {
            7 => Err(Error::new(ErrorCode::Damaged, "seven")),
            _ => Ok(()),
        };
        assert_eq!(workers.each(&items, || Ok(()), fail).unwrap_err().message(), "seven");
        cancel.cancel(Reason::Interrupt);
        assert_eq!(workers.each(&items, || Ok(()), add).unwrap_err().code(), ErrorCode::Interrupted);
    }

    /// What fails in consequence, later and on another thread, does not take the place of the cause.
    #[test]
    fn the_first_cause_is_what_is_told() {
        let (progress, cancel) = (Progress::default(), Cancel::new());
        let workers = Workers { threads: 3, progress: &progress, cancel: &cancel };
        let turn = AtomicUsize::new(0);
        let work = |first: &FirstError| {
            let message = match turn.fetch_add(1, Relaxed) {
                0 => "the cause",
                _ => {
                    while !first.is_set() {
                        std::thread::yield_now();
                    }
                    "a consequence"
                }
            };
            Err(Error::new(ErrorCode::Damaged, message))
        };
        assert_eq!(workers.run(work).unwrap_err().message(), "the cause");
        assert_eq!(turn.load(Relaxed), 3);
    }
}
