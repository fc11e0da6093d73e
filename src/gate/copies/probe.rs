//! What `doctor` looks at: whether a copy can be written, and whether it is a copy of this store.

use super::super::doctor;
use super::super::place::Place;
use super::{CopyStore, domain};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::Finding;
use crate::storage::{Look, ReadFrom};

/// Says what speaks against a copy; writes, reads and deletes an object there, and tries its locks if it is to have some.
///
/// # Errors
/// A cancellation only.
pub fn probe(store: &Place, copy: &CopyStore, cancel: &Cancel) -> Result<Vec<Finding>> {
    let mut findings: Vec<_> = domain::finding(store, copy).into_iter().collect();
    let looked = doctor::store::probe(&copy.place.ledger_storage()).and_then(|()| same_repository(store, copy));
    cancel.check()?;
    let answers = looked.is_ok();
    findings.extend(looked.err().map(|error| copy.finding(&error)));
    if !answers {
        return Ok(findings);
    }
    let unfit = copy.preflight(Look::Everything);
    cancel.check()?;
    let ledger = copy.place.ledger_storage();
    // Where the bucket has no locks there is nothing to try.
    if unfit.is_empty() && ledger.lock_terms().is_some() {
        match doctor::store::probe_lock(&ledger) {
            Ok(finding) => findings.extend(finding.map(|finding| {
                let message = format!("copy {}: {}", copy.name, finding.message);
                copy.weigh(Finding { message, ..finding })
            })),
            Err(error) => findings.push(copy.finding(&error)),
        }
        cancel.check()?;
    }
    findings.extend(unfit);
    Ok(findings)
}

/// Makes sure that a copy that has a repository has this one: its config is the same, byte for byte.
fn same_repository(store: &Place, copy: &CopyStore) -> Result<()> {
    let config = |place: &Place| place.repository_storage().get("config", ReadFrom::Medium);
    match (config(store)?, config(&copy.place)?) {
        (_, None) => Ok(()),
        (Some(own), Some(theirs)) if own == theirs => Ok(()),
        (own, Some(_)) => {
            let than =
                if own.is_some() { "another repository than the store" } else { "a repository, and the store none" };
            let message = format!("{} holds {than}", copy.place.repository_location());
            Err(Error::new(ErrorCode::CopyConflict, message).hint(
                "name an empty place for the copy; where it has become the store, name it by --store or `location`",
            ))
        }
    }
}
