//! `guard`: the deployment itself, between a pass and the look at what runs then.
//!
//! A pass of this very run needs no signature: nobody else had it in hands. It is used and claimed as `admit` does it, so
//! that no other deploy step is admitted, and one inside of the guarded command may ask as the same run.

use super::glass;
use super::request::Request;
use super::run::Outcome;
use super::standing;
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::Ledger;
use crate::ledger::claim::Claim;
use crate::ledger::events::Event;
use crate::model::finding::{Finding, Level};
use crate::model::manifest::Manifest;
use crate::policy::admission::judge_override;
use crate::policy::windows::judge_deploy;
use crate::signing::SigningKey;
use jiff::Timestamp;
use std::path::Path;

/// Uses the pass of a run that holds the lease still, and opens the claim for `run`. Returns what is worth knowing of the
/// line of the audit.
///
/// # Errors
/// `busy` if another deployment is under way, `policy-refused` if no window is open any more; the store's own.
pub fn open(request: &Request, outcome: &Outcome, run: &str) -> Result<Vec<Finding>> {
    let manifest = &outcome.manifest;
    let ledger = Ledger::new(request.place.ledger_storage());
    if let Some(lease) = &outcome.lease {
        lease.check()?;
    }
    let now = Timestamp::now();
    // The capture may have taken longer than the override lasts.
    if let Some(finding) = judge_override(manifest, now, None) {
        return Err(Error::new(ErrorCode::ManifestInvalid, finding.message).hint(finding.hint.unwrap_or_default()));
    }
    // The gate saw none when it began; since then it may have captured for a while.
    if let Some(freeze) = ledger.freeze_at(now)? {
        let finding = standing::frozen(&request.environment, &freeze);
        return Err(Error::new(ErrorCode::Busy, finding.message).hint(finding.hint.unwrap_or_default()));
    }
    // Nor does a window stay open for as long as a gate takes.
    let settings = &request.settings;
    let closed = judge_deploy(&request.environment, &settings.calendar, settings.deploy_takes, now);
    let closed = glass::by_pass(manifest.decision.overridden.as_ref(), closed.into_iter().collect());
    if let Some(finding) = closed.into_iter().find(|finding| finding.level == Level::Refusal) {
        return Err(Error::new(ErrorCode::PolicyRefused, finding.message).hint(finding.hint.unwrap_or_default()));
    }
    let old = ledger.claim()?;
    let busy = |claim: &Claim| {
        let finding = standing::claimed(claim);
        Error::new(ErrorCode::Busy, finding.message).hint(finding.hint.unwrap_or_default())
    };
    if let Some(claim) = old.as_ref().filter(|claim| claim.is_open(now)) {
        return Err(busy(claim));
    }
    let admitted = Event::Admitted {
        at: now,
        run: run.to_owned(),
        run_url: request.pipeline.run_url.clone(),
        actor: request.pipeline.actor.clone(),
        signer: None,
        key: request.signer.as_ref().map(SigningKey::fingerprint),
    };
    let found = request.auditor.write_event(&ledger, Some(&manifest.id), &admitted)?;
    if let Some(finding) = found.iter().find(|finding| finding.level == Level::Refusal) {
        let error = Error::new(ErrorCode::AuditFailed, finding.message.clone());
        return Err(error.hint(finding.hint.clone().unwrap_or_default()));
    }
    let claim = Claim {
        release: manifest.id.clone(),
        version: manifest.release.to.version.clone(),
        run: run.to_owned(),
        run_url: request.pipeline.run_url.clone(),
        opened_at: now,
        expires_at: now + request.config.gate.claim_for,
    };
    if !ledger.open_claim(&claim, old.as_ref())? {
        return Err(ledger.claim()?.as_ref().map_or_else(
            || Error::new(ErrorCode::Busy, "another deployment came and went at this moment").hint("start again"),
            busy,
        ));
    }
    let used = ledger.use_pass(&manifest.id, &admitted);
    if !matches!(used, Ok(Some(_))) {
        // Nothing is run: nobody should wait for it.
        let closed = ledger.close_claim(&manifest.id);
        used?;
        closed?;
        return Err(Error::new(ErrorCode::ManifestInvalid, format!("the pass {} was used already", manifest.id))
            .hint("run the gate again"));
    }
    Ok(found)
}

/// Records how the command ended.
///
/// # Errors
/// The store's own.
pub fn record(ledger: &Ledger, manifest: &Manifest, succeeded: bool, status: String) -> Result<()> {
    let event = Event::Guarded { at: Timestamp::now(), succeeded, status };
    ledger.record_event(&manifest.id, &event).map(drop)
}

/// Returns what the command gets beside the job's environment: what it deploys, and as which run it may ask `admit`.
pub fn variables(manifest: &Manifest, manifest_file: &Path, run: &str) -> Vec<(&'static str, String)> {
    let (from, to) = (&manifest.release.from, &manifest.release.to);
    let from_version = from.version.as_ref().map(|version| version.as_str().to_owned());
    vec![
        ("HOLDPOINT_RUN", run.to_owned()),
        ("HOLDPOINT_RELEASE_ID", manifest.id.to_string()),
        ("HOLDPOINT_ENVIRONMENT", manifest.environment.name.clone()),
        ("HOLDPOINT_RELEASE", to.version.as_str().to_owned()),
        ("HOLDPOINT_COMMIT", to.commit.clone()),
        ("HOLDPOINT_TO_VERSION", to.version.as_str().to_owned()),
        ("HOLDPOINT_FROM_VERSION", from_version.unwrap_or_default()),
        ("HOLDPOINT_FROM_COMMIT", from.commit.clone().unwrap_or_default()),
        ("HOLDPOINT_MANIFEST", manifest_file.display().to_string()),
    ]
}
