//! The deployment claim: from the moment that a pass is used until somebody has seen what runs (design §3).
//!
//! `claim.json` is create-only, and only the holder of the lease replaces one that has run out, so that of several runs
//! that ask at once one gets it.

use super::releases::Ledger;
use crate::error::{Error, ErrorCode, Result};
use crate::model::release_id::ReleaseId;
use crate::model::version::Version;
use crate::storage::{Class, PutMode, PutOutcome, ReadFrom};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const CLAIM: &str = "claim.json";

/// Who deploys into the environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The release whose pass was used.
    pub release: ReleaseId,
    /// The version that is deployed.
    pub version: Version,
    /// Which run of a pipeline deploys it; the same one may ask again.
    pub run: String,
    /// Where the run can be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_url: Option<String>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

impl Claim {
    /// Says whether others have to wait at a time.
    pub fn is_open(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }
}

impl Ledger {
    /// Returns the claim of the environment, also one that has run out.
    ///
    /// # Errors
    /// The store's own, or `manifest-invalid` if it cannot be read: somebody may be deploying.
    pub fn claim(&self) -> Result<Option<Claim>> {
        let bytes = self.storage.get(CLAIM, ReadFrom::Anywhere)?;
        bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(|error| unreadable(CLAIM, error))).transpose()
    }

    /// Opens a claim; `replaced` is the one that has run out, if there is one. Only the holder of the lease may call this.
    /// Says whether it is ours: if not, another run opened one.
    ///
    /// # Errors
    /// The store's own.
    pub fn open_claim(&self, claim: &Claim, replaced: Option<&Claim>) -> Result<bool> {
        if replaced.is_some() {
            self.storage.delete(CLAIM)?;
        }
        let json = serde_json::to_vec_pretty(claim)
            .map_err(|error| Error::new(ErrorCode::Internal, "cannot write a claim as JSON").caused_by(error))?;
        match self.storage.put(CLAIM, &json.into(), PutMode::CreateOnly, Class::Transient)? {
            PutOutcome::Written => Ok(true),
            // Something on the way may repeat a request: then it is ours.
            PutOutcome::Exists => Ok(self.claim()?.as_ref() == Some(claim)),
        }
    }

    /// Closes the claim of a release; says whether there was one. That of another release stays.
    ///
    /// # Errors
    /// The store's own, or `manifest-invalid` if it cannot be read.
    pub fn close_claim(&self, release: &ReleaseId) -> Result<bool> {
        let is_its = self.claim()?.is_some_and(|claim| claim.release == *release);
        if is_its {
            self.storage.delete(CLAIM)?;
        }
        Ok(is_its)
    }
}

/// Says that a record which keeps others out cannot be read.
pub(super) fn unreadable(key: &str, error: serde_json::Error) -> Error {
    Error::new(ErrorCode::ManifestInvalid, format!("{key} of this environment cannot be read")).caused_by(error).hint(
        "it was altered, or a newer holdpoint wrote it: use that version, or look at the file and remove it by hand",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LocalStorage;
    use std::sync::Arc;

    fn claim(run: &str, opened: &str, expires: &str) -> Claim {
        Claim {
            release: ReleaseId::parse("20261120T213000Z-1.4.0-3f9c2ab1").unwrap(),
            version: Version::from("1.4.0".to_owned()),
            run: run.to_owned(),
            run_url: None,
            opened_at: opened.parse().unwrap(),
            expires_at: expires.parse().unwrap(),
        }
    }

    #[test]
    fn one_claim_is_open_until_it_is_closed_or_over() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        assert_eq!(ledger.claim().unwrap(), None);
        let first = claim("a", "2026-11-20T21:30:00Z", "2026-11-20T23:30:00Z");
        let second = claim("b", "2026-11-21T00:00:00Z", "2026-11-21T02:00:00Z");
        assert!(ledger.open_claim(&first, None).unwrap());
        assert!(ledger.open_claim(&first, None).unwrap(), "a repeated request is ours");
        assert!(!ledger.open_claim(&second, None).unwrap());
        assert!(first.is_open("2026-11-20T23:29:59Z".parse().unwrap()));
        assert!(!first.is_open("2026-11-20T23:30:00Z".parse().unwrap()));
        assert!(ledger.open_claim(&second, Some(&first)).unwrap());
        let other = ReleaseId::parse("20261120T213000Z-1.5.0-3f9c2ab1").unwrap();
        assert!(!ledger.close_claim(&other).unwrap());
        assert!(ledger.close_claim(&second.release).unwrap());
        assert_eq!(ledger.claim().unwrap(), None);
        assert!(!ledger.close_claim(&second.release).unwrap());
        std::fs::write(directory.path().join(CLAIM), "{\"release\": 1}").unwrap();
        assert_eq!(ledger.claim().unwrap_err().code(), ErrorCode::ManifestInvalid);
    }
}
