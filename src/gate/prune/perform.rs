//! Looking, and doing it: locks, events, and the engine.

use super::Request;
use super::archive;
use super::choice::{Choice, Release, choose};
use super::facts;
use super::live::Running;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::gate::standing;
use crate::ledger::Ledger;
use crate::ledger::events::Event;
use crate::ledger::lease::{self, Lease, Owner};
use crate::model::audit::{Action, Outcome};
use crate::model::finding::{Finding, Level};
use crate::model::progress::{Phase, Progress};
use crate::repository::lock::{LockGuard, LockKind};
use crate::repository::prune::{self, Left, Plan, Pruned, Why};
use crate::repository::{FileType, Id, Repository, Workers};
use crate::storage::many::ask_all;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often a lease that somebody else holds is asked for.
const POLL: Duration = Duration::from_millis(500);
/// How far this machine's clock may be from the store's: ages are counted by it.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

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
    let facts = facts::gather(request, &ledger, &repository, &running, cancel)?;
    let choice = choose(request, &facts, None, Timestamp::now());
    let (choice, plan) = plan(request, &repository, choice, cancel)?;
    lock.release()?;
    let obstacle = obstacle(request, &ledger)?;
    Ok(Done { choice, pruned: Pruned { totals: *plan.totals(), left: plan.left().to_vec() }, obstacle })
}

/// Decides anew, tells `show` what will be done, and does it. Of what was `shown` before, nothing else goes.
///
/// # Errors
/// As [`look`]; `busy` if somebody works on the environment or in the repository, or it is frozen; `lease-lost`;
/// `not-found` or `copy-conflict` if the archive lacks something.
pub fn perform(
    request: &Request<'_>,
    shown: Option<&Choice>,
    show: &mut dyn FnMut(&Done) -> Result<()>,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<Done> {
    let running = Running::observe(request, cancel, runtime)?;
    let ledger = Ledger::new(request.place.ledger_storage());
    let repository = repository(request)?;
    // Losing one of the two ends this work alone.
    let cancel = &cancel.child();
    let (lock, lease) = enter(request, &repository, cancel)?;
    check_clock(&ledger)?;
    refuse_if(obstacle(request, &ledger)?)?;
    let facts = facts::gather(request, &ledger, &repository, &running, cancel)?;
    let choice = choose(request, &facts, shown, Timestamp::now());
    if let Some(copy) = request.archive {
        archive::bring(request, copy, &repository, &choice.remove(), cancel)?;
    }
    let (choice, plan) = plan(request, &repository, choice, cancel)?;
    let mut done =
        Done { choice, pruned: Pruned { totals: *plan.totals(), left: plan.left().to_vec() }, obstacle: None };
    show(&done)?;
    // A freeze needs no lease: it may have come meanwhile.
    refuse_if(obstacle(request, &ledger)?)?;
    lease.check()?;
    mark(request, &ledger, &done.choice, cancel)?;
    // From here on nobody relies on what goes, and nobody can read it who does not wait for the lock.
    lease.release()?;
    let progress = Progress::new();
    let workers = Workers { threads: repository.readers(), progress: &progress, cancel };
    let label = request.copy.map_or("repository", |copy| copy.name.as_str());
    request.observer.started(Phase::Prune, label, &progress, None);
    let pruned = plan.perform(&lock, &workers);
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

fn refuse_if(obstacle: Option<Finding>) -> Result<()> {
    let Some(finding) = obstacle else { return Ok(()) };
    let error = Error::new(ErrorCode::Busy, format!("{}; nothing was removed", finding.message));
    Err(finding.hint.into_iter().fold(error, Error::hint))
}

/// Has the engine find out what goes. A release of which something is locked stays as a whole.
fn plan(request: &Request<'_>, repository: &Repository, mut choice: Choice, cancel: &Cancel) -> Result<(Choice, Plan)> {
    let progress = Arc::new(Progress::default());
    let workers = Workers { threads: repository.readers(), progress: &progress, cancel };
    choice.withhold(&locked(repository, &choice, cancel)?);
    loop {
        let plan = prune::plan(repository, &choice.remove(), &request.options, &workers)?;
        let is_locked = |left: &&Left| left.kind == FileType::Snapshot;
        let locked: BTreeMap<Id, String> =
            plan.left().iter().filter(is_locked).map(|left| (left.id, why(&left.why))).collect();
        let before = choice.remove();
        choice.withhold(&locked);
        // Every round keeps something more, so that the last one comes.
        if choice.remove() == before {
            return Ok((choice, plan));
        }
    }
}

/// Asks a store that locks until when what is to go is locked.
fn locked(repository: &Repository, choice: &Choice, cancel: &Cancel) -> Result<BTreeMap<Id, String>> {
    let storage = repository.storage();
    if storage.lock_terms().is_none() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<Id> = choice.remove().into_iter().collect();
    let until =
        ask_all(storage.parallelism().reads, &ids, cancel, |id| storage.locked_until(&FileType::Snapshot.key(id)))?;
    let now = Timestamp::now();
    let locked = ids.into_iter().zip(until).filter_map(|(id, until)| Some((id, until.filter(|until| *until > now)?)));
    Ok(locked.map(|(id, until)| (id, why(&Why::Locked(until)))).collect())
}

fn why(why: &Why) -> String {
    match why {
        Why::Locked(until) => format!("the store keeps it from being deleted until {until:.0}"),
        Why::Cold => "it lies in a storage class that cannot be read at once".to_owned(),
        Why::Refused(why) => format!("the store refuses to delete it: {why}"),
    }
}

/// Writes the one line of the audit that tells of all releases that go.
fn audit(request: &Request<'_>, ledger: &Ledger, at: Timestamp, going: &[&Release]) -> Result<()> {
    let line = request.auditor.line(Action::Prune, Outcome::Done).at(at).exits(ExitCode::Pass.number());
    let ids: Vec<_> = going.iter().map(|release| release.id.as_str()).collect();
    let line = line.detail("releases", ids.join(" "));
    let line = request.copy.iter().fold(line, |line, copy| line.detail("copy", &copy.name));
    let line = request.archive.iter().fold(line, |line, archive| line.detail("archive", &archive.name));
    for finding in request.auditor.write(ledger, None, &line)? {
        if finding.level == Level::Refusal {
            return Err(Error::new(ErrorCode::AuditFailed, finding.message).hint(finding.hint.unwrap_or_default()));
        }
        request.observer.note(&format!("warning: {}", finding.message));
    }
    Ok(())
}

/// Writes beside each release that goes that it does.
fn mark(request: &Request<'_>, ledger: &Ledger, choice: &Choice, cancel: &Cancel) -> Result<()> {
    let at = Timestamp::now();
    let going: Vec<_> = choice.let_go().collect();
    audit(request, ledger, at, &going)?;
    ask_all(ledger.storage().parallelism().uploads, &going, cancel, |release| {
        let event = Event::Pruned {
            at,
            by: request.by.clone(),
            snapshots: release.snapshots.iter().map(ToString::to_string).collect(),
            copy: request.copy.map(|copy| copy.name.clone()),
            archive: request.archive.map(|copy| copy.name.clone()),
        };
        ledger.record_event(&release.id, &event)
    })?;
    Ok(())
}
