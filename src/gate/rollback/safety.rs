//! The safety snapshot: the present state, saved before it is overwritten, broken as it may be.

use super::super::request::{Given, Request as Run};
use super::super::restore::find_recorded;
use super::super::scratch::Scratch;
use super::super::supervise::supervise_under;
use super::Request;
use super::sources::{Hands, configured, restorable, with_repository};
use crate::config::{CaptureIn, Expect, FilesConfig, SourceConfig, SourceKind};
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::ledger::lease::Lease;
use crate::model::finding::{Finding, Level};
use crate::model::manifest::{Purpose, SourceRecord};
use crate::model::release_id::ReleaseId;
use crate::release::resolve::Target;
use std::sync::Arc;

/// Captures and reads back every source that the rollback will overwrite; returns the lease, and the release that holds
/// the snapshots.
///
/// # Errors
/// `restore-failed`, saying what could not be saved; `busy`; a cancellation.
pub(super) fn save(request: &Request<'_>, lease: Lease, hands: &Hands<'_>) -> Result<(Lease, ReleaseId)> {
    let scratch = Scratch::create()?;
    let manifest = &request.given.manifest;
    let to = &manifest.release.to;
    let run = Run {
        purpose: Purpose::Safety,
        sources: sources(request, hands)?,
        left_out: Vec::new(),
        target: Target {
            version: to.version.clone(),
            commit: to.commit.clone(),
            reference: to.reference.clone(),
            findings: Vec::new(),
        },
        from: Given::Nothing,
        // The ledger keeps it; nobody asked for a file.
        manifest_out: scratch.path().join("manifest.json"),
        keeps_lease: true,
        ..request.run.clone()
    };
    // Its deadline is its own: it must not end the rollback.
    let cancel = hands.cancel.child();
    let outcome = supervise_under(Some(lease), &Arc::new(run), hands.observer, &cancel, hands.runtime)?;
    for finding in &outcome.unrecorded {
        hands.observer.note(&format!("warning: {}", finding.message));
    }
    hands.cancel.check()?;
    match (outcome.exit, outcome.lease) {
        (ExitCode::Pass, Some(lease)) => Ok((lease, outcome.manifest.id)),
        (exit, _) => {
            let code = if exit == ExitCode::Busy { ErrorCode::Busy } else { ErrorCode::RestoreFailed };
            let why = outcome.manifest.decision.findings.iter().find(|finding| finding.level == Level::Refusal);
            let why = why.map_or_else(|| "its record is not in the ledger".to_owned(), in_words);
            Err(Error::new(code, format!("the present state could not be saved: {why}")).hint(
                "mend what keeps it from being read; or give it up by --no-safety-snapshot REASON: what is overwritten \
                 then is gone",
            ))
        }
    }
}

fn in_words(finding: &Finding) -> String {
    match &finding.source {
        Some(source) => format!("{source}: {}", finding.message),
        None => finding.message.clone(),
    }
}

/// Returns what is to be saved: whatever will be overwritten, whatever it looks like.
fn sources(request: &Request<'_>, hands: &Hands<'_>) -> Result<Vec<SourceConfig>> {
    with_repository(request, hands.cancel, |indexed| {
        let source = |record: &SourceRecord| -> Result<SourceConfig> {
            let mut config = match configured(request, record) {
                Some(config) => config.clone(),
                // Paths may have been given on the command line of the gate.
                None => SourceConfig {
                    when_changed: None,
                    name: record.name.clone(),
                    kind: SourceKind::Files(FilesConfig::default()),
                    required: true,
                    capture: CaptureIn::Every,
                    owner: record.owner.clone(),
                    restore_order: record.restore_order,
                    expect: Expect::default(),
                    drill_server: None,
                },
            };
            // What is overwritten is at the paths of the snapshot, whatever the configuration means from where we are.
            if let SourceKind::Files(files) = &mut config.kind {
                files.paths = find_recorded(indexed, record)?.1.paths.into_iter().map(Into::into).collect();
            }
            let expect = Expect {
                min_bytes: 0,
                max_shrink: 1.0,
                min_tables: 0,
                min_rows: Default::default(),
                identity: config.expect.identity,
            };
            Ok(SourceConfig { required: true, expect, ..config })
        };
        restorable(&request.given.manifest).map(source).collect()
    })
}
