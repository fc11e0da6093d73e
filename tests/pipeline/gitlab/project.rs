//! A sample project whose pipeline is the one of `docs/ci/gitlab/`, and runs of it.

use super::tools::{gitlab_ci_local, read};
use crate::support::environment::{command, must};
use crate::support::git::Repository;
use crate::support::holdpoint::PASSWORD;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use tempfile::TempDir;

/// The version of the project before its pipeline runs, and the one that it deploys.
pub const FROM: &str = "1.3.2";
pub const TO: &str = "1.4.0";

/// A project in git with a remote, and all that its pipeline works on beside it.
pub struct Project {
    folder: TempDir,
    repository: Repository,
}

impl Project {
    /// Makes the project; its newest commit is tagged as a release.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    /// Makes the project; `change` is made before the commit that is tagged.
    pub fn with(change: impl FnOnce(&Self)) -> Self {
        let folder = TempDir::new().unwrap();
        for name in ["shop", "home", "tmp", "bin"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let project = Self { repository: Repository::new(folder.path().join("shop")), folder };
        project.write(".gitlab-ci.yml", read("docs/ci/gitlab/.gitlab-ci.yml"));
        project.write("gitlab-template.yml", read("gitlab-template.yml"));
        project.write(".gitignore", ".gitlab-ci-local/\n");
        project.write("uploads/invoice.txt", "one mug, 12.00 EUR\n").write("config/shop.toml", "currency = \"EUR\"\n");
        project.write("holdpoint.toml", project.configuration());
        project.program("test.sh", "#!/bin/sh\ntouch \"$BESIDE/tested\"\n");
        // Fails where the test says so, after it has been asked for the pass.
        project.program(
            "deploy.sh",
            "#!/bin/sh\nset -eu\nenv >\"$BESIDE/deployed-with\"\ncp holdpoint-manifest.json \"$BESIDE/deploy-manifest\"\n\
             [ ! -e \"$BESIDE/fail\" ]\necho \"${CI_COMMIT_TAG#v}\" >\"$BESIDE/running\"\n",
        );
        project.program("go-back.sh", "#!/bin/sh\nset -eu\necho \"$HOLDPOINT_FROM_VERSION\" >\"$BESIDE/running\"\n");
        project.write_beside("running", FROM);
        project.key();
        project.holdpoint("");
        change(&project);
        project.repository.commit("Release");
        project.repository.tag(&format!("v{TO}"));
        project.repository.git(&["remote", "add", "origin", "https://gitlab.example.test/acme/shop.git"]);
        project.repository.git(&["config", "user.name", "Ada"]);
        project.repository.git(&["config", "user.email", "ada@example.test"]);
        project
    }

    fn configuration(&self) -> String {
        format!(
            "application = \"shop\"\n\n[environment.production.deployed]\nkind = \"file\"\npath = {:?}\n\n\
             [environment.production.rollback]\nredeploy = [\"./go-back.sh\"]\n",
            self.beside("running")
        )
    }

    /// Puts the binary where the jobs find it, behind `before`, which a shell runs first.
    pub fn holdpoint(&self, before: &str) {
        // Of a job with an image gitlab-ci-local says that it runs in the directory of a container, also where it does not.
        let program = format!(
            "#!/bin/sh\nset -eu\n{before}\nexport CI_PROJECT_DIR=\"$PWD\"\nexec '{}' \"$@\"\n",
            env!("CARGO_BIN_EXE_holdpoint")
        );
        self.write_beside("bin/holdpoint", program);
        make_executable(&self.beside("bin/holdpoint"));
    }

    /// Makes the key that signs, and says whose signatures count.
    fn key(&self) {
        let key = self.beside("key");
        must(
            command("ssh-keygen", self.folder.path())
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "ci", "-f"])
                .arg(&key),
        );
        let public = fs::read_to_string(self.beside("key.pub")).unwrap();
        self.write_beside("allowed-signers", format!("ci@shop.example {public}"));
    }

    /// Writes a file of the project.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> &Self {
        self.repository.write(path, content);
        self
    }

    /// Writes a program of the project.
    pub fn program(&self, path: &str, content: &str) -> &Self {
        self.write(path, content);
        make_executable(&self.path(path));
        self
    }

    /// Replaces a text that must be in a file of the project.
    pub fn replace(&self, path: &str, from: &str, to: &str) -> &Self {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(from), "{path} has no {from}");
        self.write(path, text.replace(from, to))
    }

    /// Returns a path in the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.repository.path().join(name)
    }

    /// Returns a path beside the project.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file beside the project.
    pub fn write_beside(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.beside(name), content).unwrap();
        self
    }

    /// Returns the version that runs.
    pub fn running(&self) -> String {
        fs::read_to_string(self.beside("running")).unwrap().trim().to_owned()
    }

    /// Returns the environment of the deploy's script; `None` if it did not run.
    pub fn deployed_with(&self) -> Option<BTreeMap<String, String>> {
        let text = fs::read_to_string(self.beside("deployed-with")).ok()?;
        let variables = text.lines().filter_map(|line| line.split_once('='));
        Some(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Returns the manifest among the artifacts of the gate.
    pub fn manifest(&self) -> Value {
        let artifacts = self.path(".gitlab-ci-local/artifacts");
        let job = fs::read_dir(&artifacts).unwrap().flatten().map(|entry| entry.path());
        let mut found = job.map(|job| job.join("holdpoint-manifest.json")).filter(|path| path.exists());
        serde_json::from_slice(&fs::read(found.next().expect("a manifest")).unwrap()).unwrap()
    }

    /// Runs the pipeline, or the jobs that are named, to the end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        let mut running = self.start(arguments);
        let code = running.child.wait().unwrap().code();
        Ended { code, output: running.output() }
    }

    /// Starts the pipeline.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let log = self.beside("log");
        let file = File::create(&log).unwrap();
        let child = self.command(arguments).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
        Running { child, log }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut pipeline = gitlab_ci_local(&self.beside("home"));
        let programs = Path::new(env!("CARGO_BIN_EXE_holdpoint")).parent().unwrap();
        let path =
            format!("{}:{}:{}", self.beside("bin").display(), programs.display(), std::env::var("PATH").unwrap());
        pipeline.current_dir(self.repository.path()).env("PATH", path).env("TMPDIR", self.beside("tmp"));
        pipeline.args(["--shell-isolation", "--force-shell-executor", "--no-color"]);
        // What GitLab itself would set, and what the settings of a project hold.
        pipeline.args(["--ignore-predefined-vars", "GITLAB_CI,CI_COMMIT_TAG"]);
        let tag = format!("v{TO}");
        let file = |name: &str| self.beside(name).display().to_string();
        for (name, value) in [
            ("GITLAB_CI", "true"),
            ("CI_COMMIT_TAG", &tag),
            ("BESIDE", &self.folder.path().display().to_string()),
            ("TMPDIR", &file("tmp")),
            ("HOLDPOINT_STORE", &file("store")),
            ("HOLDPOINT_PASSWORD", PASSWORD),
            ("HOLDPOINT_SIGNING_KEY", &file("key")),
            ("HOLDPOINT_ALLOWED_SIGNERS", &file("allowed-signers")),
        ] {
            pipeline.args(["--variable", &format!("{name}={value}")]);
        }
        pipeline.args(arguments);
        pipeline
    }

    /// Fails if anything of a run is left: a process, a lock, a lease, a temporary file.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let ours = format!("TMPDIR={}", self.beside("tmp").display());
        let mut left = Vec::new();
        for process in fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()) {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|variable| variable == ours.as_bytes()) {
                left.push(String::from_utf8_lossy(&fs::read(process.join("cmdline")).unwrap_or_default()).into_owned());
            }
        }
        assert_eq!(left, [""; 0], "processes are left");
        let names = |path: PathBuf| -> Vec<_> { fs::read_dir(path).into_iter().flatten().flatten().collect() };
        assert!(names(self.beside("tmp")).is_empty(), "temporary files are left");
        let place = self.beside("store/shop/production");
        assert!(names(place.join("repository/locks")).is_empty(), "a lock is left");
        let leases = names(place.join("lease")).into_iter().map(|entry| entry.path());
        let number = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().parse::<u64>().unwrap();
        if let Some(newest) = leases.max_by_key(number) {
            let lease: Value = serde_json::from_slice(&fs::read(newest).unwrap()).unwrap();
            assert_eq!(lease["released"], true, "the lease is held: {lease}");
        }
    }
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A pipeline that runs; killed when dropped.
pub struct Running {
    pub child: Child,
    log: PathBuf,
}

impl Running {
    /// Returns what was written so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail once it was waited for, and then nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a pipeline ended.
pub struct Ended {
    code: Option<i32>,
    pub output: String,
}

impl Ended {
    /// Returns itself if the pipeline ended as GitLab calls it.
    #[track_caller]
    pub fn expect(self, passed: bool) -> Self {
        assert_eq!(self.code, Some(i32::from(!passed)), "{}", self.output);
        assert!(!self.output.contains("panicked at"), "{}", self.output);
        self
    }

    /// Asserts what became of each job, `PASS`, `WARN` or `FAIL`; one that is not named did not run.
    #[track_caller]
    pub fn jobs(&self, expected: &[(&str, &str)]) -> &Self {
        let mut found = Vec::new();
        for line in self.output.lines().map(str::trim) {
            let words = line.split_once(' ').filter(|(result, _)| ["PASS", "FAIL", "WARN"].contains(result));
            found.extend(words.map(|(result, job)| (job.trim().to_owned(), result.to_owned())));
        }
        // The list is not in the order in which they ran.
        found.sort();
        let mut expected: Vec<_> =
            expected.iter().map(|(job, result)| ((*job).to_owned(), (*result).to_owned())).collect();
        expected.sort();
        assert_eq!(found, expected, "{}", self.output);
        self
    }

    /// Asserts that the log contains each of `texts`.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.output.contains(text), "no {text:?} in\n{}", self.output);
        }
        self
    }
}
