//! A lease that is held: renewed by a thread, checked before anything is published, given back at the end.

use super::owner::Owner;
use super::record::{Claim, Files, Record};
use super::{Clock, Terms};
use crate::cancel::{Cancel, Reason};
use crate::error::{Error, ErrorCode, Result};
use jiff::Timestamp;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Proof that this run works alone on its environment, for as long as [`Lease::check`] says so.
///
/// Dropping it gives the lease back as well as it can; [`Lease::release`] says whether that worked.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    renewer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
pub(super) struct Shared {
    files: Files,
    clock: Arc<dyn Clock>,
    terms: Terms,
    cancel: Cancel,
    state: Mutex<State>,
    /// Wakes the renewing thread when the lease ends.
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    /// Our newest file.
    number: u64,
    /// What it says.
    record: Record,
    /// When it ends, on the clock that only goes forward.
    ends: Duration,
    /// Why it is no longer ours.
    over: Option<Over>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    Released,
    Replaced,
    Expired,
}

/// Creates the content of a lease that lasts from `now`.
pub(super) fn record(owner: &Owner, acquired_at: Timestamp, now: Timestamp, terms: Terms) -> Result<Record> {
    let expires_at = now.checked_add(terms.duration).map_err(|error| {
        Error::new(ErrorCode::Internal, "the clock of this machine is beyond all calendars").caused_by(error)
    })?;
    Ok(Record { owner: owner.clone(), acquired_at, expires_at, released: false })
}

impl Lease {
    /// Starts to renew a lease that was acquired at `began` with file `number`.
    pub(super) fn start(
        files: Files,
        record: Record,
        number: u64,
        began: Duration,
        clock: Arc<dyn Clock>,
        terms: Terms,
        cancel: Cancel,
    ) -> Result<Self> {
        let state = Mutex::new(State { number, record, ends: began + terms.duration, over: None });
        let shared = Arc::new(Shared { files, clock, terms, cancel, state, ended: Condvar::new() });
        let mut lease = Self { shared: Arc::clone(&shared), renewer: None };
        let renewer = std::thread::Builder::new().name("lease".to_owned()).spawn(move || shared.keep());
        // On failure the lease is dropped, and with it given back.
        lease.renewer = Some(renewer.map_err(|error| {
            Error::new(ErrorCode::Internal, "cannot start the thread that renews the lease").caused_by(error)
        })?);
        Ok(lease)
    }

    /// Makes sure, by asking the store, that the lease is still ours.
    ///
    /// # Errors
    /// `lease-lost` if it is not, or the store's own.
    pub fn check(&self) -> Result<()> {
        let mut state = self.shared.lock();
        self.shared.check(&mut state)
    }

    /// Gives the lease back. One file stays, marked as released.
    ///
    /// # Errors
    /// `lease-lost` if it is no longer ours, or the store's own.
    pub fn release(self) -> Result<()> {
        self.shared.release()
    }

    #[cfg(test)]
    pub(super) fn renew(&self) -> Result<()> {
        self.shared.renew(&mut self.shared.lock())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; the lease then runs out by itself.
        let _ = self.shared.release();
        if let Some(renewer) = self.renewer.take() {
            let _ = renewer.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Renews until the lease ends; the body of the thread.
    fn keep(&self) {
        let mut pause = self.terms.renew_every;
        let mut state = self.lock();
        loop {
            // The lease may have ended before this thread first came to wait.
            let waited = self.ended.wait_timeout_while(state, pause, |state| state.over.is_none());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.over.is_some() {
                return;
            }
            pause = match self.renew(&mut state) {
                Ok(()) => self.terms.renew_every,
                Err(_) if state.over.is_some() => return,
                // The store may answer again before the lease ends.
                Err(_) => self.terms.renew_every / 5,
            };
        }
    }

    fn renew(&self, state: &mut State) -> Result<()> {
        self.check_time(state)?;
        let began = self.clock.elapsed();
        let next = record(&state.record.owner, state.record.acquired_at, self.clock.now(), self.terms)?;
        if self.files.claim(state.number + 1, &next)? == Claim::Theirs {
            return Err(self.lose(state, Over::Replaced));
        }
        state.number += 1;
        state.record = next;
        state.ends = began + self.terms.duration;
        // Old files mean nothing; what stays is deleted with the next renewal.
        let _ = self.files.delete_below(state.number);
        Ok(())
    }

    fn check(&self, state: &mut State) -> Result<()> {
        self.check_time(state)?;
        if self.files.highest()? == state.number {
            // The answer itself may have taken long.
            return self.check_time(state);
        }
        // A renewal whose answer was lost may have written the file above ours.
        self.renew(state)
    }

    fn check_time(&self, state: &mut State) -> Result<()> {
        if let Some(over) = state.over {
            return Err(lost(over));
        }
        if self.clock.elapsed() >= state.ends {
            return Err(self.lose(state, Over::Expired));
        }
        Ok(())
    }

    fn lose(&self, state: &mut State, over: Over) -> Error {
        state.over = Some(over);
        self.cancel.cancel(Reason::LeaseLost);
        self.ended.notify_all();
        lost(over)
    }

    fn release(&self) -> Result<()> {
        let mut state = self.lock();
        match state.over {
            Some(Over::Released) => return Ok(()),
            Some(over) => return Err(lost(over)),
            None => {}
        }
        // Whatever happens now, nothing more is done under this lease.
        state.over = Some(Over::Released);
        self.ended.notify_all();
        let last = Record { released: true, expires_at: self.clock.now(), ..state.record.clone() };
        // The file above ours may be an own renewal whose answer was lost: then the next one is free.
        for number in [state.number + 1, state.number + 2] {
            // Once it is written the lease is free: another run may have it before we look again.
            if self.files.create(number, &last)? {
                // Older ones, which a renewal could not delete, are the next run's to find.
                return (state.number..number).try_for_each(|old| self.files.delete(old));
            }
            // One that another run created is that run's lease: it is not ours to give back.
            if self.files.read(number)?.is_none_or(|above| above.owner.token != state.record.owner.token) {
                break;
            }
        }
        Err(lost(Over::Replaced))
    }
}

fn lost(over: Over) -> Error {
    let message = match over {
        Over::Released => "the lease of this run was given back already",
        Over::Replaced => "the lease of this run was lost: another run took it over",
        Over::Expired => "the lease of this run was lost: it could not be renewed in time",
    };
    Error::new(ErrorCode::LeaseLost, message).hint("start the run again; nothing was published after the loss")
}
