//! The pass of a rollback: under its freeze, exactly the older version may be deployed, and nothing else.
//!
//! `rollback-pass.json` and its signature are there only while the rollback waits for the deploy step. A copy that is put
//! there later is worth nothing: it names the freeze that it counts under, and ends by itself.

use super::claim::unreadable;
use super::releases::Ledger;
use crate::error::{Error, ErrorCode, Result};
use crate::model::release_id::ReleaseId;
use crate::model::version::Version;
use crate::storage::{Class, PutMode, ReadFrom};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const PASS: &str = "rollback-pass.json";
const SIGNATURE: &str = "rollback-pass.json.sig";

/// What a signature says that it is over: no manifest has such a field, and this has those of none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    #[serde(rename = "rollback-pass")]
    RollbackPass,
}

/// What may be deployed while the environment is frozen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackPass {
    document: Kind,
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// The release that is undone.
    pub release: ReleaseId,
    /// The version to deploy again.
    pub version: Version,
    /// Its commit, or the beginning of it.
    pub commit: String,
    /// The beginning of the freeze that it counts under.
    pub frozen_at: Timestamp,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// What a rollback says of the deployment that it waits for.
#[derive(Debug, Clone)]
pub struct Deployment<'a> {
    /// The application.
    pub application: &'a str,
    /// The environment.
    pub environment: &'a str,
    /// The release that is undone.
    pub release: &'a ReleaseId,
    /// The version to deploy again.
    pub version: &'a Version,
    /// Its commit, or the beginning of it.
    pub commit: &'a str,
    /// The beginning of the freeze.
    pub frozen_at: Timestamp,
}

/// A pass as the ledger holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPass {
    /// What it says.
    pub pass: RollbackPass,
    /// Its bytes, over which it is signed.
    pub bytes: Vec<u8>,
    /// Its signature, if it has one.
    pub signature: Option<Vec<u8>>,
}

impl RollbackPass {
    /// Makes the pass for a deployment that may begin between two moments.
    pub fn new(of: &Deployment<'_>, issued_at: Timestamp, expires_at: Timestamp) -> Self {
        Self {
            document: Kind::RollbackPass,
            application: of.application.to_owned(),
            environment: of.environment.to_owned(),
            release: of.release.clone(),
            version: of.version.clone(),
            commit: of.commit.to_owned(),
            frozen_at: of.frozen_at,
            issued_at,
            expires_at,
        }
    }

    /// Returns its bytes, to be signed and stored.
    ///
    /// # Errors
    /// `internal`: it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self)
            .map_err(|error| Error::new(ErrorCode::Internal, "cannot write a rollback pass as JSON").caused_by(error))
    }
}

impl Ledger {
    /// Writes a rollback's pass and its signature, in place of an older one. Only the holder of the lease may call this.
    ///
    /// # Errors
    /// The store's own.
    pub fn issue_rollback_pass(&self, pass: Vec<u8>, signature: String) -> Result<()> {
        self.withdraw_rollback_pass()?;
        let _ = self.storage.put(SIGNATURE, &signature.into(), PutMode::Overwrite, Class::Transient)?;
        self.storage.put(PASS, &pass.into(), PutMode::Overwrite, Class::Transient).map(drop)
    }

    /// Returns the pass of a rollback, if there is one.
    ///
    /// # Errors
    /// The store's own, or `manifest-invalid` if it cannot be read.
    pub fn rollback_pass(&self) -> Result<Option<StoredPass>> {
        let Some(bytes) = self.storage.get(PASS, ReadFrom::Anywhere)? else { return Ok(None) };
        let pass = serde_json::from_slice(&bytes).map_err(|error| unreadable(PASS, error))?;
        let signature = self.storage.get(SIGNATURE, ReadFrom::Anywhere)?;
        Ok(Some(StoredPass { pass, bytes, signature }))
    }

    /// Removes the pass of a rollback, if there is one.
    ///
    /// # Errors
    /// The store's own.
    pub fn withdraw_rollback_pass(&self) -> Result<()> {
        self.storage.delete(PASS)?;
        self.storage.delete(SIGNATURE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LocalStorage;
    use std::sync::Arc;

    #[test]
    fn a_pass_is_there_until_it_is_withdrawn() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        let at = |second| Timestamp::from_second(second).unwrap();
        let version = Version::from("1.3.0".to_owned());
        let release = ReleaseId::parse("20261120T213000Z-1.4.0-3f9c2ab1").unwrap();
        let of = Deployment {
            application: "shop",
            environment: "production",
            release: &release,
            version: &version,
            commit: "3f9c2ab1",
            frozen_at: at(1),
        };
        let pass = RollbackPass::new(&of, at(2), at(3));
        assert_eq!(ledger.rollback_pass().unwrap(), None);
        ledger.withdraw_rollback_pass().unwrap();
        for signature in ["one", "two"] {
            ledger.issue_rollback_pass(pass.to_json().unwrap(), signature.to_owned()).unwrap();
            let stored = ledger.rollback_pass().unwrap().unwrap();
            assert_eq!((stored.pass, stored.signature.unwrap()), (pass.clone(), signature.as_bytes().to_vec()));
        }
        ledger.withdraw_rollback_pass().unwrap();
        assert_eq!(ledger.rollback_pass().unwrap(), None);
        // A signed manifest is no pass, whatever fields somebody finds in it.
        let other = String::from_utf8(pass.to_json().unwrap()).unwrap().replace("rollback-pass", "manifest");
        ledger.issue_rollback_pass(other.into_bytes(), String::new()).unwrap();
        assert_eq!(ledger.rollback_pass().unwrap_err().code(), ErrorCode::ManifestInvalid);
    }
}
