//! What `doctor` looks at: whether a copy can be written, and whether it is a copy of this store.

use super::super::doctor;
use super::super::place::Place;
use super::{CopyStore, domain};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::Finding;
use crate::storage::ReadFrom;

/// Says what speaks against a copy; writes, reads and deletes an object there.
///
/// # Errors
/// A cancellation only.
pub fn probe(store: &Place, copy: &CopyStore, cancel: &Cancel) -> Result<Vec<Finding>> {
    let mut findings: Vec<_> = domain::finding(store, copy).into_iter().collect();
    let looked = doctor::store::probe(&copy.place.ledger_storage()).and_then(|()| same_repository(store, copy));
    cancel.check()?;
    findings.extend(looked.err().map(|error| copy.finding(&error)));
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
