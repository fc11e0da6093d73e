//! `admit`: may the deploy step, which asks now, deploy?
//!
//! It trusts the ledger for nothing but what a signature vouches for, and looks at everything again that may have changed
//! since the gate: the freeze, the snapshots, what is deployed. Using the pass and opening the claim happens under the
//! environment's lease, so that of two that ask at once one deploys.

mod approvals;
mod back;
mod checks;
mod evidence;
mod find;
mod take;

use super::audit::{self, Auditor};
use super::glass;
use super::place::Place;
use super::standing;
use crate::cancel::Cancel;
use crate::config::{EnvironmentConfig, ProbeConfig};
use crate::error::{ExitCode, Result};
use crate::ledger::claim::Claim;
use crate::ledger::events::Event;
use crate::ledger::rollback_pass::RollbackPass;
use crate::ledger::{Ledger, Stored};
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{Manifest, Override, Pipeline};
use crate::model::release_id::ReleaseId;
use crate::model::verdict::Verdict;
use crate::model::version::{Version, Versioning};
use crate::policy::admission::{Wanted, judge};
use crate::signing::{AllowedSigners, Signer};
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
    /// Whether nothing is deployed there any more.
    pub retired: bool,
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
    /// The keys that may approve, if they are known.
    pub approvers: Option<&'a AllowedSigners>,
    /// How many persons must approve by the configuration that is here, if any.
    pub approvals: Option<u32>,
    /// Which run of a pipeline asks.
    pub run: &'a str,
    /// What else is known of it.
    pub pipeline: &'a Pipeline,
    /// How what is deployed is observed, if it can be.
    pub probe: Option<&'a ProbeConfig>,
    /// What the configuration says of the environment; empty if it says nothing.
    pub settings: &'a EnvironmentConfig,
    /// The directory that a `command` probe runs in.
    pub directory: PathBuf,
    /// How versions are read.
    pub versioning: Versioning,
    /// How old a pass may be.
    pub valid_for: Duration,
    /// How long the deployment may take.
    pub claim_for: Duration,
    /// Who asks, and who is told of it.
    pub auditor: &'a Auditor,
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
    /// Returns the exit code that tells the decision: 0 only for whom a claim, or the pass of a rollback, stands.
    pub fn exit(&self) -> ExitCode {
        match Verdict::of(&self.findings).1 {
            ExitCode::Pass if self.claim.is_none() && self.back.is_none() => ExitCode::Busy,
            exit => exit,
        }
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
    findings.extend(standing::retired(request.environment, request.retired));
    let claim = claim.filter(|claim| claim.is_open(now));
    if let Some(freeze) = &freeze
        && let Some(admission) = back::admit(request, &ledger, (freeze, claim.as_ref()), now)?
    {
        return Ok(admission);
    }
    let Found { pass, others } = match found? {
        Ok(found) => found,
        Err(why) => {
            findings.extend(why);
            return Ok(Admission::refused(None, None, findings));
        }
    };
    // The same run may ask twice, as when the answer to its first question was lost.
    let again = claim.as_ref().is_some_and(|claim| claim.run == request.run && claim.release == pass.manifest.id);
    findings.extend(claim.as_ref().filter(|_| !again).map(standing::claimed));
    findings.extend(checks::window(request, again, now));
    let wanted = Wanted {
        application: request.application,
        environment: request.environment,
        version: request.version,
        commit: request.commit,
        config_digest: request.config_digest,
    };
    findings.extend(judge(&pass.manifest, &wanted));
    findings.extend(elsewhere(request, &pass.manifest));
    let signer = match checks::signature(request, &ledger, &pass, now)? {
        Ok(signer) => Some(signer),
        Err(finding) => {
            findings.push(finding);
            None
        }
    };
    let events = ledger.events(&pass.manifest.id)?;
    findings.extend(standing::let_go(&pass.manifest.id, &events));
    findings.extend(approvals::approved(request, &pass, signer.as_ref(), &events, now)?);
    let overridden = pass.manifest.decision.overridden.as_ref();
    findings.extend(overridden.map(by_override));
    findings = glass::by_pass(overridden, findings);
    if !again {
        findings.extend(checks::used(&pass.manifest, &events));
        findings.extend(checks::overtaken(&ledger, &pass.manifest, &others)?);
    }
    if !refuses(&findings) {
        // The snapshots and the running system know nothing of each other.
        let (evidence, deployed) = both(
            || evidence::snapshots(request.place, &pass.manifest, cancel),
            || if again { Ok(Vec::new()) } else { checks::deployed(request, &pass.manifest, cancel, runtime) },
        );
        findings.extend(evidence?);
        findings.extend(glass::by_pass(overridden, deployed?));
    }
    if refuses(&findings) {
        return Ok(Admission::refused(Some(pass), signer, findings));
    }
    let claim = claim.filter(|_| again);
    take::take(request, &ledger, (pass, signer, findings), claim, (cancel, runtime))
}

fn refuses(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.level == Level::Refusal)
}

/// Says that the pass rests on an override.
fn by_override(overridden: &Override) -> Finding {
    let Override { approved_by, reason, codes, .. } = overridden;
    let codes = codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join(", ");
    let message = format!("the pass was given by an OVERRIDE of {approved_by}: {codes}: {reason}");
    Finding::warning(FindingCode::Overridden, message)
}

/// Says so if the ledger is not the one that the gate wrote to: in a copy of it nobody would see that the pass is used.
fn elsewhere(request: &Request<'_>, pass: &Manifest) -> Option<Finding> {
    let (theirs, ours) = (&pass.store.location, request.place.location());
    (*theirs != ours).then(|| {
        let message = format!("the pass {} was made in the store {theirs}, and this is {ours}", pass.id);
        Finding::refusal(FindingCode::PassStore, message)
            .hint("name the gate's store by --store; a copy of it cannot tell which passes are used")
    })
}

/// Writes the line of an admission before it is one; what refuses is that nobody took it.
fn audited(request: &Request<'_>, ledger: &Ledger, id: &ReleaseId, admitted: &Event) -> Vec<Finding> {
    let written = request.auditor.write_event(ledger, Some(id), admitted);
    written.unwrap_or_else(|error| vec![audit::unwritten(&error)])
}
