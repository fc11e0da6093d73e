//! The SDK's client: credentials by the standard chain, TLS, and no retries of its own.

use super::settings::Settings;
use crate::error::{Error, ErrorCode, Result};
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::time::Duration;
use url::{Host, Url};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The region that is signed for where a server of one's own is named and no region.
const ANY_REGION: &str = "us-east-1";

/// A client, and what it turned out to speak to.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) client: Client,
    /// The server, where one is named.
    pub(super) endpoint: Option<String>,
    /// The region that requests are signed for.
    pub(super) region: String,
}

/// Builds the client; asks no server.
///
/// # Errors
/// `usage`: no region, plain HTTP to another machine, an endpoint or certificates that cannot be used.
pub(super) async fn connect(settings: &Settings) -> Result<Connected> {
    let named = match &settings.endpoint {
        Some(endpoint) => Some(endpoint.clone()),
        None => endpoint_of_environment(),
    };
    let is_plain = named.as_deref().map(|endpoint| check_endpoint(endpoint, settings.allow_http)).transpose()?;
    let http = http_client(settings, is_plain.unwrap_or(false))?;
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(credentials) = &settings.credentials {
        loader = loader.credentials_provider(credentials.clone());
    }
    let shared = loader.load().await;
    let endpoint = named.or_else(|| shared.endpoint_url().map(str::to_owned));
    if let Some(endpoint) = &endpoint {
        // A profile may name it, too.
        check_endpoint(endpoint, settings.allow_http)?;
    }
    let region = match (shared.region(), &endpoint) {
        (Some(region), _) => region.to_string(),
        (None, Some(_)) => ANY_REGION.to_owned(),
        (None, None) => {
            let message = format!("no region for the bucket {}", settings.location.bucket);
            return Err(Error::new(ErrorCode::Usage, message)
                .hint("set `region` in [store], or AWS_REGION; for a server of your own, set `endpoint`"));
        }
    };
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        .region(Region::new(region.clone()))
        .force_path_style(settings.path_style.unwrap_or(endpoint.is_some()))
        // Ours are set by hand: the SHA-256 that the server must find.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Connected { client: Client::from_conf(config.build()), endpoint, region })
}

/// The SDK's own variables.
fn endpoint_of_environment() -> Option<String> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    set("AWS_ENDPOINT_URL_S3").or_else(|| set("AWS_ENDPOINT_URL"))
}

/// Says whether a server is spoken to without TLS.
///
/// # Errors
/// `usage`: it is no URL, or it may not be.
fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<bool> {
    let usage = |message: String, hint: &str| Err(Error::new(ErrorCode::Usage, message).hint(hint));
    let Some(url) = Url::parse(endpoint).ok().filter(|url| url.username().is_empty() && url.password().is_none())
    else {
        // It may hold a password.
        let hint = "write `https://HOST` or `https://HOST:PORT`, without user or password";
        return usage("the store's endpoint is not a URL of a server".to_owned(), hint);
    };
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => Ok(false),
        ("http", Some(host)) if allow_http || is_loopback(&host) => Ok(true),
        ("http", Some(host)) => usage(
            format!("the store's endpoint http://{host} would be spoken to without TLS"),
            "use https://, or set `allow_http = true` in [store] if the network between is trusted",
        ),
        _ => usage(
            format!("the store's endpoint {endpoint} is not a URL of a server"),
            "write `https://HOST` or `https://HOST:PORT`",
        ),
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// Builds what speaks HTTP to the store, and to whoever gives the credentials.
fn http_client(settings: &Settings, is_plain: bool) -> Result<SharedHttpClient> {
    let bundle = settings.ca_file.clone().or_else(|| std::env::var_os("AWS_CA_BUNDLE").map(Into::into));
    let Some(trusted) = trusted(bundle.as_deref())? else {
        if is_plain {
            return Ok(Builder::new().build_http());
        }
        let message = "this machine has no certificates to know the store's server by";
        return Err(Error::new(ErrorCode::Usage, message)
            .hint("install the system's (Debian: ca-certificates), or name a file of them by `ca_file` in [store]"));
    };
    let context = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| Error::new(ErrorCode::Usage, "the store's certificates cannot be used").caused_by(error))?;
    Ok(Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build_https())
}

/// Returns the certificates to trust, the system's and those of `bundle`; `None` where there are none. All are tried here,
/// for the client panics on what it cannot read.
fn trusted(bundle: Option<&Path>) -> Result<Option<TrustStore>> {
    let (of_system, _) =
        RootCertStore::empty().add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let system = (of_system > 0).then(TrustStore::default);
    let Some(path) = bundle else { return Ok(system) };
    let unusable = |message: &str| {
        Error::new(ErrorCode::Usage, format!("{message} {}", path.display()))
            .hint("name a file of PEM certificates, as `openssl x509` writes them")
    };
    let pem = std::fs::read(path).map_err(|error| unusable("cannot read the certificates").caused_by(error))?;
    let mut known = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable("there is no PEM in").caused_by(error))?;
        known.add(certificate).map_err(|error| unusable("a certificate cannot be read in").caused_by(error))?;
    }
    if known.is_empty() {
        return Err(unusable("there is no certificate in"));
    }
    Ok(Some(system.unwrap_or_else(TrustStore::empty).with_pem_certificate(pem)))
}
