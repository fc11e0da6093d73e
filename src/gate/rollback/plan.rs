//! What a rollback will do: looked up, and shown before anything is changed.

use super::super::last_drill;
use super::super::standing;
use super::against::against;
use super::estimates::Estimates;
use super::journal::Journal;
use super::lost::{self, lost};
use super::steps::steps;
use super::survey::survey;
use super::ways::{Known, weigh};
use super::{Request, evidence, fit, pass, sources};
use crate::cancel::Cancel;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::events::Event;
use crate::model::finding::{Finding, FindingCode};
use crate::model::rollback::RollbackPlan;
use crate::model::way::WayKind;
use jiff::Timestamp;
use tokio::runtime::Handle;

/// Plans a rollback: changes nothing.
///
/// # Errors
/// `manifest-invalid` if the manifest is for something else or did not pass; the store's own; a cancellation. What speaks
/// against the rollback is a finding of the plan.
pub fn plan(request: &Request<'_>, cancel: &Cancel, runtime: &Handle) -> Result<RollbackPlan> {
    let manifest = &request.given.manifest;
    let now = Timestamp::now();
    let mut findings = evidence::check(request)?;
    let ledger = Ledger::new(request.run.place.ledger_storage());
    let freeze = ledger.freeze_at(now)?;
    let journal = Journal::read(&ledger, &manifest.id, freeze.as_ref())?;
    let seen = fit::look(request, &ledger, cancel, runtime)?;
    // What this very rollback stopped or deployed already is no reason against it.
    findings.extend(seen.finding.filter(|_| journal.began.is_none()));
    let presents = survey(request, journal.began.is_some(), cancel, runtime)?;
    // What there is to say against the newest drill the gate says; here it only tells no time.
    let (drilled, _) = last_drill::last(&request.run, &ledger)?;
    let estimates = Estimates::collect(drilled.as_ref(), manifest);
    let lost = lost(&presents, now, journal.began.is_some());
    let way = request.way.or(journal.way).unwrap_or(WayKind::FullRestore);
    let unsaved = request.no_safety_snapshot.clone().or_else(|| journal.cannot_save());
    let not_reverted = not_reverted(request, unsaved.is_none());
    let ways = weigh(
        request,
        &Known {
            presents: &presents,
            lost: &lost,
            estimates: &estimates,
            common: &findings,
            admitted_at: admitted_at(&ledger, request)?,
            not_reverted: &not_reverted,
            now,
        },
    );
    if way == WayKind::FullRestore {
        findings.extend(standing::let_go(&manifest.id, &ledger.events(&manifest.id)?));
    }
    findings.extend(another_way(request, &journal, way));
    findings.extend(against(way, request, &presents));
    findings.extend(configuration(request));
    findings.extend(warnings(request, unsaved.as_deref()));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let mut steps = steps((way, unsaved.is_none()), request, &presents, &estimates);
    for step in &mut steps {
        step.state = journal.state(&step.step);
    }
    let from = &manifest.release.from;
    let left = steps.iter().filter(|step| !step.is_done()).filter_map(|step| step.estimate_seconds);
    let estimate: f64 = left.sum();
    let restores = way == WayKind::FullRestore;
    let stays = ways.iter().find(|one| one.way == way).map(|one| one.leaves_behind.clone());
    Ok(RollbackPlan {
        id: manifest.id.clone(),
        application: manifest.application.clone(),
        environment: manifest.environment.name.clone(),
        undone: manifest.release.to.version.clone(),
        back_to: from.version.clone(),
        back_to_commit: from.commit.clone(),
        observed: seen.observed,
        instances: seen.instances,
        resumes: journal.began,
        data_loss_from: lost::together(&lost).since.or(manifest.rollback.data_loss_from).filter(|_| restores),
        estimate_seconds: (estimate > 0.0).then_some(estimate),
        way,
        lost: if restores { lost } else { Vec::new() },
        ways,
        steps,
        not_reverted: stays.unwrap_or(not_reverted),
        findings,
    })
}

/// Refuses to go on by another way than the one that was begun: steps of both would be neither.
fn another_way(request: &Request<'_>, journal: &Journal, way: WayKind) -> Option<Finding> {
    let (began, begun) = (journal.began?, journal.way?);
    (begun != way).then(|| {
        let at = began.strftime("%Y-%m-%d %H:%M:%S UTC");
        let message = format!("a rollback by {begun} began at {at}, and is not done: {way} cannot go on with it");
        let environment = &request.run.environment;
        Finding::refusal(FindingCode::WayImpossible, message)
            .hint(format!("go on with --way {begun}; or see that the data is right, `holdpoint thaw --environment {environment} --reason TEXT`, and begin anew"))
    })
}

/// Returns when the deployment of the release was admitted.
fn admitted_at(ledger: &Ledger, request: &Request<'_>) -> Result<Option<Timestamp>> {
    let events = ledger.events(&request.given.manifest.id)?;
    Ok(events.iter().find_map(|record| match &record.event {
        Event::Admitted { at, .. } => Some(*at),
        _ => None,
    }))
}

fn configuration(request: &Request<'_>) -> Option<Finding> {
    let then = &request.given.manifest.decision.policy.config_digest;
    (*then != request.run.config.digest).then(|| {
        let message = "the configuration is not the one that the gate ran with";
        Finding::warning(FindingCode::ConfigChanged, message).hint("see that its sources and hooks are still right")
    })
}

fn warnings(request: &Request<'_>, unsaved: Option<&str>) -> Vec<Finding> {
    let environment = &request.run.environment;
    let mut findings = Vec::new();
    if let Some(reason) = unsaved {
        let message = format!("the present state is not saved, and gone once it is overwritten: {reason}");
        findings.push(Finding::warning(FindingCode::SafetySkipped, message));
    }
    let Some(version) = &request.given.manifest.release.from.version else { return findings };
    if request.run.settings.rollback.redeploy.is_none() {
        let message = format!("nothing is configured that deploys {version} again: a person has to");
        findings.push(
            Finding::warning(FindingCode::RedeployMissing, message)
                .hint(format!("configure redeploy in [environment.{environment}.rollback]")),
        );
    }
    if request.run.settings.deployed.is_none() {
        let message = format!("no probe is configured: nothing can see whether {version} runs at the end");
        findings.push(
            Finding::warning(FindingCode::ProbeMissing, message)
                .hint(format!("configure [environment.{environment}.deployed]")),
        );
    }
    findings.extend(pass::why_none(request));
    findings
}

fn not_reverted(request: &Request<'_>, saves: bool) -> Vec<String> {
    let manifest = &request.given.manifest;
    let mut left = manifest.rollback.not_reverted.clone();
    let has_files = sources::restorable(manifest).any(|source| source.kind == "files");
    let is_saved = saves && sources::tells_what_was_added(request);
    if has_files && !is_saved {
        left.push("files that came after the gate: they stay, since nothing tells them from those left out".to_owned());
    }
    left
}
