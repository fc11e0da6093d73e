//! Looking, and doing it: locks, events, and the engine.

use super::Request;
use super::archive;
use super::choice::Choice;
use super::facts;
use super::live::Running;
use super::mark::mark;
use super::plan::plan;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::gate::standing;
use crate::ledger::Ledger;
use crate::ledger::lease::{self, Lease, Owner};
use crate::model::finding::Finding;
use crate::model::progress::{Phase, Progress};
use crate::repository::lock::{LockGuard, LockKind};
use crate::repository::prune::Pruned;
use crate::repository::{Repository, Workers};
use jiff::{SignedDuration, Timestamp};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often a lease that somebody else holds is asked for.
const POLL: Duration = Duration::from_millis(500);
/// How far this machine's clock may be from the store's: ages are counted by it.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// What becomes of a prune that is stopped while it removes.
const LATER: &str = "the prune stops here, and the next one goes on: what it let go is marked";

/// What a prune would do, or did.
#[derive(Debug)]
pub struct Done {
    /// What stays and what goes.
    pub choice: Choice,
    /// How much that frees; what should go and stays for now.
    pub pruned: Pruned,
    /// What keeps it from being done at all, if something does.
    pub obstacle: Option<Finding>,
}

/// Finds out what a prune would do; nothing is changed.
///
/// # Errors
/// `probe-failed`: nobody knows what runs; `busy` if somebody removes something at this moment; `damaged`, naming what
/// snapshots that stay lack; the store's own; a cancellation.
pub fn look(request: &Request<'_>, cancel: &Cancel, runtime: &Handle) -> Result<Done> {
    let running = Running::observe(request, cancel, runtime)?;
    let ledger = Ledger::new(request.place.ledger_storage());
    let repository = repository(request)?;
    let lock = repository.lock(LockKind::Shared, request.patience, cancel)?;
    let mut facts = facts::gather(request, &ledger, &repository, &running, cancel)?;
    let (choice, plan) = plan(request, &repository, &mut facts, None, cancel)?;
    lock.release()?;
    let obstacle = obstacle(request, &ledger)?;
    Ok(Done { choice, pruned: Pruned { totals: *plan.totals(), left: plan.left().to_vec() }, obstacle })
}

/// Decides anew, tells `show` what will be done, and does it. Of what was `shown` before, nothing else goes.
///
/// # Errors
/// As [`look`]; `busy` if somebody works on the environment or in the repository, or it is frozen, or something else runs
/// than when the plan was made; `lease-lost`; `store-refused` if nothing can be deleted, `damaged` if what stays is not
/// whole, both before any release is marked; `not-found` or `copy-conflict` if the archive lacks something.
pub fn perform(
    request: &Request<'_>,
    shown: Option<&Choice>,
    show: &mut dyn FnMut(&Done) -> Result<()>,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<Done> {
    let ledger = Ledger::new(request.place.ledger_storage());
    let repository = repository(request)?;
    // Losing one of the two ends this work alone.
    let cancel = &cancel.child();
    let (lock, lease) = enter(request, &repository, cancel)?;
    check_clock(&ledger)?;
    refuse_if(obstacle(request, &ledger)?, "nothing was removed")?;
    let running = Running::observe(request, cancel, runtime)?;
    let mut facts = facts::gather(request, &ledger, &repository, &running, cancel)?;
    let (choice, plan) = plan(request, &repository, &mut facts, shown, cancel)?;
    if let Some(copy) = request.archive {
        archive::bring(request, copy, &repository, &choice.remove(), cancel)?;
    }
    let mut done =
        Done { choice, pruned: Pruned { totals: *plan.totals(), left: plan.left().to_vec() }, obstacle: None };
    show(&done)?;
    let progress = Progress::new();
    let workers = Workers { threads: repository.readers(), progress: &progress, cancel };
    let label = request.copy.map_or("repository", |copy| copy.name.as_str());
    request.observer.started(Phase::Prune, label, &progress, None);
    let pruned = plan.prepare(&lock, &workers).and_then(|prepared| {
        // That may have taken long, and neither a freeze nor a deployment by hand needs the lease.
        refuse_if(obstacle(request, &ledger)?, "nothing was removed")?;
        if running.is_changed_by(&Running::observe(request, cancel, runtime)?) {
            let message = "what runs changed since the prune was planned; nothing was removed";
            return Err(Error::new(ErrorCode::Busy, message).hint("run the command again"));
        }
        lock.confirm()?;
        mark(request, &ledger, &lease, &done.choice, cancel)?;
        // From here on nobody relies on what goes, and nobody can read it who does not wait for the lock.
        lease.release()?;
        prepared.remove(&lock, &workers, &mut || refuse_if(obstacle(request, &ledger)?, LATER))
    });
    request.observer.finished(Phase::Prune, label, if pruned.is_ok() { "pruned" } else { "failed" });
    done.pruned = pruned?;
    lock.release()?;
    Ok(done)
}

fn repository(request: &Request<'_>) -> Result<Repository> {
    let place = request.copy.map_or(request.place, |copy| &copy.place);
    // What is in a cache may be gone.
    place.clone().uncached().open()
}

/// Takes the exclusive lock, then the lease. While it waits for one of the two it holds neither.
fn enter(request: &Request<'_>, repository: &Repository, cancel: &Cancel) -> Result<(LockGuard, Lease)> {
    let began = Instant::now();
    let owner = Owner::current(None, request.run_url.clone())?.yielding();
    loop {
        let left = request.patience.saturating_sub(began.elapsed());
        let lock = repository.lock(LockKind::Exclusive, left, cancel)?;
        for lock in lock.removed() {
            let text = format!("removed the lock of a dead client: process {} on {}", lock.pid, lock.hostname);
            request.observer.note(&text);
        }
        match lease::acquire(request.place.ledger_storage(), owner.clone(), cancel) {
            Ok(acquired) => {
                if let Some(finding) = &acquired.finding {
                    request.observer.note(&format!("warning: {}", finding.message));
                }
                return Ok((lock, acquired.lease));
            }
            Err(error) if error.code() == ErrorCode::Busy => {
                // Its holder may be waiting for the lock.
                lock.release()?;
                if began.elapsed() >= request.patience {
                    return Err(error);
                }
                cancel.sleep(POLL)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes sure that this machine's clock is the store's, as well as it can: what is young by the one must not be old by the
/// other. The lease was written a moment ago.
fn check_clock(ledger: &Ledger) -> Result<()> {
    let written = ledger.storage().list("lease")?.into_iter().map(|entry| entry.modified).max();
    let Some(written) = written else { return Ok(()) };
    let apart = Timestamp::now().duration_since(written);
    if apart.abs() <= CLOCK_TOLERANCE {
        return Ok(());
    }
    let seconds = apart.as_secs();
    let which = if seconds > 0 { "ahead of" } else { "behind" };
    let message = format!("this machine's clock is {} s {which} the store's: ages cannot be told", seconds.abs());
    Err(Error::new(ErrorCode::Usage, message).hint("set both clocks by NTP"))
}

/// Says what keeps everybody from removing anything now: a freeze, or a deployment under way.
fn obstacle(request: &Request<'_>, ledger: &Ledger) -> Result<Option<Finding>> {
    let now = Timestamp::now();
    if let Some(freeze) = ledger.freeze_at(now)? {
        return Ok(Some(standing::frozen(request.environment, &freeze)));
    }
    Ok(ledger.claim()?.filter(|claim| claim.is_open(now)).map(|claim| standing::claimed(&claim)))
}

fn refuse_if(obstacle: Option<Finding>, what_of_it: &str) -> Result<()> {
    let Some(finding) = obstacle else { return Ok(()) };
    let error = Error::new(ErrorCode::Busy, format!("{}; {what_of_it}", finding.message));
    Err(finding.hint.into_iter().fold(error, Error::hint))
}
