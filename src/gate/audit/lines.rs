//! What a line says of a manifest, and of an event.

use super::Auditor;
use crate::error::ExitCode;
use crate::ledger::events::Event;
use crate::ledger::manifest::digest;
use crate::model::audit::{Action, AuditLine, Outcome};
use crate::model::drill::DrillResult;
use crate::model::finding::{Finding, Level};
use crate::model::manifest::{Manifest, Purpose};
use crate::model::reconciliation::Outcome as Reconciliation;
use crate::model::release_id::ReleaseId;
use crate::model::verdict::Verdict;

/// Returns the line of a run of the gate; `bytes` are those of its manifest.
pub fn of_manifest(auditor: &Auditor, manifest: &Manifest, bytes: &[u8]) -> AuditLine {
    let action = match manifest.purpose {
        Purpose::Gate => Action::Gate,
        Purpose::Snapshot => Action::Snapshot,
        Purpose::Safety => Action::SafetySnapshot,
    };
    let outcome = if manifest.decision.result == Verdict::Pass { Outcome::Passed } else { Outcome::Refused };
    let to = &manifest.release.to;
    let line = auditor.line(action, outcome).at(manifest.created_at).of(&manifest.id);
    let line = with_findings(line.exits(manifest.decision.exit_code), &manifest.decision.findings);
    let line = match &manifest.release.from.version {
        Some(from) => line.detail("from", from.as_str()),
        None => line,
    };
    AuditLine {
        record: Some(digest(bytes)),
        version: Some(to.version.clone()),
        commit: Some(to.commit.clone()),
        ..line
    }
}

/// Returns the line of what a person took upon themselves in a run that passed by that; `None` of any other.
pub fn of_override(auditor: &Auditor, manifest: &Manifest) -> Option<AuditLine> {
    let overridden = manifest.decision.overridden.as_ref().filter(|_| manifest.decision.result == Verdict::Pass)?;
    let to = &manifest.release.to;
    let line = auditor.line(Action::Override, Outcome::Done).at(overridden.at).of(&manifest.id);
    let line = line.why(Some(&overridden.reason)).detail("approved_by", &overridden.approved_by);
    let line = match &overridden.ticket {
        Some(ticket) => line.detail("ticket", ticket),
        None => line,
    };
    Some(AuditLine { version: Some(to.version.clone()), commit: Some(to.commit.clone()), ..line })
}

/// Says by findings why something was refused.
pub(super) fn with_findings(line: AuditLine, findings: &[Finding]) -> AuditLine {
    let refusals = || findings.iter().filter(|finding| finding.level == Level::Refusal);
    line.why(refusals().next().map(Finding::without_quotes)).codes(refusals().map(|finding| finding.code.as_str()))
}

/// Returns the line of an event; `None` of one that another line tells of already. The line is of the same moment, by
/// which `audit verify` knows it again.
pub(super) fn of_event(auditor: &Auditor, id: Option<&ReleaseId>, event: &Event) -> Option<AuditLine> {
    let line = |action, outcome| AuditLine { release: id.cloned(), ..auditor.line(action, outcome).at(event.at()) };
    let done = |action| line(action, Outcome::Done).exits(ExitCode::Pass.number());
    Some(match event {
        Event::Admitted { run, signer, .. } => {
            let admitted = line(Action::Admit, Outcome::Passed).exits(0).detail("run", run);
            match signer {
                Some(signer) => admitted.detail("signer", signer),
                None => admitted,
            }
        }
        Event::RollbackAdmitted { run, signer, .. } => line(Action::Admit, Outcome::Passed)
            .exits(0)
            .why(Some("the rollback deploys the older version again"))
            .detail("run", run)
            .detail("signer", signer),
        Event::Reconciled { outcome, expected, explanation, .. } => {
            let (outcome, exit) = match outcome {
                Reconciliation::Matched => (Outcome::Passed, ExitCode::Pass),
                _ => (Outcome::Refused, ExitCode::DeployedMismatch),
            };
            let expected = format!("{expected:?}").to_lowercase();
            line(Action::Reconcile, outcome).exits(exit.number()).why(Some(explanation)).detail("expected", expected)
        }
        Event::Frozen { by, reason, until, .. } => {
            let frozen = AuditLine { by: by.clone(), ..done(Action::Freeze).why(Some(reason)) };
            match until {
                Some(until) => frozen.detail("until", until.to_string()),
                None => frozen,
            }
        }
        Event::Thawed { by, reason, .. } => AuditLine { by: by.clone(), ..done(Action::Thaw).why(Some(reason)) },
        Event::RollbackBegan { by, forced, observed, way, .. } => {
            let began = line(Action::Rollback, Outcome::Began).why(forced.as_ref()).detail("observed", observed);
            let way = way.map_or("full-restore", |way| way.as_str());
            AuditLine { by: by.clone(), ..began.detail("way", way) }
        }
        Event::RolledBack { by, explanation, .. } => {
            AuditLine { by: by.clone(), ..done(Action::Rollback).why(Some(explanation)) }
        }
        Event::Drilled { drill, .. } => {
            let (outcome, exit) = match drill.result {
                DrillResult::Passed => (Outcome::Passed, ExitCode::Pass),
                _ => (Outcome::Failed, Verdict::of(&drill.findings).1),
            };
            let drilled = line(Action::Drill, outcome).exits(exit.number());
            with_findings(AuditLine { by: drill.by.clone(), ..drilled }, &drill.findings)
                .detail("seconds", format!("{:.0}", drill.seconds))
        }
        Event::Approved { by, signer, key, .. } => {
            AuditLine { by: by.clone(), ..done(Action::Approve).detail("signer", signer).detail("key", key) }
        }
        Event::Held { by, reason, until, .. } => {
            let held = AuditLine { by: by.clone(), ..done(Action::Hold).why(Some(reason)) };
            match until {
                Some(until) => held.detail("until", until.to_string()),
                None => held,
            }
        }
        Event::HoldLifted { by, reason, .. } => {
            AuditLine { by: by.clone(), ..done(Action::Hold).why(Some(reason)).detail("lifted", "true") }
        }
        Event::Pruned { by, snapshots, copy, archive, .. } => {
            let pruned = AuditLine { by: by.clone(), ..done(Action::Prune).detail("snapshots", snapshots.join(" ")) };
            let pruned = copy.iter().fold(pruned, |line, copy| line.detail("copy", copy));
            archive.iter().fold(pruned, |line, archive| line.detail("archive", archive))
        }
        Event::Guarded { .. } | Event::RollbackStep { .. } | Event::NotTold { .. } => return None,
    })
}
