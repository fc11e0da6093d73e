//! Object Lock: what keeps an object from being deleted, by whomever.

use super::super::{Class, LockMode};
use super::S3Storage;
use super::failure::Failure;
use crate::error::Result;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode};
use jiff::Timestamp;

impl S3Storage {
    /// Asks for a lock on what is written, if it is to be kept.
    pub(super) fn locked(&self, request: PutObjectFluentBuilder, class: Class) -> PutObjectFluentBuilder {
        let Some(terms) = self.settings.object_lock.filter(|_| class != Class::Transient) else { return request };
        let mode = match terms.mode {
            LockMode::Governance => ObjectLockMode::Governance,
            LockMode::Compliance => ObjectLockMode::Compliance,
        };
        let until = Timestamp::now().as_second().saturating_add_unsigned(terms.retain.as_secs());
        request.object_lock_mode(mode).object_lock_retain_until_date(DateTime::from_secs(until))
    }

    pub(super) fn retained_until(&self, key: &str) -> Result<Option<Timestamp>> {
        let subject = self.subject("look at the lock of", key);
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().head_object().bucket(self.bucket()).key(self.key(key));
            request.send().await.map_err(|error| Failure::read(&subject, error))
        })?;
        let until = answered.found().and_then(|answer| answer.object_lock_retain_until_date);
        Ok(until.and_then(|until| Timestamp::from_second(until.secs()).ok()))
    }

    pub(super) fn retain(&self, key: &str, until: Timestamp) -> Result<()> {
        let Some(terms) = self.settings.object_lock else { return Ok(()) };
        let mode = match terms.mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let retention =
            ObjectLockRetention::builder().mode(mode).retain_until_date(DateTime::from_secs(until.as_second())).build();
        let subject = self.subject("lock", key);
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().put_object_retention().bucket(self.bucket()).key(self.key(key));
            request.retention(retention.clone()).send().await.map_err(|error| Failure::read(&subject, error))
        })?;
        answered.found().map(drop).ok_or_else(|| subject.unavailable("it does not exist"))
    }
}
