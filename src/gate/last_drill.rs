//! What a gate may believe of the drills before it.

use super::request::Request;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::drills::StoredDrill;
use crate::model::finding::{Finding, FindingCode, Level};
use crate::signing::verify;

/// Returns the last drill of the environment that passed, and what there is to say of the newest ones.
///
/// # Errors
/// The store's own.
pub fn last(request: &Request, ledger: &Ledger) -> Result<(Option<StoredDrill>, Vec<Finding>)> {
    let last = ledger.last_drills()?;
    let mut findings = Vec::new();
    let mut believed = |stored: Option<Result<StoredDrill, String>>| match stored?
        .and_then(|stored| check(request, stored))
    {
        Ok(stored) => Some(stored),
        Err(why) => {
            let message = format!("the record of the last drill is not believed: {why}");
            findings.push(Finding::warning(FindingCode::LedgerDamaged, message).hint("run `holdpoint drill` again"));
            None
        }
    };
    let (passed, failed) = (believed(last.passed), believed(last.failed));
    // Whether it may be believed or not: what warns is heard from anybody.
    if let Some(StoredDrill { drill, at, .. }) = failed
        && let Some(why) = drill.findings.iter().find(|finding| finding.level == Level::Refusal)
    {
        let message = format!("the last drill, of {} at {at:.0}, failed: {}", drill.release, why.in_words());
        findings.push(Finding::warning(why.code, message).hint("mend that, and run `holdpoint drill` again"));
    }
    Ok((passed, findings))
}

fn check(request: &Request, stored: StoredDrill) -> Result<StoredDrill, String> {
    let drill = &stored.drill;
    if drill.application != request.application || drill.environment != request.environment {
        return Err(format!("it is about {} in {}", drill.application, drill.environment));
    }
    let Some(signers) = &request.signers else { return Ok(stored) };
    let Some(signature) = &stored.signature else { return Err("it has no signature".to_owned()) };
    match verify(&stored.bytes, signature, signers, &[stored.at]) {
        Ok(_) => Ok(stored),
        Err(doubt) => Err(doubt.to_string()),
    }
}
