//! Moving what a retired environment had to the copy that keeps it.

use super::Request;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::gate::copies::bring::{Bring, Scope};
use crate::gate::copies::{CopyStore, domain, join};
use crate::repository::{FileType, Id, Repository};
use std::collections::BTreeSet;

/// Brings the archive up to date, reads back all of it, and makes sure that every snapshot that is to go is there. The caller
/// keeps everybody else out of the store.
///
/// # Errors
/// `usage` if the archive is the store itself; what was wrong with the archive; `not-found`, naming a snapshot that it
/// lacks; a cancellation.
pub(super) fn bring(
    request: &Request<'_>,
    copy: &CopyStore,
    repository: &Repository,
    going: &BTreeSet<Id>,
    cancel: &Cancel,
) -> Result<()> {
    domain::check_distinct(request.place, copy)?;
    copy.check_fit()?;
    let indexed = repository.index(cancel)?;
    let bring = Bring {
        store: request.place,
        indexed: &indexed,
        scope: Scope::Everything,
        // What is deleted here is nowhere else: every byte of it was read there.
        read_all: true,
        kept: Vec::new(),
        patience: request.patience,
        observer: request.observer,
    };
    let report = bring.perform(copy, cancel)?;
    if !report.problems.is_empty() {
        return Err(join(report.problems).under_same_code(format!("the archive `{}` is not whole", copy.name)));
    }
    let there = repository.copy_at(copy.place.clone().uncached().repository_storage());
    let there: BTreeSet<Id> = there.list(FileType::Snapshot)?.into_iter().map(|(id, _)| id).collect();
    match going.difference(&there).next() {
        None => Ok(()),
        Some(lacking) => {
            let message = format!("the archive `{}` lacks the snapshot {lacking}: nothing was removed", copy.name);
            Err(Error::new(ErrorCode::NotFound, message)
                .hint(format!("run `holdpoint copy {} --verify all`, then start again", copy.name)))
        }
    }
}
