//! Does the manifest describe what runs?

use super::super::survey::probe_runner;
use super::Request;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Instance;
use crate::model::reconciliation::{Outcome, Side};
use crate::policy::reconcile::compare;
use crate::release::probe;
use tokio::runtime::Handle;

/// What was seen to run.
#[derive(Debug)]
pub(super) struct Seen {
    /// In one sentence.
    pub(super) observed: String,
    /// What each instance answered.
    pub(super) instances: Vec<Instance>,
    /// What speaks against this manifest.
    pub(super) finding: Option<Finding>,
}

/// Observes what runs, and says what speaks against undoing this release.
///
/// # Errors
/// The store's own; a cancellation.
pub(super) fn look(request: &Request<'_>, ledger: &Ledger, cancel: &Cancel, runtime: &Handle) -> Result<Seen> {
    let manifest = &request.given.manifest;
    let instances = match &request.run.settings.deployed {
        Some(config) => {
            let runner = probe_runner(request.run.directory.clone());
            let observed = probe::observe(config, request.run.config.versioning, cancel, &runner);
            runtime.block_on(observed)?.instances
        }
        None => Vec::new(),
    };
    let accept = match manifest.reconciliation.expected {
        Side::To => manifest.reconciliation.accept.as_slice(),
        Side::From => &[],
    };
    let comparison = compare(&manifest.release, Side::To, accept, &instances);
    let observed = match instances.is_empty() {
        true => "no probe is configured: nothing was observed".to_owned(),
        false => comparison.explanation,
    };
    let why_not = match comparison.outcome {
        Outcome::Matched | Outcome::Partial => None,
        Outcome::Unchanged => not_begun(request, ledger)?,
        Outcome::Unknown => not_the_last(request, ledger)?,
        Outcome::Drifted => Some("this manifest does not describe what is running".to_owned()),
    };
    let finding = why_not.map(|why| {
        let finding = Finding::refusal(FindingCode::DeployedMismatch, format!("{observed}: {why}"));
        match &request.force {
            Some(reason) => {
                let message = format!("{}; going on all the same: {reason}", finding.message);
                Finding::warning(FindingCode::DeployedMismatch, message)
            }
            None => finding.hint(
                "see with `holdpoint releases` which release is deployed; to go on all the same, say --force REASON",
            ),
        }
    });
    Ok(Seen { observed, instances, finding })
}

/// Every instance runs the older version: that is a deployment which has not come to any instance yet, if there is one
/// under way; its migrations may have run. Else there is nothing to undo.
fn not_begun(request: &Request<'_>, ledger: &Ledger) -> Result<Option<String>> {
    let is_under_way = ledger.claim()?.is_some_and(|claim| claim.release == request.given.manifest.id);
    Ok((!is_under_way).then(|| "this release is not deployed, and no deployment of it is under way".to_owned()))
}

/// Nothing tells what runs: then only the release that was admitted last can be what is there.
fn not_the_last(request: &Request<'_>, ledger: &Ledger) -> Result<Option<String>> {
    let id = &request.given.manifest.id;
    let search = ledger.last_admitted()?;
    if let Some(record) = search.unreadable.first() {
        return Ok(Some(format!("release {} may have been admitted last, and cannot be read", record.id)));
    }
    Ok(match search.found {
        Some(last) if last.manifest.id == *id => None,
        Some(last) => {
            let last = &last.manifest;
            Some(format!("{} ({}) was admitted last, not {id}", last.release.to.version, last.id))
        }
        None => Some("no release of this environment was ever admitted, so nobody knows what is there".to_owned()),
    })
}
