//! A small application, ready for the gate.

use super::environment::{command, must};
use super::holdpoint::{Holdpoint, Output};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The commit of every release of [`Shop::gate`].
pub const COMMIT: &str = "3f9c2ab13f9c2ab13f9c2ab13f9c2ab13f9c2ab1";

/// A directory named `shop` with uploads, outside of git, and the binary that runs in it.
pub struct Shop {
    directory: TempDir,
    holdpoint: Holdpoint,
}

impl Shop {
    /// Makes the application.
    pub fn new() -> Self {
        Self::with(|holdpoint| holdpoint)
    }

    /// Makes the application; `prepare` sets up the binary.
    pub fn with(prepare: impl FnOnce(Holdpoint) -> Holdpoint) -> Self {
        let directory = TempDir::new().unwrap();
        let holdpoint = prepare(Holdpoint::new(directory.path().join("shop")));
        let shop = Self { directory, holdpoint };
        shop.write("uploads/invoice.txt", "one mug, 12.00 EUR\n").write("uploads/mug.png", [0x89, b'P', b'N', b'G']);
        shop
    }

    /// Returns the top of the application.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("shop")
    }

    /// Returns a directory beside the application, which need not exist.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of the application, and the directories it needs.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Writes the configuration.
    pub fn configure(&self, text: &str) -> &Self {
        self.write("holdpoint.toml", text)
    }

    /// Returns the binary.
    pub fn holdpoint(&self) -> &Holdpoint {
        &self.holdpoint
    }

    /// Runs the binary.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.holdpoint.run(arguments)
    }

    /// Runs the gate for a release into `staging`.
    pub fn gate(&self, release: &str, more: &[&str]) -> Output {
        let fixed = ["gate", "--environment", "staging", "--release", release, "--commit", COMMIT];
        self.holdpoint.run(fixed.iter().chain(more))
    }

    /// Returns the manifest that the last run of the gate wrote.
    pub fn manifest(&self) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.path().join("holdpoint-manifest.json")).unwrap()).unwrap()
    }

    /// Returns the embedded repository of an environment, by its name on disk.
    pub fn repository(&self, environment: &str) -> PathBuf {
        self.path().join(".holdpoint/store/shop").join(environment).join("repository")
    }

    /// Runs stock restic on the embedded repository of an environment; it must succeed.
    pub fn restic(&self, environment: &str, arguments: &[&str]) -> String {
        let mut restic = command("restic", self.holdpoint.home());
        restic.arg("--no-cache").arg("--repo").arg(self.repository(environment));
        restic.arg("--password-file").arg(self.path().join(".holdpoint/key"));
        must(restic.args(arguments))
    }

    /// Returns every file of the application with its content, to see whether a run left something behind.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        collect(&self.path(), &mut files);
        files
    }
}

fn collect(directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files);
            files.insert(path, Vec::new());
        } else {
            let content = std::fs::read(&path).unwrap_or_default();
            files.insert(path, content);
        }
    }
}

/// Fails unless a document is what `holdpoint schema NAME` describes.
#[track_caller]
pub fn assert_valid(schema: &str, document: &serde_json::Value) {
    let directory = TempDir::new().unwrap();
    let schema = Holdpoint::new(directory.path()).run(["schema", schema]).expect(0).json();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{document:#}");
}
