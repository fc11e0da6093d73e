//! The SDK's client: credentials by the standard chain, TLS, and no retries of its own.

use super::http::http_client;
use super::settings::Settings;
use crate::error::{Error, ErrorCode, Result};
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use url::{Host, Url};

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
    let is_plain = named.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(settings, is_plain)?)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    } else if named.is_some() {
        // Machines of AWS are asked for their region only for AWS itself: elsewhere nobody answers, and that takes time.
        let known = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
        loader = loader.region(known.or_else(ProfileFileRegionProvider::new()).or_else(Region::new(ANY_REGION)));
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

/// Makes sure that a server may be spoken to.
///
/// # Errors
/// `usage`: it is no URL, or without TLS.
fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<()> {
    let usage = |message: String, hint: &str| Err(Error::new(ErrorCode::Usage, message).hint(hint));
    let Some(url) = Url::parse(endpoint).ok().filter(|url| url.username().is_empty() && url.password().is_none())
    else {
        // It may hold a password.
        let hint = "write `https://HOST` or `https://HOST:PORT`, without user or password";
        return usage("the store's endpoint is not a URL of a server".to_owned(), hint);
    };
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => Ok(()),
        ("http", Some(host)) if allow_http || is_loopback(&host) => Ok(()),
        ("http", Some(host)) => usage(
            format!("the store's endpoint http://{host} would be spoken to without TLS"),
            "use https://, or set `allow_http = true` in [store] if the network between is trusted",
        ),
        _ => usage(
            // It may hold a password.
            "the store's endpoint is not a URL of a server".to_owned(),
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
