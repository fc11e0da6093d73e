//! Are the snapshots that the pass rests on still in the store?

use super::super::bases;
use super::super::place::Place;
use crate::cancel::Cancel;
use crate::error::{ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::leaning::Base;
use crate::model::manifest::{Manifest, SourceRecord, VerifyMode};
use crate::repository::Indexed;
use crate::repository::id::IdMap;

/// Looks at every snapshot of a pass, and at what it leans on: its file, its trees, and the presence and size of every
/// pack that they refer to. Returns what is missing.
///
/// # Errors
/// The store's own; a cancellation.
pub(super) fn snapshots(place: &Place, pass: &Manifest, cancel: &Cancel) -> Result<Vec<Finding>> {
    let indexed = match place.open().and_then(|repository| repository.index(cancel)) {
        Ok(indexed) => indexed,
        Err(error) if is_loss(error.code()) => return Ok(vec![gone(pass, &error.chain())]),
        Err(error) => return Err(error),
    };
    if pass.store.repository_id.as_deref() != Some(indexed.repository().id().to_string().as_str()) {
        return Ok(vec![gone(pass, "the repository is not the one that the gate wrote to")]);
    }
    let mut findings = Vec::new();
    let sizes = indexed.repository().pack_sizes()?;
    for source in &pass.sources {
        for base in rests_on(pass, source) {
            findings.extend(look(pass, source, &base, (&indexed, &sizes), cancel)?);
        }
    }
    Ok(findings)
}

/// Returns the snapshot of a source, and the one that it leans on.
fn rests_on(pass: &Manifest, source: &SourceRecord) -> Vec<Base> {
    let own = source.snapshot.as_ref().map(|snapshot| Base {
        source: source.name.clone(),
        release: source.captured_by(&pass.id).clone(),
        snapshot: snapshot.id.clone(),
    });
    own.into_iter().chain(Base::of(&source.content)).collect()
}

fn look(
    pass: &Manifest,
    source: &SourceRecord,
    base: &Base,
    (indexed, sizes): (&Indexed, &IdMap<u64>),
    cancel: &Cancel,
) -> Result<Option<Finding>> {
    let tree = source.snapshot.as_ref().filter(|snapshot| snapshot.id == base.snapshot).map(|snapshot| &snapshot.tree);
    let place = (pass.application.as_str(), pass.environment.name.as_str());
    match bases::see(base, place, indexed, sizes, VerifyMode::New, cancel) {
        Ok(seen) if tree.is_none_or(|tree| *tree == seen.verified.tree().to_string()) => Ok(None),
        Ok(_) => Ok(Some(gone(pass, "the snapshot holds another tree than the gate saw").of_source(&source.name))),
        Err(error) if is_loss(error.code()) => Ok(Some(gone(pass, &error.chain()).of_source(&source.name))),
        Err(error) => Err(error),
    }
}

fn gone(pass: &Manifest, why: &str) -> Finding {
    Finding::refusal(FindingCode::SnapshotGone, format!("what the pass {} rests on is gone: {why}", pass.id))
        .hint("find out who removed it, and run the gate again")
}

/// Says whether an error tells that something is not there any more; all others tell nothing of the snapshots.
fn is_loss(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NotFound | ErrorCode::Damaged | ErrorCode::NoRepository | ErrorCode::ForeignRepository)
}
