//! What is not captured, because an older snapshot stands in.

use super::super::bases::Leaned;
use super::super::manifest;
use super::super::ruling::{Choice, scope};
use super::super::stand_in::{self, Candidate, Found, Proved, Sought};
use super::super::survey::Ready;
use super::super::verify::PackList;
use crate::error::{Error, Result};
use crate::ledger::{Ledger, Stored};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::From;
use crate::model::rule::Rule;
use crate::policy::paths::Patterns;
use crate::policy::reuse::{self, Deploy};
use crate::policy::schema;
use crate::release::git::WorkTree;
use crate::repository::Indexed;
use jiff::Timestamp;
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
        let sought = Sought::of(self.request, ready, choices);
        if sought.is_empty() {
            return Ok(Reused::default());
        }
        let rules: BTreeMap<_, _> = sought.iter().map(|sought| (sought.name(), sought.rule())).collect();
        let newest = last.filter(|_| self.request.is_captured_alike());
        let mut found = stand_in::find(self.request, sought, newest, ledger, Timestamp::now())?;
        self.look_for_deploys(&mut found, ready)?;
        let candidates: Vec<_> = found.candidates.iter().map(|(name, candidate)| (name.as_str(), candidate)).collect();
        let mut reused = Reused::default();
        if !candidates.is_empty() {
            let sizes = PackList::renewed(packs, indexed.repository())?.sizes();
            let proofs = stand_in::prove_all(self.request, &candidates, indexed, sizes, self.cancel)?;
            for ((name, candidate), proof) in candidates.iter().copied().zip(proofs) {
                match proof {
                    Ok(proved) => {
                        self.take(name, candidate, rules.get(name).copied().unwrap_or_default(), proved, &mut reused)
                    }
                    Err(error) => {
                        self.find([lost(name, candidate, &error)]);
                        found.reasons.insert(name.to_owned(), format!("is not whole in the store: {}", error.chain()));
                    }
                }
            }
        }
        for (name, why) in &found.reasons {
            let rule = rules.get(name.as_str()).copied().unwrap_or_default();
            let why = if why.starts_with("no ") { why.clone() } else { format!("the newest snapshot of it {why}") };
            let rule = Rule::fired(rule, format!("captured after all: {why}")).of_source(name.as_str());
            self.draft(|draft| draft.rules.push(rule));
        }
        self.draft(|draft| draft.measured.verify_seconds += clock.elapsed().as_secs_f64());
        Ok(reused)
    }

    fn take(&self, name: &str, candidate: &Candidate, rule: &str, proved: Proved, reused: &mut Reused) {
        let Proved { verification, leaned } = proved;
        self.record_of(name, |record| manifest::add_stand_in(record, candidate, rule, verification));
        let Candidate { release, captured_at, estimate, .. } = candidate;
        let outcome = format!("the snapshot of {captured_at:.0} (release {release}) stands in");
        let rule = Rule::fired(rule, outcome).of_source(name).saw("captured_at", captured_at.to_string());
        self.draft(|draft| {
            draft.rules.push(rule);
            draft.reckoned.extend(estimate.map(|seconds| (name.to_owned(), seconds)));
        });
        reused.sources.insert(name.to_owned());
        reused.leaned.extend(leaned);
    }

    /// Judges what was deployed since each capture; what it may have changed is captured again.
    fn look_for_deploys(&self, found: &mut Found, ready: &[Ready<'_>]) -> Result<()> {
        let from = self.draft(|draft| draft.from.clone());
        for (name, candidate) in std::mem::take(&mut found.candidates) {
            let since = reuse::since(&candidate.from, &from);
            let touches = match (&since, ready.iter().find(|ready| ready.config.name == name)) {
                (reuse::Since::Deployed { .. }, Some(ready)) => self.touches(ready, &candidate, &from)?,
                _ => None,
            };
            let migrates = !schema::versions(&candidate.record.content).is_empty();
            match reuse::deploy(&since, touches, migrates) {
                Deploy::Changed(why) => {
                    found.reasons.insert(name, why);
                    continue;
                }
                Deploy::Untold => self.find([untold(&name, &since)]),
                Deploy::Harmless => {}
            }
            found.candidates.insert(name, candidate);
        }
        Ok(())
    }

    /// Says whether what was deployed since the capture changed paths by which the source says that it is changed: the outer
    /// `None` if it says of none, the inner one if git cannot tell.
    fn touches(&self, ready: &Ready<'_>, candidate: &Candidate, from: &From) -> Result<Option<Option<bool>>> {
        let Some(lines) = &ready.config.when_changed else { return Ok(None) };
        let (Some(top), Some(then), Some(now)) = (&self.request.work_tree, &candidate.from.commit, &from.commit) else {
            return Ok(Some(None));
        };
        // What git cannot tell, the ruling has said already.
        let Ok(Some(tree)) = WorkTree::find(top) else { return Ok(Some(None)) };
        let changes = tree.changes(then, now);
        let patterns = Patterns::new(lines, &scope::directory(self.request))?;
        Ok(Some(changes.known().map(|paths| !patterns.matching(paths).is_empty())))
    }
}

/// Warns of a snapshot from before the last deploy, where nobody says what a deploy changes.
fn untold(name: &str, since: &reuse::Since) -> Finding {
    let what = match since {
        reuse::Since::Deployed { then, now } => format!("{then} ran then, and {now} runs now"),
        reuse::Since::Nothing => String::new(),
    };
    let message = format!("its older snapshot stands in, and is from before the last deploy: {what}");
    Finding::warning(FindingCode::StandInBeforeDeploy, message)
        .hint("if that deploy migrated it, the snapshot has the older schema: give the source when_changed, so that it is captured then")
        .of_source(name)
}

/// Warns of a snapshot that should be in the store: other releases rest on it, too.
fn lost(name: &str, candidate: &Candidate, error: &Error) -> Finding {
    let message = format!("the snapshot of the release {} is not whole any more: {}", candidate.release, error.chain());
    Finding::warning(FindingCode::SnapshotGone, message)
        .hint("it is captured anew; find out who removed it, and run `holdpoint check`")
        .of_source(name)
}
