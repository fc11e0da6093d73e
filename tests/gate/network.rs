//! Gates over a bad network: each ends in a pass that restic can read every byte of, or in a refusal, within its deadline.

use super::shop::{COMMIT, STAGING};
use crate::support::faults::{BadNetwork, Weather};
use crate::support::holdpoint::{Holdpoint, PASSWORD};
use crate::support::restic::Restic;
use crate::support::{full, s3, sample};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tempfile::TempDir;

/// Each run gets so long; the contract gives it 10 s more, and a busy machine gets the rest.
const TIMEOUT: Duration = Duration::from_secs(12);
const PATIENCE: Duration = Duration::from_secs(45);

/// One application in front of a bad network.
struct Run {
    folder: TempDir,
    holdpoint: Holdpoint,
    bucket: String,
    seed: u64,
}

impl Run {
    fn new(server: &s3::Server, bucket: &str, seed: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let data = folder.path().join("shop/data");
        std::fs::create_dir_all(data.join("many")).unwrap();
        for (name, size) in [("large", 3 << 20), ("empty", 0), ("small", 700)] {
            std::fs::write(data.join(name), sample::noise(size, seed + size as u64)).unwrap();
        }
        for file in 0..40 {
            std::fs::write(data.join(format!("many/{file}")), format!("{seed} {file}\n")).unwrap();
        }
        let mut holdpoint = Holdpoint::new(folder.path().join("shop")).password();
        for (name, value) in server.environment() {
            holdpoint = holdpoint.env(name, value);
        }
        Self { folder, holdpoint, bucket: bucket.to_owned(), seed }
    }

    fn location(&self) -> String {
        format!("s3://{}/run-{}", self.bucket, self.seed)
    }

    /// Writes the configuration for one endpoint.
    fn configure(&self, endpoint: &str) {
        let text = format!(
            "application = \"shop\"\n[store]\nlocation = \"{}\"\nendpoint = \"{endpoint}\"\nrequest_timeout = \"1s\"\n\
             [[source]]\nname = \"data\"\nkind = \"files\"\npaths = [\"data\"]\n",
            self.location()
        );
        std::fs::write(self.folder.path().join("shop/holdpoint.toml"), text).unwrap();
    }

    /// Runs a gate; returns its exit code once it has refused in words, or 0.
    fn gate(&self, release: &str) -> i32 {
        let timeout = format!("{}s", TIMEOUT.as_secs());
        let arguments =
            ["gate", "-e", STAGING, "--release", release, "--commit", COMMIT, "--first", "--timeout", &timeout];
        let output = self
            .holdpoint
            .start(arguments)
            .wait_within(TIMEOUT + PATIENCE)
            .unwrap_or_else(|stderr| panic!("seed {}: hangs past its deadline\n{stderr}", self.seed));
        let code = output.code.unwrap_or(-1);
        match code {
            0 => {}
            10 | 11 | 12 | 14 | 16 => {
                output.refuses_in_words();
                let manifest = std::fs::read(self.folder.path().join("shop/holdpoint-manifest.json"));
                let manifest: serde_json::Value =
                    serde_json::from_slice(&manifest.unwrap_or_else(|_| panic!("seed {}: no local record", self.seed)))
                        .unwrap();
                assert_ne!(manifest["state"], "passed", "seed {}", self.seed);
            }
            _ => panic!("seed {}: exit code {code}\n{}", self.seed, output.stderr),
        }
        assert!(!output.stderr.contains("panicked"), "seed {}: {}", self.seed, output.stderr);
        code
    }

    /// Fails unless stock restic reads every byte of the repository, and gives back what there is in `data`.
    fn assert_whole(&self, server: &s3::Server) {
        let prefix = format!("run-{}/shop/{STAGING}/repository", self.seed);
        let repository = server.restic_location(&self.bucket, &prefix);
        let restic = Restic::new(repository, PASSWORD).envs(server.environment());
        // A run that could not reach the store any more may have left its lock.
        restic.check_without_lock();
        let target = self.folder.path().join("restored");
        restic.restore("latest", &target);
        let data = self.folder.path().join("shop/data");
        let restored = target.join(data.strip_prefix("/").unwrap_or(Path::new("")));
        let compared = Command::new("diff").arg("-r").args([&data, &restored]).output().unwrap();
        let differences = String::from_utf8_lossy(&compared.stdout).into_owned();
        assert!(compared.status.success(), "seed {}: {differences}", self.seed);
        std::fs::remove_dir_all(&target).unwrap();
    }
}

/// Runs one seed; says whether the gate passed in bad weather.
fn weather(server: &s3::Server, bucket: &str, seed: u64) -> bool {
    let run = Run::new(server, bucket, seed);
    let per_mille = [10, 50, 150, 400][usize::try_from(seed % 4).unwrap()];
    let address = server.endpoint().trim_start_matches("http://").to_owned();
    let network = BadNetwork::start(&address, Weather { seed, per_mille });
    run.configure(&network.endpoint());
    let code = run.gate("1.0.0");
    eprintln!("seed {seed}: exit code {code}, {} requests, {:?}", network.requests(), network.met());
    drop(network);
    if code == 0 {
        run.assert_whole(server);
    }
    // Whatever it left behind, the next one goes on from there.
    run.configure(server.endpoint());
    assert_eq!(run.gate("1.0.1"), 0, "seed {seed}: the next gate");
    if code != 0 {
        run.assert_whole(server);
    }
    code == 0
}

#[test]
fn in_bad_weather_a_gate_passes_whole_or_refuses() {
    let server = s3::Server::in_process();
    let bucket = server.bucket("acme");
    let (runs, next, passed) = (if full() { 1000 } else { 60 }, AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, SeqCst);
                    if seed >= runs {
                        break;
                    }
                    passed.fetch_add(weather(&server, &bucket, seed).into(), SeqCst);
                }
            });
        }
    });
    // Weather in which nothing passes, or all does, shows nothing.
    let passed = passed.into_inner();
    eprintln!("{passed} of {runs} passed");
    assert!(passed > runs / 5 && passed < runs, "{passed} of {runs} passed");
}

/// What becomes of the store in the middle of a gate.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Connections are cut, and new ones refused.
    Gone,
    /// Nobody answers any more.
    Silent,
}

#[test]
fn a_store_that_ends_in_the_middle_is_a_refusal_with_a_whole_record() {
    let server = s3::Server::in_process();
    let bucket = server.bucket("acme");
    let address = server.endpoint().trim_start_matches("http://").to_owned();
    std::thread::scope(|scope| {
        for (seed, end) in [End::Gone, End::Silent].into_iter().enumerate() {
            let (server, bucket, address) = (&server, &bucket, &address);
            scope.spawn(move || {
                // Of the twenty or more requests of a gate.
                for requests in [1, 4, 8, 12, 16] {
                    let run = Run::new(server, bucket, 10_000 + 100 * seed as u64 + requests);
                    let network = BadNetwork::start(address, Weather::default());
                    run.configure(&network.endpoint());
                    ends(&run, network, requests, end);
                }
            });
        }
    });
}

/// Runs a gate whose store ends after a number of requests.
fn ends(run: &Run, network: BadNetwork, requests: u64, end: End) {
    let arguments = ["gate", "-e", STAGING, "--release", "1.0.0", "--commit", COMMIT, "--first", "--timeout", "5s"];
    let mut running = run.holdpoint.start(arguments);
    let came = network.comes_to(requests, TIMEOUT + PATIENCE);
    assert!(came && !running.ended(), "the gate was done before {requests} requests");
    let kept = match end {
        End::Gone => {
            drop(network);
            None
        }
        End::Silent => {
            network.fall_silent();
            Some(network)
        }
    };
    let output = running.wait();
    let what = format!("{end:?} after {requests} requests: {}", output.stderr);
    assert!(matches!(output.code, Some(10 | 11)), "{what}");
    output.refuses_in_words();
    let manifest = std::fs::read(run.folder.path().join("shop/holdpoint-manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert!(matches!(manifest["state"].as_str(), Some("refused" | "timed_out")), "{what}");
    assert_eq!(manifest["sources"][0]["name"], "data", "{what}");
    assert!(!manifest["decision"]["findings"].as_array().unwrap().is_empty(), "{what}");
    drop(kept);
}
