//! One use of the action in a job: what the workflow gives, and what the runner tells afterwards.

use crate::gate::shop::{COMMIT, Manifest, Shop, lease, names};
use crate::support::environment::command;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The password of the store, and a secret of the workflow.
pub const PASSWORD: &str = "tr0ub4dor and 3";

/// A step that uses the action, in a job whose working tree is a shop and whose store is beside it.
pub struct Action {
    pub shop: Shop,
    directory: PathBuf,
    with: Map<String, Value>,
    env: Map<String, Value>,
    server: String,
    /// How long after SIGINT the runner sends SIGTERM, in milliseconds; `None` for its own 7.5 s.
    pub after_interrupt: Option<u64>,
}

impl Action {
    /// Prepares a gate of 1.4.0 for staging; the real binary is on the `PATH`.
    pub fn new() -> Self {
        Self::of(Shop::new())
    }

    /// Prepares a gate of a shop.
    pub fn of(shop: Shop) -> Self {
        let bin = shop.beside("bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_holdpoint"), bin.join("holdpoint")).unwrap();
        let at = |name| shop.beside(name).display().to_string();
        let (store, temporary) = (at("store"), at("tmp"));
        let server = "http://127.0.0.1:1".to_owned();
        let mut action =
            Self { shop, directory: ROOT.into(), with: Map::new(), env: Map::new(), server, after_interrupt: None };
        action.env("HOLDPOINT_PASSWORD", PASSWORD).env("TMPDIR", temporary);
        action.with("environment", "staging").with("release", "1.4.0").with("commit", COMMIT).with("store", store);
        action
    }

    /// Gives an input.
    pub fn with(&mut self, input: &str, value: impl Into<String>) -> &mut Self {
        self.with.insert(input.to_owned(), value.into().into());
        self
    }

    /// Takes an input away.
    pub fn without(&mut self, input: &str) -> &mut Self {
        self.with.remove(input);
        self
    }

    /// Sets a variable of the job.
    pub fn env(&mut self, name: &str, value: impl Into<String>) -> &mut Self {
        self.env.insert(name.to_owned(), value.into().into());
        self
    }

    /// Takes the action from a copy of what it consists of, in which `sums` are those of the released assets.
    pub fn released(&mut self, server: String, sums: &str) -> &mut Self {
        self.directory = self.shop.beside("action");
        self.server = server;
        for file in ["action.yml", "Cargo.toml", "scripts/action/find", "scripts/action/run", "scripts/action/sums"] {
            let target = self.directory.join(file);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(Path::new(ROOT).join(file), target).unwrap();
        }
        let file = self.directory.join("scripts/action/sums");
        let text = fs::read_to_string(&file).unwrap();
        let (before, rest) = text.split_once("# --- begin\n").expect("the mark that scripts/release looks for");
        let (_, after) = rest.split_once("# --- end\n").expect("the other mark");
        fs::write(file, format!("{before}# --- begin\n{sums}# --- end\n{after}")).unwrap();
        self
    }

    /// Takes another action, by its text.
    pub fn sample(&mut self, text: &str) -> &mut Self {
        self.directory = self.shop.beside("sample");
        fs::create_dir(&self.directory).unwrap();
        fs::write(self.directory.join("action.yml"), text).unwrap();
        self
    }

    /// Puts a program on the `PATH`, a script of the shell.
    pub fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.shop.beside("bin").join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    /// Takes the binary from the `PATH`.
    pub fn no_binary(&mut self) -> &mut Self {
        fs::remove_file(self.shop.beside("bin/holdpoint")).unwrap();
        self
    }

    /// Runs the job to its end.
    pub fn run(&self) -> Job {
        self.start().wait()
    }

    /// Starts the job.
    pub fn start(&self) -> Running {
        let at = |name| self.shop.beside(name);
        let request = json!({
            "action": { "directory": self.directory, "repository": "acme/holdpoint", "ref": "v0.1.0" },
            "with": self.with,
            "env": self.env,
            "secrets": [PASSWORD],
            "github": {
                "workspace": self.shop.path(""), "server_url": self.server, "repository": "acme/shop", "run_id": "7",
                "run_attempt": "1", "sha": COMMIT, "ref": "refs/tags/v1.4.0", "actor": "ada", "event_name": "push",
            },
            "temp": at("runner"),
            "tool_cache": at("tools"),
            "after_interrupt": self.after_interrupt,
        });
        fs::write(at("request.json"), request.to_string()).unwrap();
        let mut node = node();
        node.arg(Path::new(ROOT).join("tests/pipeline/github/runner.mjs")).arg(at("request.json"));
        node.env("PATH", path_with(&at("bin"))).env("HOME", self.shop.holdpoint.home());
        let file = |name| File::create(at(name)).unwrap();
        let child = node.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Running { child, stdout: at("stdout"), stderr: at("stderr") }
    }

    /// Returns the part of the store for an environment.
    pub fn place(&self, environment: &str) -> PathBuf {
        self.shop.beside("store/shop").join(environment)
    }

    /// Fails if anything of a run is left: a process, a temporary file, a lock, a lease.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        assert_eq!(self.shop.processes(), [""; 0], "processes are left");
        assert_eq!(names(&self.shop.beside("tmp")), [""; 0], "temporary files are left");
        for environment in names(&self.shop.beside("store/shop")) {
            let place = self.place(&environment);
            assert_eq!(names(&place.join("repository/locks")), [""; 0], "locks are left");
            if let Some(lease) = lease(&place) {
                assert_eq!(lease["released"], true, "the lease is held: {lease}");
            }
        }
    }
}

/// Returns Node with the hooks that let it import GitHub's packages.
pub fn node() -> Command {
    assert!(
        Path::new(ROOT).join("target/test-tools/actions/node_modules").exists(),
        "GitHub's packages are missing; scripts/test installs them"
    );
    let mut node = command("node", Path::new("/nonexistent"));
    node.arg("--import").arg(Path::new(ROOT).join("tests/pipeline/github/hooks.mjs"));
    node
}

/// Returns a search path with `bin` in front, on which there is neither holdpoint nor what would build it.
fn path_with(bin: &Path) -> OsString {
    let path = std::env::var_os("PATH").unwrap();
    let others = std::env::split_paths(&path);
    let others = others.filter(|folder| !["holdpoint", "cargo"].iter().any(|name| folder.join(name).exists()));
    std::env::join_paths(std::iter::once(bin.to_owned()).chain(others)).unwrap()
}

/// A job that has not ended.
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Cancels the job, as a click on the button does.
    pub fn cancel(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits until `happened`, which the job must live to see.
    #[track_caller]
    pub fn until(&mut self, what: &str, happened: impl Fn() -> bool) {
        while !happened() {
            let ended = self.child.try_wait().unwrap().is_some();
            assert!(!ended || happened(), "the job ended before {what}\n{}", fs::read_to_string(&self.stdout).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Waits for the end of a runner that cannot run the action, and returns what it says of it.
    #[track_caller]
    pub fn fails(mut self) -> String {
        assert!(!self.child.wait().unwrap().success());
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Waits for the end of the job.
    #[track_caller]
    pub fn wait(mut self) -> Job {
        let status = self.child.wait().unwrap();
        let stderr = fs::read_to_string(&self.stderr).unwrap();
        assert!(status.success(), "the runner ended with {status}\n{stderr}");
        Job(serde_json::from_slice(&fs::read(&self.stdout).unwrap()).unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail once the process was waited for, and then nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the runner tells of a job.
#[derive(Debug)]
pub struct Job(pub Value);

impl Job {
    /// Returns itself if the job ended so, and the outputs tell the verdict and the exit code.
    #[track_caller]
    pub fn expect(self, conclusion: &str, verdict: &str, exit_code: u8) -> Self {
        let got = (self.0["conclusion"].as_str().unwrap(), self.output("verdict"), self.output("exit-code"));
        assert_eq!(got, (conclusion, verdict, exit_code.to_string().as_str()), "{:#}", self.0);
        assert!(!self.log().contains("panicked at"), "{:#}", self.0);
        self
    }

    /// Returns an output of the action.
    pub fn output(&self, name: &str) -> &str {
        self.0["outputs"][name].as_str().unwrap()
    }

    /// Returns a step of the action.
    pub fn step(&self, id: &str) -> &Value {
        self.0["steps"].as_array().unwrap().iter().find(|step| step["id"] == id).expect("the step")
    }

    /// Returns the log, with secrets masked.
    pub fn log(&self) -> String {
        let lines: Vec<_> = self.0["log"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        lines.join("\n")
    }

    /// Returns the messages of a level that are shown beside the job.
    pub fn annotations(&self, level: &str) -> Vec<&str> {
        let all = self.0["annotations"].as_array().unwrap().iter();
        all.filter(|one| one["level"] == level).map(|one| one["message"].as_str().unwrap()).collect()
    }

    /// Fails unless one of the errors beside the job contains `text`.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.annotations("error").iter().any(|message| message.contains(text)), "no {text:?}\n{:#}", self.0);
        self
    }

    /// Returns the manifest that the outputs name.
    pub fn manifest(&self) -> Manifest {
        Manifest::read(Path::new(self.output("manifest")))
    }
}
