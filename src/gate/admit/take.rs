//! Using the pass: under the lease of the environment, create-only, once.

use super::{Admission, Request, checks, find, standing};
use crate::cancel::Cancel;
use crate::error::{ErrorCode, Result};
use crate::gate::glass;
use crate::ledger::claim::Claim;
use crate::ledger::events::Event;
use crate::ledger::lease::{self, Acquired, Owner};
use crate::ledger::{Ledger, Stored};
use crate::model::finding::{Finding, FindingCode};
use crate::policy::admission::{judge_age, judge_override};
use crate::signing::Signer;
use jiff::Timestamp;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How long to wait for another run that holds the lease: one that admits is done in a moment, a gate is not.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is asked.
const POLL: Duration = Duration::from_millis(100);

/// Uses the pass and opens the claim; `claim` is the one that this very run has open already.
pub(super) fn take(
    request: &Request<'_>,
    ledger: &Ledger,
    (pass, signer, mut findings): (Stored, Option<Signer>, Vec<Finding>),
    claim: Option<Claim>,
    (cancel, runtime): (&Cancel, &Handle),
) -> Result<Admission> {
    let id = pass.manifest.id.clone();
    if let Some(claim) = claim {
        // Its own claim keeps everybody else out, `guard` holds the lease itself. Only the mark may be missing, if the
        // run was cut off in between.
        findings.extend(judge_age(&pass.manifest, Timestamp::now(), None, request.valid_for));
        findings.extend(judge_override(&pass.manifest, Timestamp::now(), None));
        let admitted = admitted(request, signer.as_ref(), claim.opened_at);
        findings.extend(super::audited(request, ledger, &id, &admitted));
        if !super::refuses(&findings) && ledger.use_pass(&id, &admitted)?.is_none() {
            findings.extend(not_by(&claim, ledger, &pass)?);
        }
        if !super::refuses(&findings) {
            return Ok(Admission { claim: Some(claim), ..Admission::refused(Some(pass), signer, findings) });
        }
        return Ok(Admission::refused(Some(pass), signer, findings));
    }
    let owner = Owner::current(Some(id.clone()), request.pipeline.run_url.clone())?;
    let (lease, taken_over) = match wait_for_lease(ledger, &owner, cancel)? {
        Ok(acquired) => (acquired.lease, acquired.finding),
        Err(finding) => {
            findings.push(finding);
            return Ok(Admission::refused(Some(pass), signer, findings));
        }
    };
    findings.extend(taken_over);
    // What was seen before the lease may have changed since.
    let now = Timestamp::now();
    findings.extend(ledger.freeze_at(now)?.map(|freeze| standing::frozen(request.environment, &freeze)));
    let overridden = pass.manifest.decision.overridden.as_ref();
    let closed = glass::by_pass(overridden, checks::window(request, false, now));
    findings.extend(closed.into_iter().filter(|finding| !findings.contains(finding)).collect::<Vec<_>>());
    let old = ledger.claim()?;
    findings.extend(old.as_ref().filter(|claim| claim.is_open(now)).map(standing::claimed));
    let age = ledger.age_by_store(&id)?;
    findings.extend(judge_age(&pass.manifest, now, age, request.valid_for));
    findings.extend(judge_override(&pass.manifest, now, age));
    match find::find(request, ledger)? {
        Ok(found) if found.pass.digest == pass.digest => {
            let events = ledger.events(&id)?;
            findings.extend(checks::used(&pass.manifest, &events));
            // A prune that decided before has told by now.
            findings.extend(standing::let_go(&id, &events));
            findings.extend(checks::overtaken(ledger, &pass.manifest, &found.others)?);
        }
        Ok(found) => {
            let message = format!("the gate judged this release again meanwhile ({})", found.pass.manifest.id);
            findings.push(Finding::refusal(FindingCode::PassOvertaken, message).hint("ask again"));
        }
        Err(why) => findings.extend(why),
    }
    if !super::refuses(&findings) {
        let deployed = checks::deployed(request, &pass.manifest, cancel, runtime)?;
        for finding in glass::by_pass(overridden, deployed) {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    if super::refuses(&findings) {
        return Ok(Admission::refused(Some(pass), signer, findings));
    }
    let admitted = admitted(request, signer.as_ref(), now);
    // Before the pass is used: one whose line could not be written can be used later.
    findings.extend(super::audited(request, ledger, &id, &admitted));
    if super::refuses(&findings) {
        return Ok(Admission::refused(Some(pass), signer, findings));
    }
    lease.check()?;
    let claim = Claim {
        release: id.clone(),
        version: pass.manifest.release.to.version.clone(),
        run: request.run.to_owned(),
        run_url: request.pipeline.run_url.clone(),
        opened_at: now,
        expires_at: now + request.claim_for,
    };
    if !ledger.open_claim(&claim, old.as_ref())? {
        let other = ledger.claim()?;
        findings.push(other.as_ref().map_or_else(came_and_went, standing::claimed));
        return Ok(Admission::refused(Some(pass), signer, findings));
    }
    let used = lease.check().and_then(|()| ledger.use_pass(&id, &admitted));
    if !matches!(used, Ok(Some(_))) {
        // Nothing is deployed by this run: nobody should wait for it.
        let closed = ledger.close_claim(&id);
        used?;
        closed?;
        let by = checks::used(&pass.manifest, &ledger.events(&id)?);
        findings.push(by.unwrap_or_else(came_and_went));
        return Ok(Admission::refused(Some(pass), signer, findings));
    }
    Ok(Admission { claim: Some(claim), ..Admission::refused(Some(pass), signer, findings) })
}

/// Says so unless the pass was used by this very claim, and nothing was said of its deployment yet: a claim is not signed,
/// and one that was put there says nothing.
fn not_by(claim: &Claim, ledger: &Ledger, pass: &Stored) -> Result<Option<Finding>> {
    let events = ledger.events(&pass.manifest.id)?;
    let is_ours =
        |event: &Event| matches!(event, Event::Admitted { at, run, .. } if *run == claim.run && *at == claim.opened_at);
    let is_over = |event: &Event| event.matched().is_some() || matches!(event, Event::RolledBack { .. });
    let ours =
        events.iter().any(|record| is_ours(&record.event)) && !events.iter().any(|record| is_over(&record.event));
    Ok((!ours).then(|| checks::used(&pass.manifest, &events).unwrap_or_else(came_and_went)))
}

/// Says that somebody else was at work at this very moment.
fn came_and_went() -> Finding {
    let message = "another deployment came and went at this very moment";
    Finding::refusal(FindingCode::Claimed, message).hint("see what runs, by `holdpoint reconcile`; then ask again")
}

/// Returns the event that marks the pass as used.
fn admitted(request: &Request<'_>, signer: Option<&Signer>, at: Timestamp) -> Event {
    Event::Admitted {
        at,
        run: request.run.to_owned(),
        run_url: request.pipeline.run_url.clone(),
        actor: request.pipeline.actor.clone(),
        signer: signer.map(|signer| signer.principal.clone()),
        key: signer.map(|signer| signer.fingerprint.clone()),
    }
}

/// Acquires the lease, waiting a little for whoever has it; the finding says who has, or who deploys already.
fn wait_for_lease(ledger: &Ledger, owner: &Owner, cancel: &Cancel) -> Result<std::result::Result<Acquired, Finding>> {
    let began = Instant::now();
    loop {
        let error = match lease::acquire(ledger.storage(), owner.clone(), cancel) {
            Ok(acquired) => return Ok(Ok(acquired)),
            Err(error) if error.code() == ErrorCode::Busy => error,
            Err(error) => return Err(error),
        };
        if let Some(claim) = ledger.claim()?.filter(|claim| claim.is_open(Timestamp::now())) {
            return Ok(Err(standing::claimed(&claim)));
        }
        if began.elapsed() > PATIENCE {
            return Ok(Err(Finding::from_error(&error, FindingCode::LeaseHeld)));
        }
        cancel.sleep(POLL)?;
    }
}
