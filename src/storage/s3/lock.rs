//! Object Lock: what keeps an object from being deleted, by whomever.

use super::super::{Class, LockMode, LockTerms};
use super::S3Storage;
use super::failure::Failure;
use crate::error::{ErrorCode, Result};
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode};
use jiff::Timestamp;
use std::time::Duration;

impl S3Storage {
    /// Asks for a lock on what is written, if it is to be kept.
    pub(super) fn locked(&self, request: PutObjectFluentBuilder, class: Class) -> PutObjectFluentBuilder {
        match self.settings.object_lock.filter(|_| class != Class::Transient) {
            Some(terms) => lock_for(request, terms, terms.lasting()),
            None => request,
        }
    }

    /// Returns until when an object is locked at least as strictly as it should be.
    pub(super) fn retained_until(&self, key: &str) -> Result<Option<Timestamp>> {
        let asked = self.settings.object_lock.map_or(LockMode::Governance, |terms| terms.mode);
        Ok(self.lock_of(key)?.filter(|(mode, _)| *mode >= asked).map(|(_, until)| until))
    }

    /// Locks an object, or extends its lock.
    pub(super) fn retain(&self, key: &str, until: Timestamp) -> Result<()> {
        let Some(LockTerms { mode, .. }) = self.settings.object_lock else { return Ok(()) };
        let refused = match self.put_retention(key, mode, until, false) {
            Err(error) if error.code() == ErrorCode::StoreRefused => error,
            result => return result,
        };
        // It may be locked otherwise than it is known to be: longer, or in another mode.
        match self.lock_of(key)? {
            Some((held, locked)) if held >= mode && locked >= until => Ok(()),
            Some((held, _)) if held > mode => self.put_retention(key, held, until, false),
            // A stricter mode needs the right to lift the weaker one.
            Some((held, locked)) if held < mode => self.put_retention(key, mode, until.max(locked), true),
            _ => Err(refused),
        }
    }

    fn lock_of(&self, key: &str) -> Result<Option<(LockMode, Timestamp)>> {
        let subject = self.subject("look at the lock of", key);
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().head_object().bucket(self.bucket()).key(self.key(key));
            request.send().await.map_err(|error| Failure::read(&subject, error))
        })?;
        let Some(answer) = answered.found() else { return Ok(None) };
        let mode = match answer.object_lock_mode {
            Some(ObjectLockMode::Compliance) => LockMode::Compliance,
            Some(ObjectLockMode::Governance) => LockMode::Governance,
            _ => return Ok(None),
        };
        let until = answer.object_lock_retain_until_date.and_then(|until| Timestamp::from_second(until.secs()).ok());
        Ok(until.map(|until| (mode, until)))
    }

    fn put_retention(&self, key: &str, mode: LockMode, until: Timestamp, bypass: bool) -> Result<()> {
        let mode = match mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let retention =
            ObjectLockRetention::builder().mode(mode).retain_until_date(DateTime::from_secs(until.as_second())).build();
        let subject = self.subject("lock", key);
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().put_object_retention().bucket(self.bucket()).key(self.key(key));
            let request = request.set_bypass_governance_retention(bypass.then_some(true));
            request.retention(retention.clone()).send().await.map_err(|error| Failure::read(&subject, error))
        })?;
        let missing = || subject.error(ErrorCode::Damaged, "it does not exist");
        answered.found().map(drop).ok_or_else(missing)
    }
}

/// Asks for a lock that ends after `keep`.
pub(super) fn lock_for(request: PutObjectFluentBuilder, terms: LockTerms, keep: Duration) -> PutObjectFluentBuilder {
    let mode = match terms.mode {
        LockMode::Governance => ObjectLockMode::Governance,
        LockMode::Compliance => ObjectLockMode::Compliance,
    };
    // What is left of this second counts, too.
    let until = Timestamp::now().as_second().saturating_add_unsigned(keep.as_secs()).saturating_add(1);
    request.object_lock_mode(mode).object_lock_retain_until_date(DateTime::from_secs(until))
}
