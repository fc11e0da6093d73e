//! Serves buckets in memory over HTTP, with or without TLS.

use super::memory::Memory;
use super::{ACCESS_KEY, SECRET_KEY};
use crate::support::environment::{command, must};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// A server that runs as long as its runtime.
pub(super) struct Serving {
    memory: Memory,
    requests: Requests,
    port: u16,
}

type Requests = Arc<Mutex<BTreeMap<&'static str, u64>>>;

impl Serving {
    pub(super) fn start(runtime: &Runtime, memory: Memory, tls: Option<&Tls>) -> Self {
        let mut builder = S3ServiceBuilder::new(memory.clone());
        builder.set_auth(Keys);
        let service = builder.build();
        let requests = Requests::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, counts) = (tls.map(Tls::acceptor), Arc::clone(&requests));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (service, counts, acceptor) = (service.clone(), Arc::clone(&counts), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, service, counts).await,
                        Some(acceptor) => {
                            // A client that trusts nobody ends the connection before there is one.
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, service, counts).await;
                            }
                        }
                    }
                });
            }
        });
        Self { memory, requests, port }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn requests(&self) -> BTreeMap<&'static str, u64> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, service: S3Service, counts: Requests) {
    let service = service_fn(move |request| {
        *counts.lock().unwrap().entry(operation(&request)).or_default() += 1;
        Service::call(&service, request)
    });
    // Clients may end connections whenever they like.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Names what a request asks for, whether it is granted or not.
fn operation(request: &Request<Incoming>) -> &'static str {
    let path = request.uri().path().trim_matches('/');
    let query = request.uri().query().unwrap_or_default();
    let is_about_bucket = !path.contains('/');
    match (request.method(), is_about_bucket) {
        (&Method::PUT, false) => "PutObject",
        (&Method::GET, false) => "GetObject",
        (&Method::HEAD, false) => "HeadObject",
        (&Method::DELETE, false) => "DeleteObject",
        (&Method::GET, true) if query.contains("list-type=2") => "ListObjectsV2",
        (&Method::GET, true) if query.contains("location") => "GetBucketLocation",
        (&Method::HEAD, true) => "HeadBucket",
        (&Method::PUT, true) => "CreateBucket",
        _ => "other",
    }
}

/// The one pair of keys that is known.
struct Keys;

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        match access_key {
            ACCESS_KEY => Ok(SecretKey::from(SECRET_KEY)),
            _ => Err(s3_error!(InvalidAccessKeyId)),
        }
    }
}

/// A certificate for `localhost`, by an authority that nobody trusts unless told so.
pub struct Tls {
    folder: TempDir,
}

impl Tls {
    /// Makes the authority and the certificate.
    pub fn create() -> Self {
        let folder = TempDir::new().unwrap();
        let openssl = |arguments: &str| {
            must(command("openssl", folder.path()).current_dir(folder.path()).args(arguments.split(' ')));
        };
        openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tests -keyout ca.key -out ca.pem");
        openssl(
            "req -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout key.pem -out request.pem",
        );
        openssl(
            "x509 -req -days 2 -copy_extensions copy -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out certificate.pem",
        );
        Self { folder }
    }

    /// Returns the authority's certificate, as `ca_file` takes it.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn acceptor(&self) -> TlsAcceptor {
        let certificate = CertificateDer::from_pem_file(self.folder.path().join("certificate.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.folder.path().join("key.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}
