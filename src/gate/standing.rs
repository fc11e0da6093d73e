//! What keeps everybody from deploying into an environment: a freeze, or a deployment that is under way.

use crate::error::{Error, ErrorCode, Result};
use crate::ledger::Ledger;
use crate::ledger::claim::Claim;
use crate::ledger::events::{Event, EventRecord};
use crate::ledger::freeze::Freeze;
use crate::model::finding::{Finding, FindingCode};
use crate::model::release_id::ReleaseId;

/// Says that an environment is frozen.
pub fn frozen(environment: &str, freeze: &Freeze) -> Finding {
    Finding::refusal(FindingCode::Frozen, format!("{environment} is {freeze}"))
        .hint(format!("when the reason is gone: holdpoint thaw --environment {environment} --reason TEXT"))
}

/// Says so if nothing is deployed into an environment any more.
pub fn retired(environment: &str, is_retired: bool) -> Option<Finding> {
    is_retired.then(|| {
        Finding::refusal(
            FindingCode::EnvironmentRetired,
            format!("{environment} is retired: nothing is deployed there"),
        )
        .hint(format!("take `retired` out of [environment.{environment}] if that is not so"))
    })
}

/// Says that retention let a release go: nobody can go back to it.
pub fn let_go(id: &ReleaseId, events: &[EventRecord]) -> Option<Finding> {
    let (at, archive) = events.iter().rev().find_map(|record| match &record.event {
        Event::Pruned { at, copy: None, archive, .. } => Some((at, archive)),
        _ => None,
    })?;
    let at = at.strftime("%Y-%m-%dT%H:%M:%SZ");
    let finding = |message: String| Finding::refusal(FindingCode::SnapshotGone, message);
    Some(match archive {
        Some(archive) => finding(format!("the snapshots of {id} were moved to the copy {archive} at {at}"))
            .hint("name that copy by --store"),
        None => finding(format!("retention let {id} go at {at}: its snapshots are removed"))
            .hint("list what is left with `holdpoint releases`; a copy of the store may have it still"),
    })
}

/// Says of a release whose snapshot is not there that retention let it go, if that is why.
pub fn explain(error: Error, ledger: &Ledger, id: &ReleaseId) -> Error {
    let finding = match error.code() {
        ErrorCode::NotFound => ledger.events(id).ok().and_then(|events| let_go(id, &events)),
        _ => None,
    };
    let Some(finding) = finding else { return error };
    let explained = Error::new(ErrorCode::NotFound, finding.message).caused_by(error);
    finding.hint.into_iter().fold(explained, Error::hint)
}

/// Makes sure that retention did not let a release go.
///
/// # Errors
/// `manifest-invalid`: it did; the store's own.
pub fn refuse_let_go(ledger: &Ledger, id: &ReleaseId) -> Result<()> {
    let Some(finding) = let_go(id, &ledger.events(id)?) else { return Ok(()) };
    let error = Error::new(ErrorCode::ManifestInvalid, finding.message);
    Err(finding.hint.into_iter().fold(error, Error::hint))
}

/// Says that a deployment is under way.
pub fn claimed(claim: &Claim) -> Finding {
    let second = |time: jiff::Timestamp| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let run = claim.run_url.as_ref().unwrap_or(&claim.run);
    let message = format!(
        "{} (release {}) was admitted at {} by {run}, and nobody has said yet what became of it",
        claim.version,
        claim.release,
        second(claim.opened_at),
    );
    Finding::refusal(FindingCode::Claimed, message).hint(format!(
        "when that deployment is over: holdpoint reconcile --id {} (with --expect from if it was undone); else the claim \
         ends at {}",
        claim.release,
        second(claim.expires_at)
    ))
}
