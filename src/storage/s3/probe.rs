//! Whether a lock holds: not what the bucket says of itself, but what becomes of an object.

use super::super::{LockMode, LockProbe};
use super::S3Storage;
use super::failure::{Failure, Subject};
use super::lock::lock_for;
use crate::error::{Error, ErrorCode, Result};
use aws_sdk_s3::primitives::ByteStream;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// What a probe holds, for whoever finds one.
const CONTENT: &[u8] = b"holdpoint doctor tried to delete this object, which is locked; a later doctor removes it.\n";

impl S3Storage {
    /// Locks an object for `keep`, and tries to delete it for good.
    pub(super) fn probe(&self, prefix: &str, keep: Duration) -> Result<Option<LockProbe>> {
        let Some(terms) = self.settings.object_lock else { return Ok(None) };
        self.sweep(prefix)?;
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| Error::new(ErrorCode::Internal, "no random numbers").caused_by(error))?;
        let key = format!("{prefix}{}", hex::encode(random));
        let subject = self.subject("lock", &key);
        let checksum = STANDARD.encode(Sha256::digest(CONTENT));
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().put_object().bucket(self.bucket()).key(self.key(&key));
            let request = request.body(ByteStream::from_static(CONTENT)).checksum_sha256(&checksum);
            let request = lock_for(self.encrypted(request), terms, keep);
            request.send().await.map_err(|error| Failure::read(&subject, error))
        })?;
        // Without versions there is nothing that a lock could hold.
        let Some(version) = answered.found().and_then(|answer| answer.version_id) else {
            return Ok(Some(LockProbe { held: false, lifted: false }));
        };
        let subject = self.subject("delete the locked version of", &key);
        self.delete_version(&subject, &key, &version, false)?;
        if !self.has_version(&key, &version)? {
            return Ok(Some(LockProbe { held: false, lifted: false }));
        }
        let lifted = terms.mode == LockMode::Governance && {
            self.delete_version(&subject, &key, &version, true)?;
            !self.has_version(&key, &version)?
        };
        Ok(Some(LockProbe { held: true, lifted }))
    }

    /// Removes the probes below `prefix` whose locks have run out. Those that may not be removed stay.
    fn sweep(&self, prefix: &str) -> Result<()> {
        let subject = self.subject("remove", prefix);
        let versions = match self.versions(prefix) {
            // Who may not list them may not remove them, either.
            Err(error) if error.code() == ErrorCode::StoreRefused => return Ok(()),
            result => result?,
        };
        for (key, group) in versions {
            for version in group.ids() {
                self.delete_version(&subject, &key, version, false)?;
            }
        }
        Ok(())
    }

    /// Asks for the deletion of one version; a refusal is an answer.
    pub(super) fn delete_version(&self, subject: &Subject<'_>, key: &str, version: &str, bypass: bool) -> Result<()> {
        let answered = self.calls.request(subject, async |_| {
            let request = self.client().delete_object().bucket(self.bucket()).key(self.key(key)).version_id(version);
            let request = request.set_bypass_governance_retention(bypass.then_some(true));
            request.send().await.map_err(|error| Failure::read(subject, error))
        });
        match answered {
            Err(error) if error.code() != ErrorCode::StoreRefused => Err(error),
            _ => Ok(()),
        }
    }

    /// Says whether a version is there.
    pub(super) fn has_version(&self, key: &str, version: &str) -> Result<bool> {
        let subject = self.subject("look at", key);
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().head_object().bucket(self.bucket()).key(self.key(key)).version_id(version);
            request.send().await.map_err(|error| Failure::read(&subject, error))
        })?;
        Ok(answered.found().is_some())
    }
}
