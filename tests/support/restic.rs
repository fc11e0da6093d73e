//! Stock restic: the oracle of the repository format.

use super::environment::{command, must};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::{NamedTempFile, TempDir};

/// Stock restic on one repository.
pub struct Restic {
    repository: PathBuf,
    password: NamedTempFile,
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl Restic {
    /// Prepares runs of restic on a repository in a directory, which need not exist yet.
    pub fn new(repository: impl Into<PathBuf>, password: &str) -> Self {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(password.as_bytes()).unwrap();
        Self { repository: repository.into(), password: file, home: TempDir::new().unwrap(), variables: Vec::new() }
    }

    /// Sets environment variables for every run, such as the credentials of a bucket.
    #[must_use]
    pub fn envs<N: Into<String>>(mut self, variables: impl IntoIterator<Item = (N, String)>) -> Self {
        self.variables.extend(variables.into_iter().map(|(name, value)| (name.into(), value)));
        self
    }

    /// Returns a command; no cache is used, so that restic sees what is really stored.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut restic = command("restic", self.home.path());
        restic.arg("-r").arg(&self.repository).arg("--no-cache");
        restic.arg("--password-file").arg(self.password.path()).args(arguments);
        restic.envs(self.variables.iter().map(|(name, value)| (name, value)));
        restic
    }

    /// Runs restic, which must exit with 0, and returns its standard output.
    pub fn run(&self, arguments: &[&str]) -> String {
        must(&mut self.command(arguments))
    }

    /// Creates the repository in format version 2.
    pub fn init(&self) -> &Self {
        self.run(&["init", "--repository-version", "2"]);
        self
    }

    /// Backs up `paths` and returns the id of the snapshot, or its first digits, as this restic has it.
    pub fn backup(&self, paths: &[&Path]) -> String {
        let output = must(self.command(&["backup", "--quiet", "--json"]).args(paths));
        let summary = output.lines().rev().find_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(message.get("snapshot_id")?.as_str()?.to_owned())
        });
        summary.unwrap_or_else(|| panic!("no snapshot id in {output}"))
    }

    /// Checks the repository and every byte of its data.
    pub fn check(&self) -> &Self {
        self.run(&["check", "--read-data"]);
        self
    }

    /// Checks a repository in which a killed run may have left a lock.
    pub fn check_without_lock(&self) -> &Self {
        self.run(&["check", "--read-data", "--no-lock"]);
        self
    }

    /// Returns every snapshot as restic sees it.
    pub fn snapshots(&self) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.run(&["snapshots", "--json"])).unwrap()
    }

    /// Restores a snapshot below `target`.
    pub fn restore(&self, snapshot: &str, target: &Path) {
        must(self.command(&["restore", snapshot, "--target"]).arg(target));
    }

    /// Returns the ids of the locks.
    pub fn locks(&self) -> Vec<String> {
        self.run(&["list", "locks", "--no-lock"]).lines().map(str::to_owned).collect()
    }
}

#[test]
fn restic_keeps_a_tree_and_gives_it_back() {
    let directory = TempDir::new().unwrap();
    let source = directory.path().join("source");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("a"), "one").unwrap();
    let restic = Restic::new(directory.path().join("repository"), "secret");
    let id = restic.init().backup(&[&source]);
    restic.check().check_without_lock();
    assert!(restic.snapshots()[0]["id"].as_str().unwrap().starts_with(&id));
    let target = directory.path().join("target");
    restic.restore(&id, &target);
    let restored = target.join(source.join("a").strip_prefix("/").unwrap());
    assert_eq!(std::fs::read(restored).unwrap(), b"one");
    assert!(restic.locks().is_empty());
}
