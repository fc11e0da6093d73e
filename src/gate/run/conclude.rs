//! The way out: the verdict, the record, and what is given back.

use super::super::copies;
use super::super::record;
use crate::error::{Error, ExitCode, Result};
use crate::ledger::Ledger;
use crate::ledger::lease::Lease;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Manifest;
use crate::storage::many::both;

use super::{Held, Outcome, Run};

impl Run<'_> {
    /// Computes the verdict, writes the record, gives back what is held.
    pub(super) fn conclude(&self, mut held: Held) -> Outcome {
        let ledger = Ledger::new(self.request.place.ledger_storage());
        if let Some(Err(error)) = held.lease.as_ref().map(Lease::check) {
            self.find([Finding::from_error(&error, FindingCode::LeaseLost)]);
        }
        let (mut manifest, mut exit) = self.draft(|draft| draft.clone()).finish(self.request);
        // The ledger must not say that a run passed whose caller has no manifest, so that comes first.
        if let Err(error) = record::write_local(self.request, &manifest) {
            (manifest, exit) = self.unrecorded(&error);
        }
        // Whoever supervises this run may have given it up meanwhile: then it did not pass.
        if let (ExitCode::Pass, Err(error)) = (exit, self.cancel.check()) {
            self.find([Finding::from_error(&error, FindingCode::InternalError)]);
            (manifest, exit) = self.draft(|draft| draft.clone()).finish(self.request);
            if let Err(error) = record::write_local(self.request, &manifest) {
                self.observer.note(&error.chain());
            }
        }
        let held_the_lease = held.lease.is_some();
        // A copy that must have the pass gets it before it is one: afterwards nothing could be refused any more.
        let mut copied = if exit == ExitCode::Pass && held_the_lease {
            copies::step::record_required(&self.request.copies, &manifest)
        } else {
            Ok(Vec::new())
        };
        if let Err((name, finding)) = &copied {
            self.find([finding.clone()]);
            // It may have failed only because the run was to end.
            if let Err(error) = self.cancel.check() {
                self.find([Finding::from_error(&error, FindingCode::InternalError)]);
            }
            self.draft(|draft| copies::step::mark_failed(&mut draft.copies, name, finding));
            (manifest, exit) = self.draft(|draft| draft.clone()).finish(self.request);
            if let Err(error) = record::write_local(self.request, &manifest) {
                self.observer.note(&error.chain());
            }
            copied = Ok(Vec::new());
        }
        // Whoever prunes now finds the snapshots; the lease stays until the record is there.
        let lock = held.lock.take();
        let gone = || -> Result<()> {
            drop(lock);
            Ok(())
        };
        let (_, recorded) = both(gone, || record::write_ledger(&ledger, &manifest, held_the_lease));
        if let Err(error) = &recorded {
            for copy in copied.iter().flatten() {
                copies::step::withdraw(copy, &manifest);
            }
            (manifest, exit) = self.unrecorded(error);
            if let Err(error) = record::write_local(self.request, &manifest) {
                self.observer.note(&error.chain());
            }
        }
        let in_ledger = recorded.is_ok() && held_the_lease;
        let copies = if in_ledger && !self.cancel.is_cancelled() {
            let (store, copies) = (&self.request.place, &self.request.copies);
            copies::step::record_everywhere(store, copies, &manifest, self.observer, self.cancel)
        } else {
            Vec::new()
        };
        drop(held);
        Outcome { manifest, exit, in_ledger, copies }
    }

    /// Returns the manifest of a run whose record could not be written somewhere.
    pub(super) fn unrecorded(&self, error: &Error) -> (Manifest, ExitCode) {
        self.find([Finding::refusal(FindingCode::RecordFailed, error.chain())]);
        self.draft(|draft| draft.clone()).finish(self.request)
    }
}
