//! A working tree with data and a store of its own, and what a run must not leave behind in it.

use crate::support::holdpoint::{Holdpoint, Output, Running};
use crate::support::restic::Restic;
use holdpoint::ledger::Ledger;
use holdpoint::ledger::claim::Claim;
use holdpoint::model::release_id::ReleaseId;
use holdpoint::storage::LocalStorage;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The commit that is named where there is no git.
pub const COMMIT: &str = "3f9c2ab1d5e64708a1b2c3d4e5f60718293a4b5c";
/// The environment of most tests.
pub const STAGING: &str = "staging";

/// An application's directory with the embedded store.
pub struct Shop {
    folder: TempDir,
    pub holdpoint: Holdpoint,
}

impl Shop {
    /// Makes a working tree with some files in `data`.
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let root = folder.path().join("shop");
        fs::create_dir_all(root.join("data")).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        let temporary = folder.path().join("tmp").display().to_string();
        let holdpoint = Holdpoint::new(&root).env("TMPDIR", temporary);
        let shop = Self { folder, holdpoint };
        shop.write("data/orders.csv", "id,total\n1,10\n").write("data/uploads/logo.txt", "a logo\n");
        shop
    }

    /// Makes a working tree with a configuration.
    pub fn with(configuration: &str) -> Self {
        let shop = Self::new();
        shop.write("holdpoint.toml", configuration);
        shop
    }

    /// Sets an environment variable for every run.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.holdpoint = self.holdpoint.env(name, value);
        self
    }

    /// Returns a path in the working tree.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("shop").join(name)
    }

    /// Returns a path beside the working tree.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the working tree.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// Reads a file of the working tree.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs `gate` for staging to its end.
    pub fn gate(&self, more: &[&str]) -> Output {
        self.start(more).wait()
    }

    /// Starts `gate` for staging.
    pub fn start(&self, more: &[&str]) -> Running {
        self.holdpoint.start(arguments("gate", STAGING, "1.4.0", more))
    }

    /// Returns the manifest that the newest run left in the working tree.
    pub fn manifest(&self) -> Manifest {
        Manifest::read(&self.path("holdpoint-manifest.json"))
    }

    /// Returns the part of the store for an environment.
    pub fn place(&self, environment: &str) -> PathBuf {
        self.path(".holdpoint/store/shop").join(environment)
    }

    /// Returns the records of [`STAGING`].
    pub fn ledger(&self) -> Ledger {
        Ledger::new(Arc::new(LocalStorage::new(self.place(STAGING)).unwrap()))
    }

    /// Has a release be deployed for an hour from now, by nobody; returns its id.
    pub fn claim(&self, id: &str) -> ReleaseId {
        let (release, now) = (ReleaseId::parse(id).unwrap(), Timestamp::now());
        let claim = Claim {
            release: release.clone(),
            version: "1.1.0".to_owned().into(),
            run: "42".to_owned(),
            run_url: None,
            opened_at: now,
            expires_at: now + SignedDuration::from_hours(1),
        };
        assert!(self.ledger().open_claim(&claim, None).unwrap());
        release
    }

    /// Returns restic on the repository of an environment.
    pub fn restic(&self, environment: &str) -> Restic {
        Restic::new(self.place(environment).join("repository"), self.read(".holdpoint/key").trim())
    }

    /// Returns the highest file of the lease; `None` if there never was one.
    pub fn lease(&self, environment: &str) -> Option<Value> {
        lease(&self.place(environment))
    }

    /// Fails if anything of a run is left: a process, a lock, a lease, a scratch directory, an unfinished file.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        assert_eq!(self.processes(), [""; 0], "processes are left");
        assert_eq!(names(&self.beside("tmp")), [""; 0], "temporary files are left");
        assert_eq!(names(&self.path(".holdpoint/store/.tmp")), [""; 0], "unfinished objects are left");
        let unfinished = |name: &String| name.starts_with(".holdpoint-") || name.starts_with(".key-");
        let files = [names(&self.path("")), names(&self.path(".holdpoint"))].concat();
        assert!(!files.iter().any(unfinished), "unfinished files are left: {files:?}");
        for environment in names(&self.path(".holdpoint/store/shop")) {
            let place = self.place(&environment);
            assert_eq!(names(&place.join("repository/locks")), [""; 0], "locks are left");
            if let Some(lease) = lease(&place) {
                assert_eq!(lease["released"], true, "the lease is held: {lease}");
            }
        }
    }

    /// Returns the command lines of every process that descends from a run: their `TMPDIR` is ours alone.
    pub fn processes(&self) -> Vec<String> {
        let ours = format!("TMPDIR={}", self.beside("tmp").display());
        let is_ours = |process: &Path| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == ours.as_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let line = |process: PathBuf| {
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            format!("{}: {}", process.display(), String::from_utf8_lossy(&line).replace('\0', " "))
        };
        processes.filter(|process| is_ours(process)).map(line).collect()
    }
}

/// Returns the arguments of a run for one environment and version, without anything deployed before.
pub fn arguments(command: &str, environment: &str, release: &str, more: &[&str]) -> Vec<String> {
    let common = [command, "--environment", environment, "--release", release, "--commit", COMMIT, "--first"];
    common.iter().chain(more).map(|&argument| argument.to_owned()).collect()
}

/// Returns the arguments of a shell as a list for the configuration.
pub fn shell(script: &str) -> String {
    serde_json::to_string(&["sh", "-c", script]).unwrap()
}

/// Waits until `happened`, which `running` must live to see.
#[track_caller]
pub fn until(running: &mut Running, what: &str, happened: impl Fn() -> bool) {
    while !happened() {
        let ended = running.ends_within(Duration::from_millis(2));
        assert!(!ended || happened(), "the run ended before {what}\n{}", running.stderr());
    }
}

/// Returns the names in a directory, sorted; none if it does not exist.
pub fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Returns the highest file of the lease of an environment; `None` if there never was one.
pub fn lease(place: &Path) -> Option<Value> {
    let highest = names(&place.join("lease"))
        .into_iter()
        .max_by_key(|name| name.trim_end_matches(".json").parse::<u64>().expect("a number"))?;
    Some(serde_json::from_slice(&fs::read(place.join("lease").join(highest)).unwrap()).unwrap())
}

/// A manifest as a caller sees it.
#[derive(Debug)]
pub struct Manifest(pub Value);

impl Manifest {
    pub fn read(path: &Path) -> Self {
        Self(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
    }

    pub fn state(&self) -> &str {
        self.0["state"].as_str().unwrap()
    }

    /// Returns the codes of the findings of a level, in their order.
    pub fn codes(&self, level: &str) -> Vec<&str> {
        let findings = self.0["decision"]["findings"].as_array().unwrap().iter();
        findings.filter(|finding| finding["level"] == level).map(|finding| finding["code"].as_str().unwrap()).collect()
    }

    /// Returns the message of the first finding with a code.
    #[track_caller]
    pub fn message(&self, code: &str) -> &str {
        let mut findings = self.0["decision"]["findings"].as_array().unwrap().iter();
        let found = findings.find(|finding| finding["code"] == code);
        found.unwrap_or_else(|| panic!("no {code} in {:#}", self.0["decision"]))["message"].as_str().unwrap()
    }

    /// Returns the record of a source.
    pub fn source(&self, name: &str) -> &Value {
        self.0["sources"].as_array().unwrap().iter().find(|source| source["name"] == name).expect("the source")
    }

    /// Returns what all sources added, in bytes as stored.
    pub fn bytes_added(&self) -> u64 {
        let sources = self.0["sources"].as_array().unwrap().iter();
        sources.map(|source| source["bytes_added"].as_u64().unwrap()).sum()
    }

    /// Asserts how a run ended that did not pass: its state, and the codes that refuse, each once.
    #[track_caller]
    pub fn assert_refused(&self, state: &str, codes: &[&str]) {
        // A cancellation is told of every source that it met, and of the run.
        let mut found = self.codes("refusal");
        found.dedup();
        assert_eq!((self.state(), found.as_slice()), (state, codes), "{:#}", self.0["decision"]);
        assert_eq!(self.0["decision"]["result"], "refuse");
    }
}
