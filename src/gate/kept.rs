//! What the ledger needs of the store, beyond what the repository needs of itself: its records, and the snapshots that they
//! name. On a store with versions, both may be hidden.

use super::place::Place;
use crate::cancel::Cancel;
use crate::error::{ErrorCode, Result};
use crate::ledger::Ledger;
use crate::repository::check::{CheckReport, Problem, ProblemKind, file_of};
use crate::repository::{FileType, Id};
use crate::storage::{Hidden, HiddenBy};
use std::collections::BTreeMap;

/// Where the records of releases are.
const RELEASES: &str = "releases";
/// What a record is not: written again and again.
const PAGE: &str = "/manifest.html";

/// Adds to the report of the repository what is hidden of the ledger, and the hidden snapshots that it names.
///
/// # Errors
/// The store's own; a cancellation.
pub fn check(place: &Place, report: &mut CheckReport, cancel: &Cancel) -> Result<()> {
    let storage = place.ledger_storage();
    let hidden = match storage.hidden(RELEASES) {
        Ok(hidden) => hidden,
        // The check of the repository has said already that versions cannot be listed.
        Err(error) if error.code() == ErrorCode::StoreRefused => return Ok(()),
        Err(error) => return Err(error),
    };
    for record in hidden.iter().filter(|hidden| !hidden.key.ends_with(PAGE)) {
        let what = match record.by {
            HiddenBy::Markers(_) => "was deleted",
            HiddenBy::Newer(_) => "was written again, and no record ever is",
        };
        let way_back = record.way_back(&storage.location());
        let message = format!("the record {} {what}; {way_back}", record.key);
        report.problems.push(Problem { kind: ProblemKind::Record, message });
    }
    let snapshots = hidden_snapshots(&report.hidden);
    if snapshots.is_empty() {
        return Ok(());
    }
    let location = place.repository_storage().location();
    for release in Ledger::new(storage).list(usize::MAX)? {
        cancel.check()?;
        // One that cannot be read is told by `releases`.
        let Ok(stored) = release.record else { continue };
        for source in &stored.manifest.sources {
            let id = source.snapshot.as_ref().and_then(|snapshot| Id::parse(&snapshot.id).ok());
            let Some(snapshot) = id.and_then(|id| snapshots.get(&id)) else { continue };
            let (name, way_back) = (&source.name, snapshot.way_back(&location));
            let message = format!("the snapshot of {name} that release {} names was deleted; {way_back}", release.id);
            report.problems.push(Problem { kind: ProblemKind::Snapshot, message });
        }
    }
    Ok(())
}

fn hidden_snapshots(hidden: &[Hidden]) -> BTreeMap<Id, &Hidden> {
    let deleted = hidden.iter().filter(|hidden| matches!(hidden.by, HiddenBy::Markers(_)));
    let snapshot = |hidden: &'_ Hidden| match file_of(&hidden.key) {
        Some((FileType::Snapshot, id)) => Some(id),
        _ => None,
    };
    deleted.filter_map(|hidden| Some((snapshot(hidden)?, hidden))).collect()
}
