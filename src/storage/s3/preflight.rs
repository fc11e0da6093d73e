//! Whether a bucket is set up for what is asked of it.

use super::super::{Look, Unfit, UnfitKind};
use super::S3Storage;
use super::failure::Failure;
use crate::error::{ErrorCode, Result};
use aws_sdk_s3::types::{BucketLocationConstraint, ObjectLockConfiguration, ObjectLockEnabled};
use url::Url;

impl S3Storage {
    /// Looks at the bucket itself. [`Look::AsAsked`] asks at most for its Object Lock and its region, and only where the
    /// settings name them.
    pub(super) fn unfit(&self, look: Look) -> Result<Vec<Unfit>> {
        let mut unfit = Vec::new();
        if self.settings.object_lock.is_some() || look == Look::Everything {
            unfit.extend(self.judge_lock()?);
        }
        if !self.settings.allowed_regions.is_empty() {
            unfit.extend(self.judge_region()?);
        }
        Ok(unfit)
    }

    fn judge_lock(&self) -> Result<Option<Unfit>> {
        let is_asked = self.settings.object_lock.is_some();
        let configuration = match self.lock_configuration() {
            // Whoever asks for no locks need not have the right to look, nor a server that knows them.
            Err(error) if error.code() == ErrorCode::StoreRefused && !is_asked => return Ok(None),
            result => result?,
        };
        let enabled = ObjectLockEnabled::Enabled;
        let Some(configuration) = configuration.filter(|found| found.object_lock_enabled.as_ref() == Some(&enabled))
        else {
            return Ok(is_asked.then(|| Unfit {
                kind: UnfitKind::NoObjectLock,
                message: format!("the bucket {} has no Object Lock, which `object_lock` asks for", self.bucket()),
                hint: "create the bucket with Object Lock (`aws s3api create-bucket --object-lock-enabled-for-bucket`), or \
                       take `object_lock` out of [store]"
                    .to_owned(),
            }));
        };
        Ok(configuration.rule.and_then(|rule| rule.default_retention).map(|_| Unfit {
            kind: UnfitKind::LocksEverything,
            message: format!(
                "the bucket {} has a default retention: it locks leases, locks and hints, too, which are replaced all the \
                 time",
                self.bucket()
            ),
            hint: "take the default retention off the bucket; holdpoint locks each object that has to be kept, if \
                   `object_lock` is set in [store]"
                .to_owned(),
        }))
    }

    /// Returns the bucket's Object Lock; `None` if it has none.
    fn lock_configuration(&self) -> Result<Option<ObjectLockConfiguration>> {
        let subject = self.subject("look at the Object Lock of", "");
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().get_object_lock_configuration().bucket(self.bucket());
            request.send().await.map_err(|error| Failure::read(&subject, error))
        })?;
        Ok(answered.found().and_then(|answer| answer.object_lock_configuration))
    }

    fn judge_region(&self) -> Result<Option<Unfit>> {
        let allowed = &self.settings.allowed_regions;
        let list = allowed.join(", ");
        let (message, hint) = match self.region()? {
            Some(region) if allowed.contains(&region) => return Ok(None),
            Some(region) => (
                format!("the bucket {} is in {region}, and only {list} is allowed", self.bucket()),
                "name a bucket in an allowed region, or correct `allowed_regions` in [store]".to_owned(),
            ),
            None => (
                format!("the server does not say in which region the bucket {} is, and only {list} is allowed", self.bucket()),
                "give the credentials s3:ListBucket and s3:GetBucketLocation; a server that knows no regions cannot be used \
                 with `allowed_regions`"
                    .to_owned(),
            ),
        };
        Ok(Some(Unfit { kind: UnfitKind::Region, message, hint }))
    }

    /// Returns the region that the bucket is really in, as the server says; `None` if it does not.
    fn region(&self) -> Result<Option<String>> {
        let subject = self.subject("look at", "");
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().head_bucket().bucket(self.bucket());
            request.send().await.map_err(|error| Failure::read(&subject, error))
        });
        match answered {
            Ok(answered) => {
                let answer = answered.found().ok_or_else(|| {
                    let hint = format!("create the bucket {}, or correct the store's location", self.bucket());
                    subject.error(ErrorCode::StoreRefused, "there is no such bucket").hint(hint)
                })?;
                if let Some(region) = answer.bucket_region.filter(|region| !region.is_empty()) {
                    return Ok(Some(region));
                }
            }
            // Whoever may list below a prefix only may not ask for the bucket; another right tells where it is.
            Err(error) if error.code() == ErrorCode::StoreRefused => {}
            Err(error) => return Err(error),
        }
        let subject = self.subject("look at the region of", "");
        let location = self.calls.request(&subject, async |_| {
            let request = self.client().get_bucket_location().bucket(self.bucket());
            request.send().await.map_err(|error| Failure::read(&subject, error))
        });
        match location {
            Ok(answered) => Ok(self.region_of(answered.found().and_then(|answer| answer.location_constraint))),
            Err(error) if error.code() == ErrorCode::StoreRefused => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a location constraint: AWS leaves its first region out, and has an old name for another.
    fn region_of(&self, location: Option<BucketLocationConstraint>) -> Option<String> {
        let location = location.map(|location| location.as_str().to_owned()).unwrap_or_default();
        match location.as_str() {
            "" => self.is_aws().then(|| "us-east-1".to_owned()),
            "EU" if self.is_aws() => Some("eu-west-1".to_owned()),
            _ => Some(location),
        }
    }

    /// Says whether the server is AWS's own.
    pub(super) fn is_aws(&self) -> bool {
        let Some(endpoint) = &self.connected.endpoint else { return true };
        let host = Url::parse(endpoint).ok().and_then(|url| url.host_str().map(str::to_owned));
        host.is_some_and(|host| host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"))
    }
}
