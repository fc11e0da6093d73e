//! What a rollback will do: looked up, and shown before anything is changed.

use super::super::playbook::{config_flag, place_flags};
use super::journal::Journal;
use super::{Request, evidence, fit, pass, sources};
use crate::cancel::Cancel;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{Manifest, SourceRecord};
use crate::model::rollback::{RollbackPlan, RollbackStep, StepState, Task};
use crate::release::shell;
use jiff::Timestamp;
use tokio::runtime::Handle;

/// Plans a rollback: changes nothing.
///
/// # Errors
/// `manifest-invalid` if the manifest is for something else or did not pass; the store's own; a cancellation. What speaks
/// against the rollback is a finding of the plan.
pub fn plan(request: &Request<'_>, cancel: &Cancel, runtime: &Handle) -> Result<RollbackPlan> {
    let manifest = &request.given.manifest;
    let mut findings = evidence::check(request)?;
    let ledger = Ledger::new(request.run.place.ledger_storage());
    let freeze = ledger.freeze_at(Timestamp::now())?;
    let journal = Journal::read(&ledger, &manifest.id, freeze.as_ref())?;
    let seen = fit::look(request, &ledger, cancel, runtime)?;
    // What this very rollback stopped or deployed already is no reason against it.
    findings.extend(seen.finding.filter(|_| journal.began.is_none()));
    findings.extend(sources::look(request, cancel, runtime)?);
    findings.extend(configuration(request));
    findings.extend(warnings(request));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let mut steps = steps(request);
    for step in &mut steps {
        step.state = journal.state(&step.step);
    }
    let from = &manifest.release.from;
    let estimates = steps.iter().filter(|step| !step.is_done()).filter_map(|step| step.estimate_seconds);
    let estimate: f64 = estimates.sum();
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
        data_loss_from: manifest.rollback.data_loss_from,
        estimate_seconds: (estimate > 0.0).then_some(estimate),
        steps,
        not_reverted: not_reverted(request),
        findings,
    })
}

/// Returns the command that goes on with a rollback.
pub fn go_on_command(request: &Request<'_>) -> String {
    let run = &request.run;
    let command = ["holdpoint", "rollback"].map(str::to_owned).to_vec();
    let yes = vec!["--yes".to_owned(), run.environment.clone()];
    let reason = request.no_safety_snapshot.as_ref();
    let unsafely = reason.map(|reason| vec!["--no-safety-snapshot".to_owned(), reason.clone()]).unwrap_or_default();
    let place = place_flags(run, &request.given.manifest.id);
    shell::line(&[command, config_flag(run), place, yes, unsafely].concat())
}

fn configuration(request: &Request<'_>) -> Option<Finding> {
    let then = &request.given.manifest.decision.policy.config_digest;
    (*then != request.run.config.digest).then(|| {
        let message = "the configuration is not the one that the gate ran with";
        Finding::warning(FindingCode::ConfigChanged, message).hint("see that its sources and hooks are still right")
    })
}

fn warnings(request: &Request<'_>) -> Vec<Finding> {
    let environment = &request.run.environment;
    let mut findings = Vec::new();
    if let Some(reason) = &request.no_safety_snapshot {
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

/// Returns the steps after the freeze, in order.
fn steps(request: &Request<'_>) -> Vec<RollbackStep> {
    let manifest = &request.given.manifest;
    let hooks = &request.run.settings.rollback;
    let mut steps = Vec::new();
    if request.no_safety_snapshot.is_none() {
        steps.push(step("safety snapshot", "save the present state", Task::Safety));
    }
    let hook = |(number, argv): (usize, &Vec<String>), when: &str, what: &str| {
        // The command is part of the name: another one is another step.
        let name = format!("{when} {}: {}", number + 1, shell::line(argv));
        step(&name, &format!("{what}: {}", shell::line(argv)), Task::Hook(argv.clone()))
    };
    steps.extend(hooks.before.iter().enumerate().map(|each| hook(each, "before", "stop what writes")));
    steps.extend(sources::restorable(manifest).map(|source| restore(manifest, source)));
    if let (Some(version), Some(argv)) = (&manifest.release.from.version, &hooks.redeploy) {
        let line = shell::line(argv);
        let task = Task::Redeploy(argv.clone());
        steps.push(step(&format!("redeploy: {line}"), &format!("deploy {version} again: {line}"), task));
    }
    steps.extend(hooks.after.iter().enumerate().map(|each| hook(each, "after", "start the application")));
    if let (Some(version), Some(_)) = (&manifest.release.from.version, &request.run.settings.deployed) {
        steps.push(step("reconcile", &format!("see that {version} runs"), Task::Reconcile));
    }
    steps
}

fn restore(manifest: &Manifest, source: &SourceRecord) -> RollbackStep {
    let name = source.name.as_str();
    let planned = manifest.rollback.steps.iter().find(|step| step.source.as_deref() == Some(name));
    RollbackStep {
        owner: source.owner.clone(),
        destructive: true,
        estimate_seconds: planned.and_then(|step| step.estimate_seconds),
        ..step(&format!("restore {name}"), &format!("restore {name} ({})", source.kind), Task::Restore(name.to_owned()))
    }
}

fn step(name: &str, action: &str, task: Task) -> RollbackStep {
    RollbackStep {
        step: name.to_owned(),
        action: action.to_owned(),
        task,
        owner: None,
        destructive: false,
        estimate_seconds: None,
        state: None::<StepState>,
    }
}

fn not_reverted(request: &Request<'_>) -> Vec<String> {
    let manifest = &request.given.manifest;
    let mut left = manifest.rollback.not_reverted.clone();
    let has_files = sources::restorable(manifest).any(|source| source.kind == "files");
    let is_saved = request.no_safety_snapshot.is_none() && sources::tells_what_was_added(request);
    if has_files && !is_saved {
        left.push("files that came after the gate: they stay, since nothing tells them from those left out".to_owned());
    }
    left
}
