//! Did enough persons approve of the pass, other than who started the pipeline?

use super::Request;
use crate::error::Result;
use crate::gate::approval;
use crate::ledger::Stored;
use crate::ledger::events::{Event, EventRecord};
use crate::model::finding::{Finding, FindingCode};
use crate::policy::approval::{Bar, Vote, judge};
use crate::signing::{self, AllowedSigners, Signer};
use jiff::Timestamp;

/// Judges the approvals beside a pass; nothing where none is needed. The events are believed in nothing: every signature is
/// checked over the text that this pass makes.
///
/// # Errors
/// `internal` only.
pub(super) fn approved(
    request: &Request<'_>,
    pass: &Stored,
    signer: Option<&Signer>,
    events: &[EventRecord],
    now: Timestamp,
) -> Result<Option<Finding>> {
    // The signed manifest says how many; a configuration from outside of the checkout may say more.
    let wanted = pass.manifest.decision.policy.approvals.max(request.approvals);
    let Some(wanted) = wanted else { return Ok(None) };
    let Some(approvers) = request.approvers else {
        let message = "the release must be approved, and nobody is named here whose approval counts";
        return Ok(Some(
            Finding::refusal(FindingCode::RequireApproval, message)
                .hint("name the file of their keys by --approvers or HOLDPOINT_APPROVERS"),
        ));
    };
    let (votes, doubts) = votes(pass, events, approvers, now)?;
    let actors: Vec<_> =
        [&pass.manifest.pipeline.actor, &request.pipeline.actor].into_iter().flatten().map(String::as_str).collect();
    let bar = Bar {
        id: &pass.manifest.id,
        environment: request.environment,
        wanted: wanted as usize,
        actors: &actors,
        signer: signer.map(|signer| signer.fingerprint.as_str()),
    };
    Ok(Some(judge(&bar, &votes, doubts)))
}

/// Returns the approvals whose signatures are right, and why others are not.
fn votes(
    pass: &Stored,
    events: &[EventRecord],
    approvers: &AllowedSigners,
    now: Timestamp,
) -> Result<(Vec<Vote>, Vec<String>)> {
    let text = approval::of_release(pass)?;
    let (mut votes, mut doubts) = (Vec::new(), Vec::new());
    for record in events {
        let Event::Approved { signature, .. } = &record.event else { continue };
        // Without a time of its own: the key must count now.
        match signing::verify_for(signing::APPROVAL, text.as_bytes(), signature.as_bytes(), approvers, &[now]) {
            Ok(signer) => votes.push(Vote { principals: signer.principal, key: signer.fingerprint }),
            Err(doubt) => doubts.push(doubt.to_string()),
        }
    }
    Ok((votes, doubts))
}
