//! Servers that speak S3: one of ours in this process, Ceph's gateway, and moto, which plays AWS.
//!
//! | | conditions and concurrency | checksums | versions, locks, encryption, STS |
//! |---|---|---|---|
//! | [`Server::in_process`] | yes | enforced | no |
//! | [`Server::rgw`] | yes, an implementation that is independent of ours | not looked at | yes, no STS |
//! | [`Server::moto`] | not under load: of many creators two may win | not looked at | mostly, without enforcing all of it; STS |

mod canned;
mod memory;
mod moto;
mod rgw;
mod serve;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use holdpoint::cancel::Cancel;
use holdpoint::storage::S3Storage;
use holdpoint::storage::s3::{Location, Settings};
use memory::Memory;
use serve::Serving;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;

pub use canned::Canned;
pub use serve::Tls;

/// The access key that every server knows.
pub const ACCESS_KEY: &str = "AKtest";
/// Its secret key.
pub const SECRET_KEY: &str = "SKtest";
/// The region that is signed for; no server here minds which.
pub const REGION: &str = "us-east-1";

/// A server on a free port of loopback; it is gone when dropped.
pub struct Server {
    endpoint: String,
    kind: Kind,
    runtime: Runtime,
}

enum Kind {
    InProcess(Serving),
    Rgw(Option<rgw::Daemons>),
    Moto(moto::Process),
}

impl Server {
    /// Starts a server in this process that keeps everything in memory, checks every SHA-256 and counts its requests.
    pub fn in_process() -> Self {
        Self::serving(Memory::default(), None)
    }

    /// Starts a server in this process that overwrites what must be created only, as some servers do.
    pub fn in_process_without_conditions() -> Self {
        Self::serving(Memory::without_conditions(), None)
    }

    /// Starts a server in this process that speaks TLS, as `localhost`.
    pub fn in_process_with_tls(tls: &Tls) -> Self {
        Self::serving(Memory::default(), Some(tls))
    }

    fn serving(memory: Memory, tls: Option<&Tls>) -> Self {
        let runtime = runtime();
        let serving = Serving::start(&runtime, memory, tls);
        let scheme_and_host = if tls.is_some() { "https://localhost" } else { "http://127.0.0.1" };
        Self { endpoint: format!("{scheme_and_host}:{}", serving.port()), kind: Kind::InProcess(serving), runtime }
    }

    /// Uses the gateway of `HOLDPOINT_TEST_RGW`, which `scripts/test` starts once for all tests, or starts one.
    pub fn rgw() -> Self {
        let (endpoint, daemons) = match std::env::var("HOLDPOINT_TEST_RGW") {
            Ok(endpoint) => (endpoint, None),
            Err(_) => rgw::start(),
        };
        Self { endpoint, kind: Kind::Rgw(daemons), runtime: runtime() }
    }

    /// Starts moto. It lets everybody in.
    pub fn moto() -> Self {
        let process = moto::Process::start();
        Self { endpoint: process.endpoint(), kind: Kind::Moto(process), runtime: runtime() }
    }

    /// Returns the server's URL.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Creates a bucket, whose name begins with `name` and is like no other's; returns that name.
    pub fn bucket(&self, name: &str) -> String {
        let bucket = unique(name);
        match &self.kind {
            Kind::InProcess(serving) => serving.memory().add_bucket(&bucket),
            _ => drop(self.wait(self.client().create_bucket().bucket(&bucket).send()).unwrap()),
        }
        bucket
    }

    /// Returns how our driver reaches what is below `prefix` in a bucket.
    pub fn settings(&self, bucket: &str, prefix: &str) -> Settings {
        Settings {
            endpoint: Some(self.endpoint.clone()),
            region: Some(REGION.to_owned()),
            credentials: Some(credentials()),
            ..Settings::new(Location { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        }
    }

    /// Returns our driver on what is below `prefix` in a bucket.
    pub fn open(&self, bucket: &str, prefix: &str) -> S3Storage {
        S3Storage::open(self.settings(bucket, prefix), Cancel::new()).unwrap()
    }

    /// Returns the variables by which the binary and stock restic reach the server.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_ENDPOINT_URL_S3", self.endpoint.clone()),
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }

    /// Returns what is below `prefix` in a bucket as `restic -r` takes it.
    pub fn restic_location(&self, bucket: &str, prefix: &str) -> String {
        format!("s3:{}/{bucket}/{prefix}", self.endpoint)
    }

    /// Returns the SDK's own client, for what our driver does not do.
    pub fn client(&self) -> Client {
        let config = aws_sdk_s3::Config::builder().behavior_version(BehaviorVersion::latest());
        let config = config.region(Region::new(REGION)).credentials_provider(credentials());
        let http = aws_smithy_http_client::Builder::new().build_http();
        let config = config.endpoint_url(&self.endpoint).force_path_style(true).http_client(http);
        Client::from_conf(config.build())
    }

    /// Waits for what the client was asked.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Returns how often each operation was asked for since the server in this process was started, refused or not.
    pub fn requests(&self) -> BTreeMap<&'static str, u64> {
        let Kind::InProcess(serving) = &self.kind else { panic!("only the server in this process counts") };
        serving.requests()
    }

    /// Ends the server, whoever still speaks to it.
    pub fn stop(self) {
        self.runtime.shutdown_background();
    }
}

fn credentials() -> Credentials {
    Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "tests")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Makes a name that no other test, process or earlier run has.
fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    format!("{name}-{}-{time:x}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed))
}
