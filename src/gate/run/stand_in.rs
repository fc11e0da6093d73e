//! What is not captured, because an older snapshot stands in.

use super::super::bases::Leaned;
use super::super::manifest;
use super::super::ruling::Choice;
use super::super::stand_in::{self, Candidate, Proved, Reason};
use super::super::survey::Ready;
use super::super::verify::PackList;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, Stored};
use crate::model::finding::{Finding, FindingCode};
use crate::repository::Indexed;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::Run;

/// What needs no capture.
#[derive(Default)]
pub(super) struct Reused {
    /// The names of the sources.
    pub(super) sources: BTreeSet<String>,
    /// The snapshots that stand in for them, and what those lean on: to be kept as long as new ones.
    pub(super) leaned: Vec<Leaned>,
}

impl Run<'_> {
    /// Lets older snapshots stand in where the policy says so and this run has seen them to be whole in the store; everything
    /// else is to be captured, and the record says why.
    pub(super) fn stand_in(
        &self,
        ready: &[Ready<'_>],
        choices: &BTreeMap<String, Choice>,
        last: Option<&Stored>,
        ledger: &Ledger,
        (indexed, packs): (&Indexed, &mut Option<PackList>),
    ) -> Result<Reused> {
        let clock = Instant::now();
        let from = self.draft(|draft| draft.from.clone());
        let (mut found, findings) = stand_in::seek(self.request, ready, choices, &from, last, ledger)?;
        let candidates: Vec<_> = found.candidates.iter().map(|(name, candidate)| (name.as_str(), candidate)).collect();
        let mut reused = Reused::default();
        if !candidates.is_empty() {
            let sizes = PackList::renewed(packs, indexed.repository())?.sizes();
            let proofs = stand_in::prove_all(self.request, &candidates, indexed, sizes, self.cancel)?;
            for ((name, candidate), proof) in candidates.iter().copied().zip(proofs) {
                match proof {
                    Ok(proved) => self.take(name, candidate, proved, &mut reused),
                    Err(error) => {
                        self.find([lost(name, candidate, &error)]);
                        let why = format!("is not whole in the store: {}", error.chain());
                        found.reasons.insert(name.to_owned(), Reason::of(candidate, &why));
                    }
                }
            }
        }
        // Of what is captured after all there is nothing to warn of.
        let stands_in = |finding: &Finding| finding.source.as_ref().is_some_and(|name| reused.sources.contains(name));
        self.find(findings.into_iter().filter(stands_in));
        self.draft(|draft| {
            draft.rules.extend(found.reasons.iter().map(|(name, reason)| reason.as_rule(name)));
            draft.measured.verify_seconds += clock.elapsed().as_secs_f64();
        });
        Ok(reused)
    }

    fn take(&self, name: &str, candidate: &Candidate, proved: Proved, reused: &mut Reused) {
        let Proved { verification, leaned } = proved;
        self.record_of(name, |record| manifest::add_stand_in(record, candidate, verification));
        self.draft(|draft| {
            draft.rules.push(candidate.as_rule(name));
            draft.reckoned.extend(candidate.estimate.map(|seconds| (name.to_owned(), seconds)));
        });
        reused.sources.insert(name.to_owned());
        reused.leaned.extend(leaned);
    }
}

/// Warns of a snapshot that should be in the store: other releases rest on it, too.
fn lost(name: &str, candidate: &Candidate, error: &Error) -> Finding {
    let message = format!("the snapshot of the release {} is not whole any more: {}", candidate.release, error.chain());
    Finding::warning(FindingCode::SnapshotGone, message)
        .hint("it is captured anew; find out who removed it, and run `holdpoint check`")
        .of_source(name)
}
