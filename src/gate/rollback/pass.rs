//! The pass that lets the rollback's own deploy step through its freeze.

use super::Request;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::freeze::Freeze;
use crate::ledger::rollback_pass::{Deployment, RollbackPass};
use crate::model::finding::{Finding, FindingCode};
use jiff::Timestamp;

/// Says why no pass can be issued for the deploy step, if none can.
pub(super) fn why_none(request: &Request<'_>) -> Option<Finding> {
    let from = &request.given.manifest.release.from;
    let (why, hint) = match (&from.version, &from.commit, &request.run.signer, request.signers) {
        (None, ..) => return None,
        (_, None, ..) => (
            "the manifest does not tell the commit of the older version",
            "let the probe tell the commit (`commit` in [environment.NAME.deployed]), for the releases to come",
        ),
        (_, _, None, _) => ("no signing key is configured", "give the key by HOLDPOINT_SIGNING_KEY"),
        // What nobody vouches for must not be vouched for by us.
        (.., None) => (
            "nobody checked who signed the manifest",
            "name who may have signed by --allowed-signers or HOLDPOINT_ALLOWED_SIGNERS",
        ),
        (Some(_), Some(_), Some(_), Some(_)) => return None,
    };
    let message = format!("no rollback pass is issued: {why}; a redeploy that asks `holdpoint admit` is refused");
    Some(Finding::warning(FindingCode::RollbackPassMissing, message).hint(hint))
}

/// Issues the pass, if it can be issued.
///
/// # Errors
/// The store's own.
pub(super) fn issue(request: &Request<'_>, ledger: &Ledger, freeze: &Freeze) -> Result<()> {
    let manifest = &request.given.manifest;
    let from = &manifest.release.from;
    let (Some(version), Some(commit), Some(signer), Some(_)) =
        (&from.version, &from.commit, &request.run.signer, request.signers)
    else {
        return Ok(());
    };
    let of = Deployment {
        application: &request.run.application,
        environment: &request.run.environment,
        release: &manifest.id,
        version,
        commit,
        frozen_at: freeze.at,
    };
    let now = Timestamp::now();
    let pass = RollbackPass::new(&of, now, now + request.run.config.gate.claim_for).to_json()?;
    let signature = signer.sign(&pass)?;
    ledger.issue_rollback_pass(pass, signature)
}
