//! Under the freeze of a rollback: its own deploy step may deploy the older version, and nothing else.

use super::{Admission, Request};
use crate::error::Result;
use crate::gate::standing;
use crate::ledger::Ledger;
use crate::ledger::claim::Claim;
use crate::ledger::events::Event;
use crate::ledger::freeze::Freeze;
use crate::ledger::rollback_pass::{RollbackPass, StoredPass};
use crate::model::finding::{Finding, FindingCode};
use crate::policy::reconcile::is_same_commit;
use crate::signing::{Doubt, Signer, verify};
use jiff::Timestamp;
use std::time::Duration;

/// How far the clocks of the machines of rollback and deploy may differ.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// Decides on a deployment that a rollback may be waiting for; `None` if none waits for exactly this one.
///
/// The rollback holds the lease, and stands for the deployment until its end: no claim is opened.
///
/// # Errors
/// The store's own.
pub(super) fn admit(
    request: &Request<'_>,
    ledger: &Ledger,
    (freeze, claim): (&Freeze, Option<&Claim>),
    now: Timestamp,
) -> Result<Option<Admission>> {
    let Some(stored) = ledger.rollback_pass()? else { return Ok(None) };
    let pass = &stored.pass;
    let is_it = pass.frozen_at == freeze.at
        && (pass.application.as_str(), pass.environment.as_str()) == (request.application, request.environment)
        && pass.version.is_same_release(request.version)
        && is_same_commit(&pass.commit, request.commit);
    if !is_it {
        return Ok(None);
    }
    let (signer, doubt) = match signature(request, &stored, now) {
        Ok(signer) => (Some(signer), None),
        Err(finding) => (None, Some(finding)),
    };
    let mut findings: Vec<Finding> = doubt.into_iter().chain(age(pass, now)).collect();
    // One that was put back after the rollback had ended lets nobody through.
    let is_over = |event: &Event| matches!(event, Event::RolledBack { at, .. } if *at > pass.issued_at);
    if ledger.events(&pass.release)?.iter().any(|record| is_over(&record.event)) {
        let message = format!("the rollback of {} has ended, and with it its pass", pass.release);
        findings.push(Finding::refusal(FindingCode::PassUsed, message));
    }
    // The claim of the release that is undone ends with the rollback; anybody else's is in the way.
    findings.extend(claim.filter(|claim| claim.release != pass.release).map(standing::claimed));
    let Some(signer) = signer.filter(|_| findings.is_empty()) else {
        findings.push(standing::frozen(request.environment, freeze));
        return Ok(Some(Admission::refused(None, None, findings)));
    };
    let event = Event::RollbackAdmitted {
        at: now,
        run: request.run.to_owned(),
        actor: request.pipeline.actor.clone(),
        signer: signer.principal.clone(),
    };
    findings.extend(super::audited(request, ledger, &pass.release, &event));
    if super::refuses(&findings) {
        return Ok(Some(Admission::refused(None, Some(signer), findings)));
    }
    ledger.record_event(&pass.release, &event)?;
    Ok(Some(Admission { back: Some(stored.pass), ..Admission::refused(None, Some(signer), findings) }))
}

fn signature(request: &Request<'_>, stored: &StoredPass, now: Timestamp) -> Result<Signer, Finding> {
    let what = format!("the pass of the rollback of {}", stored.pass.release);
    let Some(signature) = &stored.signature else {
        return Err(Finding::refusal(FindingCode::PassUnsigned, format!("{what} has no signature")));
    };
    verify(&stored.bytes, signature, request.signers, &[stored.pass.issued_at, now]).map_err(|doubt| {
        let code = match &doubt {
            Doubt::Invalid(_) => FindingCode::SignatureInvalid,
            Doubt::NotAllowed(_) => FindingCode::SignerUnknown,
        };
        Finding::refusal(code, format!("{what}: {doubt}")).hint("find out who can write to the store")
    })
}

fn age(pass: &RollbackPass, now: Timestamp) -> Option<Finding> {
    let what = format!("the pass of the rollback of {}", pass.release);
    if pass.issued_at.duration_since(now) > jiff::SignedDuration::try_from(CLOCK_TOLERANCE).unwrap_or_default() {
        let message = format!("{what} was issued in the future of this machine's clock");
        return Some(Finding::refusal(FindingCode::PassFromFuture, message).hint("set both clocks by NTP"));
    }
    (now > pass.expires_at).then(|| {
        Finding::refusal(FindingCode::PassExpired, format!("{what} has run out"))
            .hint("go on with the rollback: it issues another one")
    })
}
