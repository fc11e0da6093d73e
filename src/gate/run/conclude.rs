//! The way out: the verdict, the record, and what is given back.

use super::super::copies;
use super::super::record;
use crate::error::{ExitCode, Result};
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
        let mut holds_the_lease = self.still_holds(&held);
        // The ledger must not say that a run passed whose caller has no manifest, so that comes first.
        let (mut manifest, mut exit) = self.verdict();
        // Whoever supervises this run may have given it up meanwhile: then it did not pass.
        if let (ExitCode::Pass, Err(error)) = (exit, self.cancel.check()) {
            self.find([Finding::from_error(&error, FindingCode::InternalError)]);
            (manifest, exit) = self.verdict();
        }
        // A copy that must have the pass takes it before it is one: afterwards nothing could be refused any more.
        let copies = &self.request.copies;
        let announces = exit == ExitCode::Pass && copies.iter().any(|copy| copy.required);
        if announces {
            if let Err((name, finding)) = copies::step::announce(copies, &manifest) {
                self.draft(|draft| copies::step::mark_failed(&mut draft.copies, &name, &finding));
                self.find([finding]);
                self.settle();
            }
            // That may have taken a while, or have failed only because the run was to end.
            holds_the_lease = self.still_holds(&held);
            let over = self.cancel.check().err();
            self.find(over.map(|error| Finding::from_error(&error, FindingCode::InternalError)));
            if self.refuses() {
                (manifest, exit) = self.verdict();
            }
        }
        // Whoever prunes now finds the snapshots; the lease stays until the record is there.
        let lock = held.lock.take();
        let gone = || -> Result<()> {
            drop(lock);
            Ok(())
        };
        let (_, recorded) =
            both(gone, || record::write_ledger(&ledger, &manifest, self.request.signer.as_ref(), holds_the_lease));
        if let Err(error) = &recorded {
            self.find([Finding::refusal(FindingCode::RecordFailed, error.chain())]);
            (manifest, exit) = self.verdict();
        }
        if announces && exit != ExitCode::Pass {
            copies::step::withdraw(copies);
        }
        let in_ledger = recorded.is_ok() && holds_the_lease;
        // That a copy may lack the record of a pass is said even if there is no time left to wait for it.
        let copies = if in_ledger && (exit == ExitCode::Pass || !self.cancel.is_cancelled()) {
            copies::step::record_everywhere(&self.request.place, copies, &manifest, self.observer, self.cancel)
        } else {
            Vec::new()
        };
        let keeps_lease = self.request.keeps_lease && in_ledger && exit == ExitCode::Pass;
        let lease = held.lease.take().filter(|_| keeps_lease);
        Outcome { manifest, exit, in_ledger, copies, lease }
    }

    /// Computes the verdict from what was found so far, and writes the record for the caller.
    fn verdict(&self) -> (Manifest, ExitCode) {
        let finished = || self.draft(|draft| draft.clone()).finish(self.request);
        let (manifest, exit) = finished();
        match record::write_local(self.request, &manifest) {
            Ok(()) => (manifest, exit),
            Err(error) => {
                self.find([Finding::refusal(FindingCode::RecordFailed, error.chain())]);
                finished()
            }
        }
    }

    /// Looks whether the run holds its lease: only who does adds to the chain. That it was lost is a finding.
    fn still_holds(&self, held: &Held) -> bool {
        match held.lease.as_ref().map(Lease::check) {
            None => false,
            Some(Ok(())) => true,
            Some(Err(error)) => {
                self.find([Finding::from_error(&error, FindingCode::LeaseLost)]);
                false
            }
        }
    }
}
