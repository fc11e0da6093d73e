//! Legal holds: a release that somebody holds keeps its snapshots until the hold is lifted.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::gate::audit::Auditor;
use crate::ledger::Ledger;
use crate::ledger::events::{Event, EventRecord};
use crate::ledger::lease::{self, Lease, Owner};
use crate::model::finding::Finding;
use crate::model::release_id::ReleaseId;
use std::time::{Duration, Instant};

/// How long a run that holds the lease is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// Records that somebody holds a release. It is done under the lease of the environment, under which a prune decides: so it is
/// either seen by it, or told that it comes too late.
///
/// # Errors
/// `audit-failed`; `not-found` if the release was let go already; `busy` if another run has the lease all the time; the store's own; a
/// cancellation.
pub fn hold(
    ledger: &Ledger,
    id: &ReleaseId,
    held: &Event,
    auditor: &Auditor,
    cancel: &Cancel,
) -> Result<(EventRecord, Vec<Finding>)> {
    let lease = take_lease(ledger, cancel)?;
    let is_pruned = |record: &EventRecord| matches!(&record.event, Event::Pruned { copy: None, archive: None, .. });
    if let Some(pruned) = ledger.events(id)?.iter().find(|record| is_pruned(record)) {
        let message = format!("{id} was let go by retention at {:.0}: it cannot be held any more", pruned.event.at());
        return Err(Error::new(ErrorCode::NotFound, message)
            .hint("a copy of the store may have it still: see `holdpoint show` with --store COPY"));
    }
    lease.check()?;
    let record = auditor.record(ledger, id, held)?;
    lease.release()?;
    Ok(record)
}

fn take_lease(ledger: &Ledger, cancel: &Cancel) -> Result<Lease> {
    let owner = Owner::current(None, None)?.yielding();
    let began = Instant::now();
    loop {
        match lease::acquire(ledger.storage(), owner.clone(), cancel) {
            Ok(acquired) => return Ok(acquired.lease),
            Err(error) if error.code() == ErrorCode::Busy && began.elapsed() < PATIENCE => cancel.sleep(POLL)?,
            Err(error) => return Err(error),
        }
    }
}
