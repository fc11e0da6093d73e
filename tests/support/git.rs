//! Git working trees with a history that is the same on every machine.

use super::environment::{command, must};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A git working tree.
pub struct Repository {
    directory: PathBuf,
}

impl Repository {
    /// Makes `directory`, with all that is in it, a working tree without a commit.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let repository = Self::at(directory);
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository
    }

    /// Takes the working tree that `directory` is already.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Returns the working tree.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Writes a file, and the directories it needs.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    /// Commits everything, changed or not, and returns the full hash.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.head()
    }

    /// Tags HEAD with an annotated tag, as releases are.
    pub fn tag(&self, name: &str) -> &Self {
        self.git(&["tag", "--annotate", "-m", name, name]);
        self
    }

    /// Returns the full hash of HEAD.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Runs git in the working tree and returns its output.
    pub fn git(&self, arguments: &[&str]) -> String {
        must(self.command().args(arguments))
    }

    fn command(&self) -> Command {
        let mut git = command("git", &self.directory);
        git.current_dir(&self.directory);
        for role in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{role}_NAME"), "Ada").env(format!("GIT_{role}_EMAIL"), "ada@example.test");
            git.env(format!("GIT_{role}_DATE"), "2026-11-20T12:00:00Z");
        }
        git
    }
}

#[test]
fn a_commit_and_its_tag_are_the_same_everywhere() {
    let directory = tempfile::TempDir::new().unwrap();
    let repository = Repository::new(directory.path());
    let commit = repository.write("config/shop.toml", "currency = \"EUR\"\n").commit("Sell in euros");
    repository.tag("v1.4.0");
    assert_eq!(repository.git(&["describe", "--exact-match"]).trim(), "v1.4.0");
    assert_eq!(repository.git(&["rev-parse", "v1.4.0^{commit}"]).trim(), commit);
    assert_eq!(commit, "0fe4e917d8ac542b877db8e53614ea6bfd706e63");
}
