//! What speaks against a pass, beside what it says itself: its signature, its use, what happened since.

use super::Request;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::gate::survey::probe_runner;
use crate::ledger::events::{Event, EventRecord};
use crate::ledger::{Ledger, Stored};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{Manifest, ProbeKind};
use crate::model::reconciliation::{Outcome, Side};
use crate::policy::reconcile::compare;
use crate::policy::windows::judge_deploy;
use crate::release::probe;
use crate::signing::{Doubt, Signer, verify};
use crate::storage::many::ask_all;
use jiff::Timestamp;
use tokio::runtime::Handle;

/// Checks who signed the pass, for when it was made and for now.
///
/// # Errors
/// The store's own.
pub(super) fn signature(
    request: &Request<'_>,
    ledger: &Ledger,
    pass: &Stored,
    now: Timestamp,
) -> Result<Result<Signer, Finding>> {
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

/// Says so if the deploy may not begin now. One that was admitted `again` may be under way: it has to be in its window still.
pub(super) fn window(request: &Request<'_>, again: bool, now: Timestamp) -> Vec<Finding> {
    let takes = request.settings.deploy_takes.filter(|_| !again);
    judge_deploy(request.environment, &request.settings.calendar, takes, now).into_iter().collect()
}

/// Says so if the pass was used already.
pub(super) fn used(pass: &Manifest, events: &[EventRecord]) -> Option<Finding> {
    let (at, run) = events.iter().find_map(|record| match &record.event {
        Event::Admitted { at, run, run_url, .. } => Some((*at, run_url.as_ref().unwrap_or(run))),
        _ => None,
    })?;
    let at = at.strftime("%Y-%m-%dT%H:%M:%SZ");
    let message = format!("the pass {} was used already: at {at} by {run}", pass.id);
    Some(Finding::refusal(FindingCode::PassUsed, message).hint("a pass is for one deployment: run the gate again"))
}

/// Says so if something was deployed or undone since the pass was made: then what it rests on is not what a rollback
/// would need. `others` are the releases around it.
///
/// # Errors
/// The store's own.
pub(super) fn overtaken(ledger: &Ledger, pass: &Manifest, others: &[Manifest]) -> Result<Option<Finding>> {
    let events = |manifest: &Manifest| ledger.events(&manifest.id);
    let all = ask_all(ledger.storage().parallelism().reads, others, &Cancel::new(), |manifest| events(manifest))?;
    for (manifest, events) in others.iter().zip(all) {
        let changes = |event: &Event| event.is_work_on_the_deployment() && event.at() > pass.created_at;
        if let Some(record) = events.iter().find(|record| changes(&record.event)) {
            let what = if matches!(record.event, Event::Admitted { .. }) { "admitted" } else { "worked on" };
            let message = format!(
                "{} ({}) was {what} since this pass was made: at {}",
                manifest.release.to.version,
                manifest.id,
                record.event.at().strftime("%Y-%m-%dT%H:%M:%SZ"),
            );
            return Ok(Some(
                Finding::refusal(FindingCode::PassOvertaken, message).hint("run the gate again for what runs now"),
            ));
        }
    }
    Ok(None)
}

/// Looks whether the version that the gate saw is still the one that is deployed.
///
/// # Errors
/// A cancellation.
pub(super) fn deployed(
    request: &Request<'_>,
    pass: &Manifest,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<Vec<Finding>> {
    let Some(probe) = request.probe else {
        let was_observed = matches!(pass.release.from.probe, ProbeKind::Http | ProbeKind::Command | ProbeKind::File);
        if was_observed {
            let message = "the gate observed what is deployed, and no probe is configured here to look again";
            return Ok(vec![
                Finding::refusal(FindingCode::ProbeFailed, message)
                    .hint("give the deploy step the gate's configuration by --config"),
            ]);
        }
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
