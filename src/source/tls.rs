//! TLS to database servers: rustls, with as much verification as a server's URL asks for.

use crate::error::{Error, ErrorCode, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;
use std::path::Path;
use std::sync::Arc;

/// What of a server's certificate must be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verify {
    /// Nothing: what is said is encrypted, to whoever answers.
    Nothing,
    /// It is signed by somebody who is trusted.
    Signer,
    /// It is signed by somebody who is trusted, for the host that was called.
    Host,
}

/// Returns a client of TLS that trusts the certificates in the PEM file `roots`, or else the system's.
///
/// # Errors
/// `config`: the file cannot be read or holds no certificate.
pub(super) fn client(verify: Verify, roots: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let failed = |error: rustls::Error| Error::new(ErrorCode::Config, "cannot set up TLS").caused_by(error);
    let trusted: Option<Arc<dyn ServerCertVerifier>> = match (verify, roots) {
        (Verify::Nothing, _) => None,
        (_, Some(path)) => Some(from_file(path, &provider)?),
        (_, None) => Some(Arc::new(Verifier::new(Arc::clone(&provider)).map_err(failed)?)),
    };
    let verifier: Arc<dyn ServerCertVerifier> = match (verify, trusted) {
        (Verify::Host, Some(trusted)) => trusted,
        (_, trusted) => Arc::new(AnyHost { trusted, provider: Arc::clone(&provider) }),
    };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(failed)?;
    Ok(Arc::new(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

fn from_file(path: &Path, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
    let cannot = |why: String| {
        Error::new(ErrorCode::Config, format!("cannot take certificates from {}: {why}", path.display()))
            .hint("name a PEM file that holds the certificates of those who sign the server's")
    };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| cannot(error.to_string()))? {
        let certificate = certificate.map_err(|error| cannot(error.to_string()))?;
        store.add(certificate).map_err(|error| cannot(error.to_string()))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider)).build();
    Ok(verifier.map_err(|error| cannot(error.to_string()))?)
}

/// Takes a certificate for any host: one that is trusted, or any at all.
#[derive(Debug)]
struct AnyHost {
    trusted: Option<Arc<dyn ServerCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trusted) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        match trusted.verify_server_cert(certificate, between, host, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "not a certificate").unwrap();
        let error = client(Verify::Host, Some(file.path())).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
        assert!(error.message().contains(file.path().to_str().unwrap()), "{error}");
        let error = client(Verify::Signer, Some(Path::new("/no/such/file"))).unwrap_err();
        assert!(error.message().contains("/no/such/file"), "{error}");
        // Nothing is verified, so nothing is read.
        client(Verify::Nothing, Some(Path::new("/no/such/file"))).unwrap();
        client(Verify::Host, None).unwrap();
    }
}
