//! A repository that both our engine and stock restic work on.

use holdpoint::repository::{Cost, Creator, Repository};
use holdpoint::storage::LocalStorage;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

/// The password of every repository in the tests.
pub const PASSWORD: &str = "correct horse";

/// A repository that restic works on.
pub struct Restic {
    repository: PathBuf,
}

impl Restic {
    /// Names a repository, which need not exist yet.
    pub fn at(repository: impl Into<PathBuf>) -> Self {
        Self { repository: repository.into() }
    }

    /// Creates the repository with our engine: a key that is cheap to open saves each command a third of a second.
    pub fn init(self) -> Self {
        let storage = Arc::new(LocalStorage::new(&self.repository).unwrap());
        Repository::create(storage, PASSWORD, Cost::RandomKey, Creator::default()).unwrap();
        self
    }

    /// Creates the repository with restic.
    pub fn init_by_restic(self) -> Self {
        self.run(&["init", "--repository-version", "2"]);
        self
    }

    /// Returns a command of restic on the repository.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("restic");
        command.env("RESTIC_PASSWORD", PASSWORD).env("RESTIC_REPOSITORY", &self.repository);
        command.args(["--no-cache", "--quiet"]).args(arguments);
        command
    }

    /// Runs restic, which must succeed; returns its stdout.
    pub fn run(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.command(arguments).output().expect("restic must be installed");
        assert!(status.success(), "restic {arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// Backs a directory up under its name, from its parent.
    pub fn backup(&self, folder: &Path) {
        let mut command = self.command(&["backup"]);
        let output = command.current_dir(folder.parent().unwrap()).arg(folder.file_name().unwrap()).output().unwrap();
        assert!(output.status.success(), "restic backup: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Opens the repository with our engine.
    pub fn open(&self) -> Repository {
        let storage = Arc::new(LocalStorage::new(&self.repository).unwrap());
        Repository::open(storage, PASSWORD).unwrap()
    }
}
