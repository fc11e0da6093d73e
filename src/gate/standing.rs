//! What keeps everybody from deploying into an environment: a freeze, or a deployment that is under way.

use crate::ledger::claim::Claim;
use crate::ledger::freeze::Freeze;
use crate::model::finding::{Finding, FindingCode};

/// Says that an environment is frozen.
pub fn frozen(environment: &str, freeze: &Freeze) -> Finding {
    Finding::refusal(FindingCode::Frozen, format!("{environment} is {freeze}"))
        .hint(format!("when the reason is gone: holdpoint thaw --environment {environment} --reason TEXT"))
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
