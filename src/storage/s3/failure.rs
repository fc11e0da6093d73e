//! What a failed request means: whether another try may help, and what to tell people.

use crate::error::{Error, ErrorCode, innermost};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no such object.
    Missing,
    /// The object exists, and must not.
    Exists,
    /// Another try may help.
    Transient(Error),
    /// No other try will help.
    Final(Error),
}

/// What a request was about, for messages.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    /// Such as `write`.
    pub(super) verb: &'a str,
    /// `s3://bucket/key`.
    pub(super) object: String,
    /// The bucket.
    pub(super) bucket: &'a str,
    /// The region that was signed for.
    pub(super) region: &'a str,
}

impl Subject<'_> {
    /// Returns an error about this request.
    pub(super) fn error(&self, code: ErrorCode, why: &str) -> Error {
        let Self { verb, object, .. } = self;
        Error::new(code, format!("cannot {verb} {object}: {why}"))
    }

    /// Returns the error about an answer that no S3 server gives.
    pub(super) fn no_s3(&self) -> Error {
        self.error(ErrorCode::StoreRefused, "the answer is a page for people, not one of an S3 server")
            .hint("see that `endpoint` in [store] names an S3 server, and that no proxy is in between")
    }

    pub(super) fn unavailable(&self, why: &str) -> Error {
        self.error(ErrorCode::StoreUnavailable, why)
            .hint("check that the store can be reached from here and answers; then run the command again")
    }
}

impl Failure {
    /// Reads the failure of a request.
    pub(super) fn read<E>(subject: &Subject<'_>, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match &error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let header = |name| answer.raw().headers().get(name).map(str::to_owned);
                let is_page = is_page(answer.raw().headers().get("content-type"));
                let answer = Answer {
                    status,
                    is_page,
                    code: answer.err().code().unwrap_or_default(),
                    message: answer.err().message().unwrap_or_default(),
                    region: header("x-amz-bucket-region"),
                };
                answer.judge(subject)
            }
            SdkError::DispatchFailure(failure) if failure.is_user() => Self::Final(dispatch(subject, &error)),
            // Whoever gives the credentials may be out of reach for a moment; where there is nobody to ask, it is final.
            SdkError::DispatchFailure(failure) if failure.is_other() && !may_pass(&error) => {
                Self::Final(dispatch(subject, &error))
            }
            SdkError::ConstructionFailure(_) => Self::Final(dispatch(subject, &error)),
            SdkError::DispatchFailure(_) if is_about_trust(&error) => {
                let hint =
                    "name the authority that signed the server's certificate by `ca_file` in [store], or AWS_CA_BUNDLE";
                Self::Final(subject.error(ErrorCode::StoreRefused, &innermost(&error)).hint(hint))
            }
            SdkError::ResponseError(answer) if is_page(answer.raw().headers().get("content-type")) => {
                Self::Final(subject.no_s3())
            }
            _ => Self::Transient(subject.unavailable(&innermost(&error))),
        }
    }
}

/// Says whether an answer is meant for people: error pages of web servers and proxies are, nothing that is stored is.
pub(super) fn is_page(content_type: Option<&str>) -> bool {
    content_type.is_some_and(|kind| kind.starts_with("text/html"))
}

/// Says whether the server's certificate was not accepted.
fn is_about_trust(error: &(dyn std::error::Error + 'static)) -> bool {
    chain(error).any(|cause| cause.to_string().starts_with("invalid peer certificate"))
}

/// What was not even sent: mostly for want of credentials.
fn dispatch<E>(subject: &Subject<'_>, error: &SdkError<E, HttpResponse>) -> Error
where
    E: std::error::Error + 'static,
{
    let why = innermost(error);
    let is_about_credentials = chain(error).any(|cause| {
        let text = cause.to_string().to_ascii_lowercase();
        text.contains("credential") || text.contains("identity")
    });
    if is_about_credentials {
        // Where there are none at all, the chain lists every place where it looked.
        let nowhere = why.starts_with("no credentials found in chain");
        let said = if nowhere { "no credentials were found".to_owned() } else { format!("no credentials: {why}") };
        return subject.error(ErrorCode::StoreRefused, &said).hint(
            "give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile (AWS_PROFILE), a web identity \
             (AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE), or run where a role is attached",
        );
    }
    subject.unavailable(&why)
}

/// What the server said.
struct Answer<'a> {
    status: u16,
    /// Whether it is meant for people.
    is_page: bool,
    code: &'a str,
    message: &'a str,
    region: Option<String>,
}

impl Answer<'_> {
    fn judge(&self, subject: &Subject<'_>) -> Failure {
        let said = match (self.code, self.message) {
            ("", "") => format!("HTTP status {}", self.status),
            (code, "") => code.to_owned(),
            ("", message) => message.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        let refused = |hint: String| Failure::Final(subject.error(ErrorCode::StoreRefused, &said).hint(hint));
        let Subject { bucket, region, .. } = subject;
        match (self.status, self.code) {
            (_, "NoSuchBucket") => refused(format!(
                "create the bucket {bucket}, or correct the store's location; its region is part of it"
            )),
            (200..=407, "") if self.is_page => Failure::Final(subject.no_s3()),
            (404, _) => Failure::Missing,
            (416, _) | (_, "InvalidRange") => {
                Failure::Final(subject.error(ErrorCode::Damaged, "it is shorter than that"))
            }
            (412, _) | (_, "PreconditionFailed") => Failure::Exists,
            (301 | 307, _) | (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                let hint = match &self.region {
                    Some(there) => format!("the bucket {bucket} is in {there}: set `region = \"{there}\"` in [store]"),
                    None => format!("the bucket {bucket} is not in {region}: set `region` in [store]"),
                };
                refused(hint)
            }
            (403, "InvalidObjectState") => Failure::Final(cold(subject)),
            (403, "RequestTimeTooSkewed") => refused("set this machine's clock, by NTP".to_owned()),
            (
                _,
                "SignatureDoesNotMatch"
                | "InvalidAccessKeyId"
                | "ExpiredToken"
                | "InvalidToken"
                | "TokenRefreshRequired",
            ) => refused("the credentials are wrong or have run out: renew them".to_owned()),
            (401 | 403, _) => refused(format!(
                "the credentials lack a right on {bucket}: see docs/stores/s3.md for the policy that holdpoint needs"
            )),
            (507, _) | (_, "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull") => {
                Failure::Final(subject.error(ErrorCode::StoreFull, &said).hint("make room, or raise the quota"))
            }
            (405 | 501, _) => refused("this server does not have the operation".to_owned()),
            (400, "RequestTimeout" | "IncompleteBody" | "BadDigest" | "XAmzContentSHA256Mismatch")
            | (408 | 409 | 425 | 429 | 500 | 502 | 503 | 504, _) => Failure::Transient(subject.unavailable(&said)),
            (500.., _) => Failure::Transient(subject.unavailable(&said)),
            _ => Failure::Final(subject.error(ErrorCode::StoreRefused, &said)),
        }
    }
}

/// What a server says of an object that it has put away.
fn cold(subject: &Subject<'_>) -> Error {
    let why = "it lies in a storage class that cannot be read at once, and has to be thawed first";
    subject.error(ErrorCode::ObjectCold, why).hint(
        "thaw it (`aws s3api restore-object`) and run the command again; classes with instant access, such as STANDARD_IA \
         or GLACIER_IR, can be read back at any time",
    )
}

fn chain<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// Says whether whoever gives the credentials was out of reach or busy, as far as the texts of the SDK tell.
fn may_pass(error: &(dyn std::error::Error + 'static)) -> bool {
    let passing = ["timed out", "dispatch failure", "Throttl", "ServiceUnavailable", "InternalFailure"];
    chain(error).skip(1).any(|cause| {
        let text = cause.to_string();
        passing.iter().any(|part| text.contains(part))
    })
}
