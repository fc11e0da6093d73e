//! Saying what goes, before it does.

use super::Request;
use super::choice::{Choice, Release};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::Ledger;
use crate::ledger::events::Event;
use crate::ledger::lease::Lease;
use crate::model::audit::{Action, Outcome};
use crate::model::finding::Level;
use crate::storage::many::ask_all;
use jiff::Timestamp;

/// How many of the releases that go the line of the audit names. Each has an event of the same moment; a line must fit into
/// a datagram.
const NAMED: usize = 20;
/// How many snapshots a line names. Those without a record have no event, so all of them are named.
const SNAPSHOTS: usize = 10;

/// Writes the lines of the audit that tell of all that goes: one of the releases, and as many as it takes of the snapshots
/// beside them. How it ended is told by another.
fn audit(request: &Request<'_>, ledger: &Ledger, at: Timestamp, choice: &Choice, going: &[&Release]) -> Result<()> {
    let ids: Vec<_> = going.iter().take(NAMED).map(|release| release.id.as_str()).collect();
    write(request, ledger, at, &[("releases", ids.join(" ")), ("count", going.len().to_string())])?;
    let unnamed: Vec<_> = choice.unnamed.iter().map(|unnamed| unnamed.id.to_string()).collect();
    let leftovers: Vec<_> = choice.leftovers.iter().map(ToString::to_string).collect();
    for (name, ids) in [("unnamed", unnamed), ("leftovers", leftovers)] {
        for ids in ids.chunks(SNAPSHOTS) {
            write(request, ledger, at, &[(name, ids.join(" "))])?;
        }
    }
    Ok(())
}

fn write(request: &Request<'_>, ledger: &Ledger, at: Timestamp, details: &[(&str, String)]) -> Result<()> {
    let line = request.auditor.line(Action::Prune, Outcome::Began).at(at);
    let line = details.iter().fold(line, |line, (name, value)| line.detail(name, value));
    let line = request.copy.iter().fold(line, |line, copy| line.detail("copy", &copy.name));
    let line = request.archive.iter().fold(line, |line, archive| line.detail("archive", &archive.name));
    for finding in request.auditor.write(ledger, None, &line)? {
        if finding.level == Level::Refusal {
            return Err(Error::new(ErrorCode::AuditFailed, finding.message).hint(finding.hint.unwrap_or_default()));
        }
        request.observer.note(&format!("warning: {}", finding.message));
    }
    Ok(())
}

/// Writes beside each release that goes that it does, as long as the lease stands: nobody came to rely on it meanwhile.
///
/// # Errors
/// `audit-failed`; `lease-lost`; the store's own; a cancellation.
pub(super) fn mark(
    request: &Request<'_>,
    ledger: &Ledger,
    lease: &Lease,
    choice: &Choice,
    cancel: &Cancel,
) -> Result<()> {
    lease.check()?;
    let at = Timestamp::now();
    let going: Vec<_> = choice.let_go().collect();
    audit(request, ledger, at, choice, &going)?;
    ask_all(ledger.storage().parallelism().uploads, &going, cancel, |release| {
        let event = Event::Pruned {
            at,
            by: request.by.clone(),
            snapshots: release.snapshots.iter().map(ToString::to_string).collect(),
            copy: request.copy.map(|copy| copy.name.clone()),
            archive: request.archive.map(|copy| copy.name.clone()),
        };
        lease.check()?;
        ledger.record_event(&release.id, &event)
    })?;
    Ok(())
}
