//! Writing one object: whole, once where it must be, with the checksum that the server has to find.

use super::super::{Class, PutMode, PutOutcome, ReadFrom, Storage};
use super::S3Storage;
use super::calls::Answered;
use super::failure::{Failure, Subject};
use super::settings::Encryption;
use crate::error::{Error, ErrorCode, Result};
use aws_runtime::auth::PayloadSigningOverride;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ServerSideEncryption, StorageClass};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering::Relaxed;

/// What servers call the version of an object in a bucket that keeps none.
const UNVERSIONED: &str = "null";

impl S3Storage {
    pub(super) fn write(&self, key: &str, data: &Bytes, mode: PutMode, class: Class) -> Result<PutOutcome> {
        let subject = self.subject("write", key);
        let is_once = mode == PutMode::CreateOnly && class != Class::Data;
        // Who comes second here would hide what is there for as long as a lock lasts.
        if is_once && self.settles() && self.size(key)?.is_some() {
            return Ok(PutOutcome::Exists);
        }
        let digest = Sha256::digest(data);
        let checksum = STANDARD.encode(digest);
        let answered = self.calls.request(&subject, async |_| {
            let request = self.client().put_object().bucket(self.bucket()).key(self.key(key));
            let request = request.body(ByteStream::from(data.clone())).checksum_sha256(&checksum);
            let request = request.set_if_none_match((mode == PutMode::CreateOnly).then(|| "*".to_owned()));
            let request = self.locked(self.encrypted(self.placed(request, class)), class);
            let signed = request.customize().interceptor(SignedDigest(hex::encode(digest)));
            let answer = signed.send().await.map_err(|error| Failure::read(&subject, error))?;
            self.check_answer(&subject, &answer, &checksum)?;
            Ok(answer.version_id)
        })?;
        match answered {
            Answered::Done(Some(version)) if is_once && version != UNVERSIONED => self.settle(key, &version, data),
            Answered::Done(_) => Ok(PutOutcome::Written),
            // An earlier try may have been written although its answer was lost.
            Answered::Exists { tries } if tries > 1 && self.get(key, ReadFrom::Medium)?.as_deref() == Some(data) => {
                Ok(PutOutcome::Written)
            }
            Answered::Exists { .. } => Ok(PutOutcome::Exists),
            Answered::Missing => Err(self.no_bucket(&subject)),
        }
    }

    /// Says whether who was first has to be found out from the versions: some servers, Ceph's gateway among them, honour
    /// `If-None-Match` in buckets without versions only.
    fn settles(&self) -> bool {
        self.is_versioned.load(Relaxed) && !self.is_aws()
    }

    /// Finds out whether a version is the first under its key; if not, it is taken back, and who was first stays.
    fn settle(&self, key: &str, version: &str, data: &Bytes) -> Result<PutOutcome> {
        self.is_versioned.store(true, Relaxed);
        if !self.settles() || self.is_first(key, version)? {
            return Ok(PutOutcome::Written);
        }
        let subject = self.subject("take back", key);
        self.delete_version(&subject, key, version, false)?;
        let mut rest = self.standing(key)?.into_iter();
        // An earlier try of ours may have been the first, although its answer was lost.
        let first = rest.next().map(|first| self.read_version(key, &first)).transpose()?.flatten();
        if first.as_deref() == Some(data) {
            return Ok(PutOutcome::Written);
        }
        // Or it came later, and hides who was.
        for later in rest {
            if self.read_version(key, &later)?.as_deref() == Some(data) {
                self.delete_version(&subject, key, &later, false)?;
            }
        }
        Ok(PutOutcome::Exists)
    }

    /// Asks for the storage class: only for packs of content, for all else must be had at once.
    fn placed(&self, request: PutObjectFluentBuilder, class: Class) -> PutObjectFluentBuilder {
        match (&self.settings.storage_class, class) {
            (Some(name), Class::Data) => request.storage_class(StorageClass::from(name.as_str())),
            _ => request,
        }
    }

    /// Asks for the encryption of what is stored.
    pub(super) fn encrypted(&self, request: PutObjectFluentBuilder) -> PutObjectFluentBuilder {
        match &self.settings.encryption {
            None => request,
            Some(Encryption::S3) => request.server_side_encryption(ServerSideEncryption::Aes256),
            Some(Encryption::Kms(key)) => {
                request.server_side_encryption(ServerSideEncryption::AwsKms).set_ssekms_key_id(key.clone())
            }
        }
    }

    /// Makes sure that the server stored what was sent, as it was asked to.
    fn check_answer(&self, subject: &Subject<'_>, answer: &PutObjectOutput, checksum: &str) -> Result<(), Failure> {
        if answer.checksum_sha256.as_deref().is_some_and(|stored| stored != checksum) {
            return Err(Failure::Transient(subject.unavailable("the server stored something else than was sent")));
        }
        let asked = match &self.settings.encryption {
            None => return Ok(()),
            Some(Encryption::S3) => ServerSideEncryption::Aes256,
            Some(Encryption::Kms(_)) => ServerSideEncryption::AwsKms,
        };
        if answer.server_side_encryption.as_ref() == Some(&asked) {
            return Ok(());
        }
        let why = format!("the server did not encrypt it by {} as it was asked to", asked.as_str());
        let error = Error::new(ErrorCode::StoreRefused, format!("{}: {why}", subject.object));
        Err(Failure::Final(error.hint("use a server that can, or take `sse` out of [store]")))
    }
}

/// Signs a digest that is known already, so that the body is not hashed once more.
#[derive(Debug)]
struct SignedDigest(String);

impl Intercept for SignedDigest {
    fn name(&self) -> &'static str {
        "SignedDigest"
    }

    fn modify_before_signing(
        &self,
        _context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(PayloadSigningOverride::Precomputed(self.0.clone()));
        Ok(())
    }
}
