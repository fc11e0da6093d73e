//! Legal holds: a release that somebody holds keeps its snapshots until the hold is lifted.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::gate::audit::Auditor;
use crate::ledger::Ledger;
use crate::ledger::events::{Event, EventRecord};
use crate::ledger::lease::{self, Lease, Owner};
use crate::model::finding::Finding;
use crate::model::release_id::ReleaseId;
use jiff::{SignedDuration, Timestamp};
use std::time::{Duration, Instant};

/// How long a run that holds the lease is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

/// Records that somebody holds a release, or lifts every hold of it; `event` makes the event of its time. It is done under
/// the lease of the environment, under which a prune decides: so it is either seen by it, or told that it comes too late.
/// Its time is later than that of everything else that happened to the release, whatever the clocks say, so that a hold
/// which comes after a lift holds. One that was let go from the store can be held as long as one of `copies` has it.
///
/// # Errors
/// `audit-failed`; `not-found` if the release was let go already; `busy` if another run has the lease all the time; the
/// store's own; a cancellation.
pub fn record(
    ledger: &Ledger,
    id: &ReleaseId,
    event: &dyn Fn(Timestamp) -> Event,
    copies: &[String],
    auditor: &Auditor,
    cancel: &Cancel,
) -> Result<(EventRecord, Vec<Finding>)> {
    let lease = take_lease(ledger, cancel)?;
    let before = ledger.events(id)?;
    let event = event(after(&before, Timestamp::now()));
    if matches!(event, Event::Held { .. })
        && let Some(at) = let_go(&before, copies)
    {
        let message = format!("{id} was let go by retention at {at:.0}: it cannot be held any more");
        return Err(Error::new(ErrorCode::NotFound, message)
            .hint("a hold has to come before the prune; see `holdpoint show` for where its snapshots were"));
    }
    lease.check()?;
    let record = auditor.record(ledger, id, &event)?;
    lease.release()?;
    Ok(record)
}

/// Returns `now`, or the first moment after all that happened, should a clock have been ahead of ours.
fn after(events: &[EventRecord], now: Timestamp) -> Timestamp {
    // The names of events tell microseconds.
    let next = |record: &EventRecord| record.event.at().checked_add(SignedDuration::from_micros(1)).ok();
    events.iter().filter_map(next).chain([now]).max().unwrap_or(now)
}

/// Returns when a release was let go, if neither the store nor any of `copies` has it any more.
fn let_go(events: &[EventRecord], copies: &[String]) -> Option<Timestamp> {
    let from = |place: Option<&str>| {
        events.iter().find_map(|record| match &record.event {
            Event::Pruned { at, copy, archive: None, .. } if copy.as_deref() == place => Some(*at),
            _ => None,
        })
    };
    from(None).filter(|_| copies.iter().all(|copy| from(Some(copy)).is_some()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn pruned(second: i64, copy: Option<&str>, archive: Option<&str>) -> EventRecord {
        let event = Event::Pruned {
            at: at(second),
            by: "ada".to_owned(),
            snapshots: Vec::new(),
            copy: copy.map(str::to_owned),
            archive: archive.map(str::to_owned),
        };
        EventRecord { name: "pruned".to_owned(), event }
    }

    #[test]
    fn a_hold_comes_after_all_that_happened_whatever_the_clocks_say() {
        assert_eq!(after(&[], at(0)), at(0));
        assert_eq!(after(&[pruned(-9, None, None), pruned(-5, None, None)], at(0)), at(0));
        let ahead = after(&[pruned(-9, None, None), pruned(60, None, None)], at(0));
        assert!(ahead > at(60) && ahead < at(61), "{ahead}");
    }

    #[test]
    fn what_a_copy_has_can_be_held_there() {
        let copies = ["near".to_owned(), "far".to_owned()];
        let store = pruned(0, None, None);
        let (near, far) = (pruned(1, Some("near"), None), pruned(2, Some("far"), None));
        assert_eq!(let_go(&[], &copies), None);
        assert_eq!(let_go(std::slice::from_ref(&store), &[]), Some(at(0)));
        assert_eq!(let_go(std::slice::from_ref(&store), &copies), None);
        assert_eq!(let_go(&[store.clone(), near.clone()], &copies), None);
        assert_eq!(let_go(&[store, near.clone(), far.clone()], &copies), Some(at(0)));
        assert_eq!(let_go(&[near, far], &copies), None, "the store has it");
        assert_eq!(let_go(&[pruned(0, None, Some("archive"))], &[]), None, "the archive has it");
    }
}
