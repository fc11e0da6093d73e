//! A copy of what `scripts/release` reads and writes, and small programs to pack.

use crate::support::environment::{command, must};
use crate::support::git::Repository;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// The version of all that is tested.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What of the repository scripts for releases read.
const READ: [&str; 13] = [
    "action.yml",
    "Cargo.lock",
    "Cargo.toml",
    "CHANGELOG.md",
    "Dockerfile",
    "docs",
    "gitlab-template.yml",
    "jenkins",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "scripts",
    ".gitignore",
];

/// Returns a path below the top of the repository.
pub fn here(path: &str) -> PathBuf {
    Path::new(ROOT).join(path)
}

/// Returns standard error of a command that must have failed with a code.
pub fn refused(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

/// A committed copy of the repository, without the source.
pub struct Project {
    directory: TempDir,
}

impl Project {
    /// Copies, and commits.
    pub fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let project = Self { directory };
        let mut copy = command("cp", project.top());
        must(copy.arg("--archive").args(READ.map(here)).arg(project.top()));
        Repository::new(project.top()).commit("A copy");
        project
    }

    /// Returns the folder.
    pub fn top(&self) -> &Path {
        self.directory.path()
    }

    /// Reads a file.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.top().join(path)).unwrap()
    }

    /// Writes a file, and its folder.
    pub fn write(&self, path: &str, content: &str) -> PathBuf {
        let path = self.top().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Changes a file, which must have what is replaced.
    pub fn replace(&self, path: &str, from: &str, to: &str) {
        let content = self.read(path);
        assert!(content.contains(from), "{path} has no {from}");
        self.write(path, &content.replace(from, to));
    }

    /// Commits everything that git does not ignore, at a time.
    pub fn commit(&self, date: &str) {
        let git = || {
            let mut git = command("git", self.top());
            git.current_dir(self.top()).env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date);
            git.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.test"]);
            git
        };
        must(git().args(["add", "--all"]));
        must(git().args(["commit", "--quiet", "-m", "A change"]));
    }

    /// Returns a command for `scripts/release`.
    pub fn release(&self, arguments: &[&str]) -> Command {
        let mut release = command("scripts/release", self.top());
        for variable in ["CARGO_HOME", "RUSTUP_HOME"] {
            release.envs(std::env::var_os(variable).map(|value| (variable, value)));
        }
        release.current_dir(self.top()).args(arguments);
        release
    }
}

/// Builds a static program that says it is this version of holdpoint, and repeats its arguments to anything else.
pub fn static_program(path: &Path, version: &str) {
    let folder = path.parent().unwrap();
    fs::create_dir_all(folder).unwrap();
    let source = folder.join("program.c");
    let program = format!(
        "#include <stdio.h>\n#include <string.h>\n\
         int main(int n, char **a) {{\n\
         if (n == 2 && !strcmp(a[1], \"--version\")) return puts(\"holdpoint {version}\") < 0;\n\
         for (int i = 1; i < n; i++) puts(a[i]);\n\
         return 0; }}\n"
    );
    fs::write(&source, program).unwrap();
    must(command("cc", folder).args(["-static", "-s", "-o"]).arg(path).arg(&source));
    fs::remove_file(source).unwrap();
}

/// Makes a copy of a program that says it is for the arm64.
pub fn for_arm64(program: &Path, path: &Path) {
    let mut bytes = fs::read(program).unwrap();
    assert_eq!(&bytes[..4], b"\x7fELF");
    // e_machine: EM_AARCH64.
    bytes[18..20].copy_from_slice(&183u16.to_le_bytes());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
    must(command("chmod", path.parent().unwrap()).arg("+x").arg(path));
}
