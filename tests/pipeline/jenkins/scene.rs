//! One build as Jenkins would run it: what it is given, the stand-in that plays it, what became of it.

use crate::support::environment::{command, must};
use crate::support::holdpoint::PASSWORD;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
pub const COMMIT: &str = "3f9c2ab1d5e64708a1b2c3d4e5f60718293a4b5c";
pub const DATABASE_URL: &str = "postgres://shop:mug@db.example/shop";
/// One build: an agent's workspace with an application, a store beside it, and what the build keeps.
pub struct Scene {
    folder: TempDir,
    /// What the stand-in is told.
    pub what: Value,
}

impl Scene {
    /// Prepares a build of the Jenkinsfile that is shipped, of version 1.4.0 into staging, where 1.3.0 runs.
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (secret, public) = key(&at("key"));
        for name in ["shop/data", "tmp", "home", "kept", "bin"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap());
        let what = json!({
            "jenkinsfile": fs::read_to_string(Path::new(ROOT).join("jenkins/Jenkinsfile")).unwrap(),
            "workspace": at("shop"),
            "kept": at("kept"),
            "environment": {
                "PATH": path, "HOME": at("home"), "TMPDIR": at("tmp"), "LANG": "C.UTF-8", "TZ": "UTC",
                "JENKINS_URL": "https://jenkins.example/", "BUILD_ID": "7", "BUILD_NUMBER": "7", "JOB_NAME": "shop",
                "BUILD_URL": "https://jenkins.example/job/shop/7/", "BUILD_TAG": "jenkins-shop-7", "WORKSPACE": at("shop"),
                "GIT_COMMIT": COMMIT, "GIT_BRANCH": "origin/main", "HOLDPOINT_STORE": at("store"), "HOLDPOINT": env!("CARGO_BIN_EXE_holdpoint"),
            },
            "params": { "RELEASE": "1.4.0" },
            "credentials": {
                "holdpoint-password": PASSWORD, "shop-database-url": DATABASE_URL, "holdpoint-signing-key": secret,
                "holdpoint-allowed-signers": signers(&public),
            },
        });
        let scene = Self { folder, what };
        scene.configure("[[source]]\nname = \"data\"\nkind = \"files\"\npaths = [\"data\"]\n");
        scene.write("data/orders.csv", "id,total\n1,10\n").write("VERSION", "1.3.0\n");
        scene.program("shop/deploy.sh", "printenv >deployed; echo \"$2\" >VERSION");
        // A rollback is noted down, and succeeds.
        let played = "[ \"$1\" = rollback ] || exec \"$HOLDPOINT\" \"$@\"\nprintf '%s\\n' \"$@\" >>../calls\n\
            echo 'a rollback &lt;played&gt;' >holdpoint-description.txt\n\
            case \"$*\" in *--manifest=*) cat holdpoint-manifest.json >../used ;; esac";
        scene.program("bin/holdpoint", played);
        scene
    }

    /// Sets a parameter of the build.
    pub fn given(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.what["params"][name] = value.into();
        self
    }

    /// Takes another Jenkinsfile: one with a single stage of these steps.
    pub fn steps(self, steps: &str) -> Self {
        self.jenkinsfile(&format!("pipeline {{\nagent any\nstages {{ stage('one') {{ steps {{\n{steps}\n}} }} }}\n}}"))
    }

    /// Takes another Jenkinsfile, without parameters.
    pub fn jenkinsfile(mut self, text: &str) -> Self {
        self.what["jenkinsfile"] = text.into();
        self.what["params"] = json!({});
        self
    }

    /// Cancels the build once a directory in the folder has something in it.
    pub fn cancelled_when(mut self, directory: &str) -> Self {
        self.what["interrupt"] = json!({ "kind": "abort", "when": self.path(directory) });
        self
    }

    /// Writes the configuration: sources, and a probe that reads `VERSION`.
    pub fn configure(&self, sources: &str) -> &Self {
        let probe = "[environment.staging.deployed]\nkind = \"file\"\npath = \"VERSION\"\n";
        self.write("holdpoint.toml", format!("application = \"shop\"\n\n{sources}\n{probe}"))
    }

    /// Lets the binary itself roll back, by a program that deploys the version before again.
    pub fn rolls_back(self) -> Self {
        fs::remove_file(self.path("bin/holdpoint")).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_holdpoint"), self.path("bin/holdpoint")).unwrap();
        self.program("shop/go-back.sh", "echo \"$HOLDPOINT_FROM_VERSION\" >VERSION");
        let source = "[[source]]\nname = \"data\"\nkind = \"files\"\npaths = [\"data\"]\n";
        self.configure(&format!("{source}\n[environment.staging.rollback]\nredeploy = [\"./go-back.sh\"]\n"));
        self
    }

    /// Configures one source: what a script writes.
    pub fn command(self, script: &str) -> Self {
        let command = json!(["sh", "-c", script]);
        let source = format!("[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {command}\n");
        self.configure(&format!("[gate]\nretry = {{ attempts = 1 }}\n\n{source}"));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path("shop").join(name), content).unwrap();
        self
    }

    pub fn program(&self, name: &str, script: &str) -> &Self {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Returns a file beside the workspace; empty if there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Returns the manifest that the build kept.
    #[track_caller]
    pub fn kept(&self) -> Value {
        serde_json::from_str(&self.read("kept/holdpoint-manifest.json")).unwrap()
    }

    /// Fails if anything of a run is left: a process, a lock, a lease, a temporary file.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let mark = format!("TMPDIR={}", self.path("tmp").display());
        let marked = |process: &PathBuf| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let processes: Vec<_> = processes.filter(marked).collect();
        assert!(processes.is_empty(), "processes are left: {processes:?}");
        assert_eq!(names(&self.path("tmp")), [""; 0], "temporary files are left");
        assert_eq!(names(&self.path("store/shop/staging/repository/locks")), [""; 0], "locks are left");
        let lease = self.path("store/shop/staging/lease");
        let newest =
            names(&lease).into_iter().max_by_key(|name| name.trim_end_matches(".json").parse::<u64>().unwrap());
        let lease: Value = serde_json::from_slice(&fs::read(lease.join(newest.expect("a lease"))).unwrap()).unwrap();
        assert_eq!(lease["released"], true, "the lease is held: {lease}");
    }
}

/// Makes a key and returns its text and that of the public one.
pub fn key(path: &Path) -> (String, String) {
    let mut keygen = command("ssh-keygen", path.parent().unwrap());
    must(keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "ada@example.test", "-f"]).arg(path));
    (fs::read_to_string(path).unwrap(), fs::read_to_string(path.with_extension("pub")).unwrap())
}

/// Returns the allowed signers: one, with a public key.
pub fn signers(public: &str) -> Value {
    format!("ada@example.test namespaces=\"holdpoint@manifest\" {public}").into()
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What became of a build.
#[derive(Debug)]
pub struct Report(pub Value);

impl Report {
    #[track_caller]
    pub fn assert(&self, result: &str, stages: &[(&str, &str)]) {
        let stages: Value = stages.iter().map(|(name, state)| ((*name).to_owned(), json!(state))).collect();
        assert_eq!(
            (self.text("result"), &self.0["stages"]),
            (result, &stages),
            "{}\n{}",
            self.text("error"),
            self.log()
        );
    }

    pub fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    pub fn log(&self) -> &str {
        self.text("log")
    }

    #[track_caller]
    pub fn fails_with(&self, words: &str) {
        assert_eq!(self.text("result"), "FAILURE", "{words}: {}", self.log());
        assert!(self.text("error").contains(words), "no {words:?} in {:?}\n{}", self.text("error"), self.log());
    }
}

/// Runs builds at once, in one Java machine.
pub fn run(scenes: &[&Scene]) -> Vec<Report> {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("scenarios.json");
    let whats: Vec<_> = scenes.iter().map(|scene| &scene.what).collect();
    let library = Path::new(ROOT).join("jenkins");
    fs::write(&file, json!({ "library": library, "scenarios": whats }).to_string()).unwrap();
    let player = Path::new(ROOT).join("tests/pipeline/jenkins");
    let mut groovy = command("groovy", directory.path());
    groovy.env("JAVA_HOME", java()).env("JAVA_OPTS", "-XX:TieredStopAtLevel=1 -Xmx256m").current_dir(directory.path());
    let output = must(groovy.arg("-cp").arg(&player).arg(player.join("Main.groovy")).arg(&file));
    serde_json::from_str::<Vec<Value>>(&output).unwrap().into_iter().map(Report).collect()
}

/// Returns the home of Java 17, the newest that Debian's Groovy runs on.
fn java() -> PathBuf {
    let machines =
        fs::read_dir("/usr/lib/jvm").expect("Java: scripts/test installs it").map(|entry| entry.unwrap().path());
    let mut seventeen =
        machines.filter(|path| path.to_string_lossy().contains("/java-17-openjdk") && path.join("bin/java").exists());
    seventeen.next().expect("Java 17: scripts/test installs it")
}
