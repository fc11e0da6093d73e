//! The record of a drill: an event beside the manifest, signed as manifests are.

use super::super::audit::unwritten;
use super::{Outcome, Request};
use crate::ledger::Ledger;
use crate::ledger::events::Event;
use crate::model::drill::{Drill, DrillResult};
use crate::model::finding::{Finding, FindingCode, Level};
use jiff::Timestamp;

/// Ends what was found with the result, and writes it to the ledger. That it could not be written is a finding, too.
pub(super) fn record(request: &Request, mut drill: Drill) -> Outcome {
    if request.signer.is_none() {
        let message = "the record of the drill is not signed: no signing key is configured";
        drill.findings.push(
            Finding::warning(FindingCode::Unsigned, message)
                .hint("give the drill a key by HOLDPOINT_SIGNING_KEY or [signing] key_file"),
        );
    }
    drill = judged(drill);
    let ledger = Ledger::new(request.place.ledger_storage());
    let sign = |bytes: &[u8]| request.signer.as_ref().map(|key| key.sign(bytes)).transpose();
    let at = Timestamp::now();
    let write_line = |drill: &Drill| {
        let event = Event::Drilled { at, drill: Box::new(drill.clone()) };
        request.auditor.write_event(&ledger, Some(&drill.release), &event)
    };
    // What failed by itself says more than that the audit does not say it.
    let failed = drill.result == DrillResult::Failed;
    let find = |mut drill: Drill, found: Vec<Finding>| {
        drill.findings.extend(found.into_iter().map(|found| if failed { found.softened() } else { found }));
        judged(drill)
    };
    match write_line(&drill) {
        Err(error) => drill = find(drill, vec![unwritten(&error)]),
        Ok(found) if !found.is_empty() => {
            drill = find(drill, found);
            // A line has the digest of what it is about, which is another one now. What does not take this one is found already.
            if let Err(error) = write_line(&drill) {
                drill = find(drill, vec![unwritten(&error)]);
            }
        }
        Ok(_) => {}
    }
    match ledger.record_drill(at, drill.clone(), sign) {
        Ok(record) => Outcome { drill, record: Some(record) },
        Err(error) => {
            let message = format!("the drill is not recorded: {}", error.chain());
            drill.findings.push(Finding::refusal(FindingCode::RecordFailed, message));
            Outcome { drill: judged(drill), record: None }
        }
    }
}

/// Puts refusals first, and says what they come to.
pub(super) fn judged(mut drill: Drill) -> Drill {
    drill.findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let refuses = drill.findings.iter().any(|finding| finding.level == Level::Refusal);
    drill.result = if refuses { DrillResult::Failed } else { DrillResult::Passed };
    drill
}
