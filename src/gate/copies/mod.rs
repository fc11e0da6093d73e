//! Second stores: full copies of an environment's part of the store, in another failure domain.
//!
//! [`bring`] makes one copy what the store is; [`step`] is what a gate does with all of them, [`domain`] says whether
//! they would be lost together with the store.

pub mod bring;
mod completed;
pub mod domain;
pub mod probe;
mod records;
pub mod step;

use super::place::Place;
use crate::cancel::Cancel;
use crate::config::{Config, Text};
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::storage::Look;

/// A second store for one application and environment.
#[derive(Debug, Clone)]
pub struct CopyStore {
    /// Its name in the configuration.
    pub name: String,
    /// Whether its failure refuses.
    pub required: bool,
    /// Where it is.
    pub place: Place,
    /// Ends the work on this copy alone, its requests too; a child of the run's.
    pub cancel: Cancel,
}

impl CopyStore {
    /// Opens every copy that the configuration names; nothing is asked of their servers.
    ///
    /// # Errors
    /// `usage`: a location or its settings cannot be used.
    pub fn open_all(config: &Config, store: &Place, cancel: &Cancel) -> Result<Vec<Self>> {
        let open = |(name, copy): (&String, &crate::config::CopyConfig)| {
            let cancel = cancel.child();
            let opened = Text::resolve(&copy.location).and_then(|text| store.copy_at(&text, &copy.bucket, &cancel));
            let place = opened.map_err(|error| error.under_same_code(format!("the copy `{name}` cannot be used")))?;
            Ok(Self { name: name.clone(), required: copy.required, place, cancel })
        };
        config.store.copies.iter().map(open).collect()
    }

    /// Turns what kept this copy from being whole into a finding.
    pub fn finding(&self, error: &Error) -> Finding {
        let code = match error.code().exit() {
            ExitCode::Unverified => FindingCode::CopyUnverified,
            _ => FindingCode::CopyFailed,
        };
        let finding = Finding::refusal(code, format!("copy {}: {}", self.name, error.chain()));
        let finding = match error.hints().first() {
            Some(hint) => finding.hint(hint.clone()),
            None => finding.hint("`holdpoint copy` brings it up to date once it is well again"),
        };
        self.weigh(finding)
    }

    /// Says what makes this copy unfit for what the configuration asks of it, such as locks or a region.
    pub fn preflight(&self, look: Look) -> Vec<Finding> {
        let named = |finding: Finding| {
            let message = format!("copy {}: {}", self.name, finding.message);
            self.weigh(Finding { message, ..finding })
        };
        match self.place.preflight(look) {
            Ok(findings) => findings.into_iter().map(named).collect(),
            Err(error) => vec![self.finding(&error)],
        }
    }

    /// Makes sure that the copy is fit for what the configuration asks of it.
    ///
    /// # Errors
    /// `store-refused`: it is not; the storage's own.
    pub fn check_fit(&self) -> Result<()> {
        let Some(unfit) = self.place.preflight(Look::AsAsked)?.into_iter().next() else { return Ok(()) };
        let error = Error::new(ErrorCode::StoreRefused, unfit.message);
        Err(unfit.hint.into_iter().fold(error, Error::hint))
    }

    /// Softens a finding about a copy that is not required.
    pub fn weigh(&self, finding: Finding) -> Finding {
        if self.required { finding } else { finding.softened() }
    }
}

/// Joins what was wrong with a copy into one error.
pub fn join(mut problems: Vec<Error>) -> Error {
    let more = problems.len().saturating_sub(1);
    if problems.is_empty() {
        return Error::new(ErrorCode::Internal, "nothing was wrong");
    }
    let first = problems.swap_remove(0);
    match more {
        0 => first,
        more => {
            let message = format!("{} (and {more} more)", first.chain());
            let joined = Error::new(first.code(), message);
            first.hints().iter().fold(joined, |error, hint| error.hint(hint.clone()))
        }
    }
}
