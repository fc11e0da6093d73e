//! The lease of one environment: at most one run at a time works on it (design §3).
//!
//! A lease is a row of create-only files `lease/N.json`; the highest N rules. Whoever creates N+1 has it, and of several
//! exactly one can. Holding is proved by creation alone; times only decide when a silent holder may be replaced:
//!
//! - *Acquire*: the highest file is missing, released, of a process proved dead, or expired → create N+1.
//!   Then create N+1 once more: a store that does not refuse that would let two runs have it.
//! - *Renew*: the holder creates N+1 with a later end, and deletes what is below.
//! - *Release*: the holder creates N+1 with `released`, and deletes what is below. That one file stays, so that numbers
//!   never start again: a slow run that still plans N+1 of long ago finds a higher file and stands back.
//!
//! Clocks: the end is the holder's time of day plus 60 s, compared with the time of day of whoever asks. A holder whose
//! clock is ahead, even one that acquired "in the future", therefore holds until that end; it is never taken for
//! expired early. A holder whose clock is behind by more than 45 s may be replaced while it lives: it notices at the next
//! renewal or [`Lease::check`], before anything is published. The holder itself trusts no time of day: its own end is
//! counted on a clock that only goes forward.

mod clock;
mod held;
mod owner;
mod record;
#[cfg(test)]
mod tests;

pub use clock::{Clock, SystemClock};
pub use held::Lease;
pub use owner::Owner;

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::storage::SharedStorage;
use jiff::Timestamp;
use record::{Claim, Files, Record};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a holder that is waited for is looked at.
const POLL: Duration = Duration::from_millis(100);

/// How long a lease lasts, and how often it is renewed.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long it lasts without renewal.
    pub duration: Duration,
    /// How often it is renewed.
    pub renew_every: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { duration: Duration::from_secs(60), renew_every: Duration::from_secs(15) }
    }
}

/// A lease that was just acquired.
#[derive(Debug)]
pub struct Acquired {
    /// The lease.
    pub lease: Lease,
    /// A warning, if it was taken over from a run that is dead or silent.
    pub finding: Option<Finding>,
}

/// Acquires the lease of the environment whose part of the store is `storage`, and renews it in the background until it
/// is released or dropped. If it is lost, `cancel` is cancelled with [`crate::cancel::Reason::LeaseLost`].
///
/// # Errors
/// `busy` if another run holds it, naming the holder; `store-unsafe` if the store cannot keep two runs apart; its own; or the reason of the cancellation.
pub fn acquire(storage: SharedStorage, owner: Owner, cancel: &Cancel) -> Result<Acquired> {
    acquire_within(storage, owner, Duration::ZERO, cancel)
}

/// [`acquire`], which waits as long as `patience` lasts for a holder that only removes what nobody needs.
///
/// # Errors
/// As [`acquire`].
pub fn acquire_within(storage: SharedStorage, owner: Owner, patience: Duration, cancel: &Cancel) -> Result<Acquired> {
    let began = Instant::now();
    loop {
        let error = match acquire_with(storage.clone(), owner.clone(), cancel, Arc::new(SystemClock), Terms::default())
        {
            Err(error) if error.code() == ErrorCode::Busy => error,
            result => return result,
        };
        let files = Files::new(storage.clone());
        let holder = files.read(files.highest()?)?;
        // One that is not there any more was renewed or given back since.
        if began.elapsed() >= patience || holder.is_some_and(|holder| !holder.owner.yields && !holder.released) {
            return Err(error);
        }
        cancel.sleep(POLL)?;
    }
}

/// [`acquire`] with a clock and terms of one's own.
///
/// # Errors
/// As [`acquire`].
pub fn acquire_with(
    storage: SharedStorage,
    owner: Owner,
    cancel: &Cancel,
    clock: Arc<dyn Clock>,
    terms: Terms,
) -> Result<Acquired> {
    let files = Files::new(storage);
    loop {
        cancel.check()?;
        let highest = files.highest()?;
        let holder = match highest {
            0 => None,
            number => match files.read(number)? {
                Some(record) => Some(record),
                // Renewed or released since it was listed.
                None => continue,
            },
        };
        let finding = match holder.filter(|record| !record.released) {
            None => None,
            Some(holder) => Some(take_over(&holder, &owner, clock.now())?),
        };
        let began = clock.elapsed();
        let record = held::record(&owner, clock.now(), clock.now(), terms)?;
        if files.claim(highest + 1, &record)? == Claim::Ours {
            files.prove_created_once(highest + 1, &record)?;
            files.delete_below(highest + 1)?;
            let lease = Lease::start(files, record, highest + 1, began, clock, terms, cancel.clone())?;
            return Ok(Acquired { lease, finding });
        }
        // Each round lost is one that another run won, so that the next look finds a holder.
    }
}

/// Says why the lease of `holder` may be taken.
///
/// # Errors
/// `busy` if it may not.
fn take_over(holder: &Record, me: &Owner, now: Timestamp) -> Result<Finding> {
    let who = describe(holder);
    let why = if holder.owner.is_proved_dead(me) {
        "which is dead: no such process on this host"
    } else if now > holder.expires_at {
        "which has not renewed it in time"
    } else {
        let message = format!(
            "another run holds this environment: {who}; its lease runs out at {} unless it is renewed",
            second(holder.expires_at)
        );
        let error =
            Error::new(ErrorCode::Busy, message).hint("wait until that run has ended, then start this one again");
        return Err(if holder.acquired_at > now {
            error.hint("that run's clock is ahead of this machine's: check both")
        } else {
            error
        });
    };
    let message = format!("took over the lease of {who}, {why}");
    Ok(Finding::warning(FindingCode::LeaseTakenOver, message)
        .hint("find out why that run ended without giving it back"))
}

fn describe(holder: &Record) -> String {
    let Owner { host, pid, release, run_url, .. } = &holder.owner;
    let mut text = format!("process {pid} on {host}");
    if let Some(release) = release {
        text += &format!(", release {release}");
    }
    if let Some(url) = run_url {
        text += &format!(", run {url}");
    }
    text + &format!(", since {}", second(holder.acquired_at))
}

/// Formats a time to the second, in UTC.
fn second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
