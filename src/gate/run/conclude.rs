//! The way out: the verdict, the record, and what is given back.

use super::super::audit;
use super::super::copies;
use super::super::record;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::ledger::Ledger;
use crate::ledger::lease::Lease;
use crate::model::audit::AuditLink;
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{Manifest, Purpose};
use crate::storage::many::both;

use super::{Held, Outcome, Run};

impl Run<'_> {
    /// Computes the verdict, writes the record, gives back what is held.
    pub(super) fn conclude(&self, mut held: Held) -> Outcome {
        let ledger = Ledger::new(self.request.place.ledger_storage());
        let (end, mut holds_the_lease) = both(|| ledger.audit_end(), || self.still_holds(&held));
        self.draft(|draft| draft.audit = end.as_ref().ok().cloned());
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
        // Whoever asks the ledger for a pass must find its line: it comes before the record.
        let mut unrecorded = Vec::new();
        if !self.audit(&ledger, &manifest, end.map(Some), &mut unrecorded) {
            (manifest, exit) = self.verdict();
            self.audit(&ledger, &manifest, Ok(None), &mut unrecorded);
        }
        // Whoever takes the lines may have held the run up until it was to end.
        if let (ExitCode::Pass, Err(error)) = (exit, self.cancel.check()) {
            self.find([Finding::from_error(&error, FindingCode::InternalError)]);
            (manifest, exit) = self.verdict();
            self.audit(&ledger, &manifest, Ok(None), &mut unrecorded);
        }
        let signer = self.request.signer.as_ref();
        let mut recorded = if holds_the_lease {
            record::write_release(&ledger, &manifest, signer, || self.still_holds(&held))
        } else {
            Ok(false)
        };
        // Lost while the line was written, which may have said that it passed.
        if holds_the_lease && matches!(recorded, Ok(false)) {
            (manifest, exit) = self.verdict();
            self.audit(&ledger, &manifest, Ok(None), &mut unrecorded);
        }
        if matches!(recorded, Ok(false)) {
            recorded = ledger.record_attempt(&manifest).map(|_| false);
        }
        if let Err(error) = &recorded {
            self.find([Finding::refusal(FindingCode::RecordFailed, error.chain())]);
            let was = exit;
            (manifest, exit) = self.verdict();
            // The line before says that it passed.
            if was == ExitCode::Pass {
                self.audit(&ledger, &manifest, Ok(None), &mut unrecorded);
            }
        }
        if announces && exit != ExitCode::Pass {
            copies::step::withdraw(copies);
        }
        let in_ledger = matches!(recorded, Ok(true));
        let keeps_lease = self.request.keeps_lease && in_ledger && exit == ExitCode::Pass;
        // Whoever prunes now finds the record, and in it what must stay.
        let lock = held.lock.take();
        let (_, (copies, lease)) = both(
            || drop(lock),
            || {
                // That a copy may lack the record of a pass is said even if there is no time left to wait for it.
                let copies = if in_ledger && (exit == ExitCode::Pass || !self.cancel.is_cancelled()) {
                    copies::step::record_everywhere(&self.request.place, copies, &manifest, self.observer, self.cancel)
                } else {
                    Vec::new()
                };
                (copies, held.lease.take().filter(|_| keeps_lease))
            },
        );
        Outcome { manifest, exit, in_ledger, copies, lease, unrecorded }
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

    /// Writes the line of the audit, after the newest one, if that was looked for already; says whether everybody took it who
    /// must. Of a run that is refused anyway it is a warning that they did not: what refused it says more. Warnings go to
    /// `unrecorded`: the line names the digest of the manifest as it is.
    fn audit(
        &self,
        ledger: &Ledger,
        manifest: &Manifest,
        end: Result<Option<AuditLink>>,
        unrecorded: &mut Vec<Finding>,
    ) -> bool {
        let line = manifest
            .to_json()
            .map_err(|error| Error::new(ErrorCode::Internal, "cannot write the manifest").caused_by(error))
            .map(|json| audit::of_manifest(&self.request.auditor, manifest, &json));
        let auditor = &self.request.auditor;
        let mut found = line
            .and_then(|line| auditor.write(ledger, end?, &line))
            .unwrap_or_else(|error| vec![audit::unwritten(&error)]);
        if let Some(line) = audit::of_override(auditor, manifest) {
            let written = auditor.write(ledger, None, &line);
            found.extend(written.unwrap_or_else(|error| vec![audit::unwritten(&error)]));
        }
        // Nor does it keep anybody from a rollback, which saves the present state first.
        let only_said = self.refuses() || self.request.purpose == Purpose::Safety;
        let soften = |finding: Finding| if only_said { finding.softened() } else { finding };
        let (refusals, warnings): (Vec<_>, Vec<_>) =
            found.into_iter().map(soften).partition(|finding| finding.level == Level::Refusal);
        unrecorded.extend(warnings);
        let taken = refusals.is_empty();
        self.find(refusals);
        taken
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
