//! Bringing one copy up to date.

use super::super::place::Place;
use super::super::retention::{self, Arrivals};
use super::records::Records;
pub use super::records::Scope;
use super::{CopyStore, completed};
use crate::cancel::Cancel;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::model::progress::{Observer, Phase, Progress};
use crate::repository::copy::{CopyPlan, CopyReport, Tally, Trust};
use crate::repository::lock::LockKind;
use crate::repository::{Id, Indexed, Workers};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// The store that is copied, and how.
pub struct Bring<'a> {
    /// The store's part for the application and environment.
    pub store: &'a Place,
    /// Its repository, on which the caller holds a shared lock.
    pub indexed: &'a Indexed,
    /// Which records are copied; of the repository it is always everything.
    pub scope: Scope,
    /// Whether everything in the copy is read back, and not only what is new there.
    pub read_all: bool,
    /// Snapshots whose locks the caller sees to.
    pub kept: Vec<Id>,
    /// How long to wait for whoever locks the copy.
    pub patience: Duration,
    /// Shows progress.
    pub observer: &'a dyn Observer,
}

impl Bring<'_> {
    /// Copies what `copy` lacks and reads it back there. A copy that is whole afterwards is marked as that;
    /// one in which something was wrong loses its mark.
    ///
    /// # Errors
    /// `copy-conflict` if another repository is there, `busy` if somebody keeps others out of it, the storages' own; a
    /// cancellation. Damage and conflicts of single objects are in the report.
    pub fn perform(&self, copy: &CopyStore, cancel: &Cancel) -> Result<CopyReport> {
        // A lock at the copy that is lost ends the work on this copy alone.
        let cancel = cancel.child();
        let progress = Progress::new();
        let (tally, label) = (Tally::default(), format!("to {}", copy.name));
        let result = self.stages(copy, &tally, &label, &progress, &cancel);
        // The next run must trust nothing there by its size.
        let result =
            if tally.is_sound() { result } else { result.and(completed::remove(&*copy.place.ledger_storage())) };
        let report = tally.into_report();
        let whole = result.is_ok() && report.problems.is_empty();
        self.observer.finished(Phase::Copy, &label, if whole { "copied" } else { "failed" });
        result.map(|()| report)
    }

    fn stages(
        &self,
        copy: &CopyStore,
        tally: &Tally,
        label: &str,
        progress: &Arc<Progress>,
        cancel: &Cancel,
    ) -> Result<()> {
        let (source, to) = (self.indexed.repository(), copy.place.repository_storage());
        let ledger = copy.place.ledger_storage();
        // Asked first: all else could only do harm to another repository.
        source.is_at(&to)?;
        let trust = Trust { confirmed: completed::read(&*ledger)?, nothing: self.read_all };
        // What is written last is listed first, so that all it needs is in the later listings.
        let mut records = Records::list(self.store, &copy.place, &self.scope, &trust, cancel)?;
        source.copy_foundation(&to, &trust, tally, cancel)?;
        let lock = source.copy_at(Arc::clone(&to)).lock(LockKind::Shared, self.patience, cancel)?;
        let plan = CopyPlan::make(self.indexed, &to, &trust, tally, cancel)?;
        self.observer.started(Phase::Copy, label, progress, Some(plan.bytes()));
        let threads = source.storage().parallelism().reads.min(to.parallelism().uploads);
        let workers = Workers { threads, progress, cancel };
        let since = Timestamp::now();
        plan.perform(self.indexed, &to, &lock, tally, &workers)?;
        if tally.is_sound() {
            let mut snapshots = plan.arrivals();
            snapshots.retain(|id| !self.kept.contains(id));
            let releases = &Ledger::new(self.store.ledger_storage());
            let arrivals = Arrivals { snapshots, sent: plan.sent(), since, releases };
            retention::keep_arrivals(&source.copy_at(Arc::clone(&to)), &arrivals, self.indexed, &ledger, cancel)?;
        }
        // Records of snapshots that are not there would be of no use; but whoever asks for everything hears of everything.
        records.writes = tally.is_sound();
        if records.writes || self.read_all {
            records.perform(&trust, tally, &workers)?;
        }
        if tally.is_sound() {
            completed::write(&*ledger, &self.store.location())?;
        }
        lock.release()
    }
}
