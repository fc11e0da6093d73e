//! Snapshots that others lean on: found in the ledger, judged, and seen to be in the store still.

use super::history::{self, Sought};
use super::survey::{Ready, soften};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::Ledger;
use crate::model::finding::{Finding, Level};
use crate::model::leaning::Base;
use crate::model::manifest::VerifyMode;
use crate::model::progress::Progress;
use crate::policy::base_backup;
use crate::repository::id::IdMap;
use crate::repository::verify::{PackEvidence, Verified, verify_tree};
use crate::repository::{FileType, Id, Indexed, Snapshot, Workers};
use crate::storage::ReadFrom;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What sources lean on, by their names.
pub type Bases = BTreeMap<String, Base>;

/// A snapshot that others lean on, seen to be whole.
#[derive(Debug)]
pub struct Leaned {
    /// The snapshot.
    pub snapshot: Id,
    /// What it says of itself.
    pub file: Snapshot,
    /// Its tree.
    pub verified: Verified,
}

/// Finds what each source leans on, and says what speaks against it.
///
/// # Errors
/// The store's own.
pub fn find(ready: &[Ready<'_>], ledger: &Ledger) -> Result<(Bases, Vec<Finding>)> {
    let mut bases = Bases::new();
    let mut findings = Vec::new();
    for ready in ready {
        let Some(needs) = ready.source.leans_on() else { continue };
        let name = &ready.config.name;
        let search = ledger.newest_snapshot(&needs.source, needs.method)?;
        let so = format!("a base backup of {} may be in one of them", needs.source);
        let hint = "take another one: holdpoint snapshot";
        let sought = Sought { none: "passed and has a base backup", so: &so, hint, level: Level::Warning };
        findings.extend(history::findings(&search, sought));
        let identity = ready.source.facts().identity;
        let newest = search.found.as_ref().map(|(_, record)| record);
        match base_backup::judge(&needs, identity.as_deref(), newest, Timestamp::now()) {
            Some(finding) => findings.push(soften(ready.config, finding)),
            None => {
                let snapshot = newest.and_then(|record| record.snapshot.as_ref()).map(|snapshot| snapshot.id.clone());
                let base = search.found.zip(snapshot).map(|((release, _), snapshot)| Base {
                    source: needs.source,
                    release,
                    snapshot,
                });
                bases.extend(base.map(|base| (name.clone(), base)));
            }
        }
    }
    Ok((bases, findings))
}

/// Makes sure that a snapshot is in the store still: its file, its trees, and every pack that they refer to. `sizes` are the packs
/// that there are; in mode `all` they are read. What the snapshot says of itself, sealed with the key of the repository, is
/// compared with what the ledger says of it, which is about `place`, an application and its environment: whoever can write to
/// the store and has not the key cannot put another one in its place.
///
/// # Errors
/// `damaged` or `not-found`, naming what is missing; the store's own; a cancellation.
pub fn see(
    base: &Base,
    place: (&str, &str),
    indexed: &Indexed,
    sizes: &IdMap<u64>,
    mode: VerifyMode,
    cancel: &Cancel,
) -> Result<Leaned> {
    let gone = || {
        let Base { source, release, snapshot } = base;
        let message = format!("the snapshot {snapshot} of {source} (release {release}) is not in the store any more");
        Error::new(ErrorCode::NotFound, message).hint("take another one: holdpoint snapshot")
    };
    let repository = indexed.repository();
    let id = Id::parse(&base.snapshot).map_err(|_| gone())?;
    let file: Snapshot = repository.load_json(FileType::Snapshot, &id, ReadFrom::Medium)?.ok_or_else(gone)?;
    if !is_of(&file, place, base) {
        return Err(another(base));
    }
    let progress = Progress::new();
    let workers = Workers { threads: repository.readers(), progress: &progress, cancel };
    let verified = verify_tree(indexed, file.tree, mode, &PackEvidence::default(), sizes, &workers)?;
    Ok(Leaned { snapshot: id, file, verified })
}

fn is_of(file: &Snapshot, (application, environment): (&str, &str), base: &Base) -> bool {
    file.tag("application") == Some(application)
        && file.tag("environment") == Some(environment)
        && file.tag("source") == Some(&base.source)
        && file.tag("release") == Some(base.release.as_str())
}

/// Says that a snapshot is not the one that the ledger means.
pub fn another(Base { source, release, snapshot }: &Base) -> Error {
    let message = format!("the snapshot {snapshot} is not the one that the release {release} took of {source}");
    Error::new(ErrorCode::Damaged, message).hint("find out who can write to the store")
}
