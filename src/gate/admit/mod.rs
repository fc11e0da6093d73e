//! `admit`: may the deploy step, which asks now, deploy?
//!
//! It trusts the ledger for nothing but what a signature vouches for, and looks at everything again that may have changed
//! since the gate: the freeze, the snapshots, what is deployed. Using the pass and opening the claim happens under the
//! environment's lease, so that of two that ask at once one deploys.

mod back;
mod evidence;
mod find;
mod take;

use super::place::Place;
use super::standing;
use super::survey::probe_runner;
use crate::cancel::Cancel;
use crate::config::ProbeConfig;
use crate::error::{ExitCode, Result};
use crate::ledger::claim::Claim;
use crate::ledger::events::{Event, EventRecord};
use crate::ledger::rollback_pass::RollbackPass;
use crate::ledger::{Ledger, Stored};
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{Manifest, Pipeline, ProbeKind};
use crate::model::reconciliation::{Outcome, Side};
use crate::model::verdict::Verdict;
use crate::model::version::{Version, Versioning};
use crate::policy::admission::{Wanted, judge};
use crate::policy::reconcile::compare;
use crate::release::probe;
use crate::signing::{AllowedSigners, Doubt, Signer, verify};
use crate::storage::many::both;
use find::Found;
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::Handle;

/// What is about to be deployed, and by whom.
#[derive(Debug)]
pub struct Request<'a> {
    /// The application.
    pub application: &'a str,
    /// The environment.
    pub environment: &'a str,
    /// The version.
    pub version: &'a Version,
    /// The commit, in full.
    pub commit: &'a str,
    /// Where the records and snapshots are.
    pub place: &'a Place,
    /// The digest of the configuration, if there is one.
    pub config_digest: Option<&'a str>,
    /// The keys that may have signed.
    pub signers: &'a AllowedSigners,
    /// Which run of a pipeline asks.
    pub run: &'a str,
    /// What else is known of it.
    pub pipeline: &'a Pipeline,
    /// How what is deployed is observed, if it can be.
    pub probe: Option<&'a ProbeConfig>,
    /// The directory that a `command` probe runs in.
    pub directory: PathBuf,
    /// How versions are read.
    pub versioning: Versioning,
    /// How old a pass may be.
    pub valid_for: Duration,
    /// How long the deployment may take.
    pub claim_for: Duration,
}

/// What was decided.
#[derive(Debug)]
pub struct Admission {
    /// The pass, if there is a record of the gate for this deployment.
    pub pass: Option<Stored>,
    /// Who signed it.
    pub signer: Option<Signer>,
    /// Everything that was found, refusals first.
    pub findings: Vec<Finding>,
    /// The claim that is open now for this run; `None` if it may not deploy.
    pub claim: Option<Claim>,
    /// The pass of the rollback that waits for this deployment; there is no claim then.
    pub back: Option<RollbackPass>,
}

impl Admission {
    /// Returns the exit code that tells the decision.
    pub fn exit(&self) -> ExitCode {
        Verdict::of(&self.findings).1
    }

    fn refused(pass: Option<Stored>, signer: Option<Signer>, findings: Vec<Finding>) -> Self {
        let mut admission = Self { pass, signer, findings, claim: None, back: None };
        admission.findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
        admission
    }
}

/// Decides, and marks the pass as used where the deployment may begin.
///
/// # Errors
/// The store's own; a cancellation. Whatever speaks against the deployment is a finding.
pub fn admit(request: &Request<'_>, cancel: &Cancel, runtime: &Handle) -> Result<Admission> {
    let ledger = Ledger::new(request.place.ledger_storage());
    let now = Timestamp::now();
    let (standing, found) = both(|| both(|| ledger.freeze_at(now), || ledger.claim()), || find::find(request, &ledger));
    let (freeze, claim) = (standing.0?, standing.1?);
    let mut findings: Vec<_> = freeze.iter().map(|freeze| standing::frozen(request.environment, freeze)).collect();
    let claim = claim.filter(|claim| claim.is_open(now));
    if let Some(freeze) = &freeze
        && let Some(admission) = back::admit(request, &ledger, (freeze, claim.as_ref()), now)?
    {
        return Ok(admission);
    }
    let Found { pass, newer } = match found? {
        Ok(found) => found,
        Err(why) => {
            findings.extend(why);
            return Ok(Admission::refused(None, None, findings));
        }
    };
    // The same run may ask twice, as when the answer to its first question was lost.
    let again = claim.as_ref().is_some_and(|claim| claim.run == request.run && claim.release == pass.manifest.id);
    findings.extend(claim.as_ref().filter(|_| !again).map(standing::claimed));
    let wanted = Wanted {
        application: request.application,
        environment: request.environment,
        version: request.version,
        commit: request.commit,
        config_digest: request.config_digest,
    };
    findings.extend(judge(&pass.manifest, &wanted));
    let signer = match signature(request, &ledger, &pass, now)? {
        Ok(signer) => Some(signer),
        Err(finding) => {
            findings.push(finding);
            None
        }
    };
    let events = ledger.events(&pass.manifest.id)?;
    if !again {
        findings.extend(used(&pass.manifest, &events));
        findings.extend(overtaken(&ledger, &newer)?);
    }
    if !refuses(&findings) {
        // The snapshots and the running system know nothing of each other.
        let (evidence, deployed) = both(
            || evidence::snapshots(request.place, &pass.manifest, cancel),
            || if again { Ok(Vec::new()) } else { deployed(request, &pass.manifest, cancel, runtime) },
        );
        findings.extend(evidence?);
        findings.extend(deployed?);
    }
    if refuses(&findings) {
        return Ok(Admission::refused(Some(pass), signer, findings));
    }
    let claim = claim.filter(|_| again);
    take::take(request, &ledger, (pass, signer, findings), claim, cancel)
}

fn refuses(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.level == Level::Refusal)
}

/// Checks who signed the pass, for when it was made and for now.
fn signature(request: &Request<'_>, ledger: &Ledger, pass: &Stored, now: Timestamp) -> Result<Result<Signer, Finding>> {
    let id = &pass.manifest.id;
    let Some(signature) = ledger.signature(id)? else {
        return Ok(Err(Finding::refusal(FindingCode::PassUnsigned, format!("the pass {id} has no signature"))
            .hint("give the gate a key: HOLDPOINT_SIGNING_KEY, or [signing] key_file")));
    };
    let verified = verify(&pass.bytes, &signature, request.signers, &[pass.manifest.created_at, now]);
    Ok(verified.map_err(|doubt| {
        let code = match &doubt {
            Doubt::Invalid(_) => FindingCode::SignatureInvalid,
            Doubt::NotAllowed(_) => FindingCode::SignerUnknown,
        };
        Finding::refusal(code, format!("the pass {id}: {doubt}"))
            .hint("find out who can write to the store, and run the gate again")
    }))
}

fn used(pass: &Manifest, events: &[EventRecord]) -> Option<Finding> {
    let (at, run) = events.iter().find_map(|record| match &record.event {
        Event::Admitted { at, run, run_url, .. } => Some((*at, run_url.as_ref().unwrap_or(run))),
        _ => None,
    })?;
    let at = at.strftime("%Y-%m-%dT%H:%M:%SZ");
    let message = format!("the pass {} was used already: at {at} by {run}", pass.id);
    Some(Finding::refusal(FindingCode::PassUsed, message).hint("a pass is for one deployment: run the gate again"))
}

/// Says so if a release that was recorded later was deployed since: then the pass is about a system that is gone.
fn overtaken(ledger: &Ledger, newer: &[Manifest]) -> Result<Option<Finding>> {
    for manifest in newer {
        let events = ledger.events(&manifest.id)?;
        if events.iter().any(|record| matches!(record.event, Event::Admitted { .. })) {
            let message =
                format!("{} ({}) was admitted since this pass was made", manifest.release.to.version, manifest.id);
            return Ok(Some(
                Finding::refusal(FindingCode::PassOvertaken, message).hint("run the gate again for what runs now"),
            ));
        }
    }
    Ok(None)
}

/// Looks whether the version that the gate saw is still the one that is deployed.
fn deployed(request: &Request<'_>, pass: &Manifest, cancel: &Cancel, runtime: &Handle) -> Result<Vec<Finding>> {
    let Some(probe) = request.probe else {
        let message = "no probe is configured: whether the version that the gate saw is still deployed is unknown";
        return Ok(vec![
            Finding::warning(FindingCode::ProbeMissing, message)
                .hint(format!("configure [environment.{}.deployed]", request.environment)),
        ]);
    };
    let runner = probe_runner(request.directory.clone());
    let observed = runtime.block_on(probe::observe(probe, request.versioning, cancel, &runner))?;
    let silent = observed.instances.iter().all(|instance| instance.version.is_none());
    let changed = |message: String| {
        Ok(vec![Finding::refusal(FindingCode::FromChanged, message).hint("run the gate again: it saved another state")])
    };
    if pass.release.from.probe == ProbeKind::First {
        if silent {
            return Ok(Vec::new());
        }
        return changed("the gate was told that nothing is deployed, and something answers".to_owned());
    }
    let comparison = compare(&pass.release, Side::From, &[], &observed.instances);
    match comparison.outcome {
        Outcome::Matched => Ok(Vec::new()),
        Outcome::Unknown if silent => Ok(vec![
            Finding::refusal(FindingCode::ProbeFailed, comparison.explanation)
                .hint("see that the application answers before something else is deployed over it"),
        ]),
        // The gate did not know what ran; it said so, and nothing can have changed that anybody knows of.
        Outcome::Unknown if pass.release.from.version.is_none() => {
            Ok(vec![Finding::warning(FindingCode::ProbeMissing, comparison.explanation)])
        }
        _ => changed(format!("since the gate the deployed version changed: {}", comparison.explanation)),
    }
}
