//! The SDK's HTTP client: the one that the rest of the program uses, so that there is one stack of HTTP and TLS.

use super::settings::Settings;
use crate::error::{Error, ErrorCode, Result};
use aws_sdk_s3::config::{RuntimeComponents, SharedHttpClient};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use reqwest::redirect::Policy;
use reqwest::{Body, Certificate, Client, Request};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::Path;
use std::time::Duration;
use tokio::time::timeout;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Builds the client; `is_plain` says that only servers without TLS will be spoken to.
///
/// # Errors
/// `usage`: the certificates cannot be used, or there are none.
pub(super) fn http_client(settings: &Settings, is_plain: bool) -> Result<SharedHttpClient> {
    let builder = Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        // A redirect is an answer of S3's that says something: another region.
        .redirect(Policy::none())
        .retry(reqwest::retry::never());
    // The SDK's own variable.
    let bundle = settings.ca_file.clone().or_else(|| std::env::var_os("AWS_CA_BUNDLE").map(Into::into));
    let own = bundle.as_deref().map(certificates).transpose()?;
    let has_system =
        RootCertStore::empty().add_parsable_certificates(rustls_native_certs::load_native_certs().certs).0 > 0;
    let builder = match own {
        Some(own) if has_system => builder.tls_certs_merge(own),
        Some(own) => builder.tls_certs_only(own),
        None if has_system => builder,
        None if is_plain => builder.tls_certs_only([]),
        None => {
            let message = "this machine has no certificates to know the store's server by";
            return Err(Error::new(ErrorCode::Usage, message).hint(
                "install the system's (Debian: ca-certificates), or name a file of them by `ca_file` in [store]",
            ));
        }
    };
    let client = builder
        .build()
        .map_err(|error| Error::new(ErrorCode::Usage, "the store's certificates cannot be used").caused_by(error))?;
    Ok(SharedHttpClient::new(Http { client, limit: None }))
}

/// Reads certificates; each is tried, so that a wrong one is named here and not where a connection fails.
fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let unusable = |message: &str| {
        Error::new(ErrorCode::Usage, format!("{message} {}", path.display()))
            .hint("name a file of PEM certificates, as `openssl x509` writes them")
    };
    let pem = std::fs::read(path).map_err(|error| unusable("cannot read the certificates").caused_by(error))?;
    let (mut known, mut certificates) = (RootCertStore::empty(), Vec::new());
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable("there is no PEM in").caused_by(error))?;
        let cannot = || unusable("a certificate cannot be read in");
        certificates.push(Certificate::from_der(&certificate).map_err(|error| cannot().caused_by(error))?);
        known.add(certificate).map_err(|error| cannot().caused_by(error))?;
    }
    if certificates.is_empty() {
        return Err(unusable("there is no certificate in"));
    }
    Ok(certificates)
}

#[derive(Debug, Clone)]
struct Http {
    client: Client,
    /// How long an answer may take to begin, where the SDK says so: it asks for roles that way.
    limit: Option<Duration>,
}

impl HttpClient for Http {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let limit = settings.read_timeout().map(|read| read + settings.connect_timeout().unwrap_or_default());
        SharedHttpConnector::new(Self { client: self.client.clone(), limit })
    }
}

impl HttpConnector for Http {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Self { client, limit } = self.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let request =
                Request::try_from(request.map(Body::wrap)).map_err(|error| ConnectorError::user(error.into()))?;
            let answer = client.execute(request);
            let answer = match limit {
                None => answer.await,
                Some(limit) => timeout(limit, answer).await.map_err(|error| ConnectorError::timeout(error.into()))?,
            };
            let answer: http::Response<Body> = answer.map_err(failed)?.into();
            HttpResponse::try_from(answer.map(SdkBody::from_body_1_x))
                .map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

fn failed(error: reqwest::Error) -> ConnectorError {
    // The URL is in the SDK's own words, and in ours.
    let error = error.without_url();
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}
