//! Runs the real binary in a clean environment.

use super::{environment, wait};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The password that [`Holdpoint::password`] gives to named stores.
pub const PASSWORD: &str = "correct horse battery staple";

/// The binary, ready to run in one directory with a home of its own.
pub struct Holdpoint {
    directory: PathBuf,
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl Holdpoint {
    /// Prepares runs in `directory` with nothing of the caller's environment but `PATH`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), home: TempDir::new().unwrap(), variables: Vec::new() }
    }

    /// Sets an environment variable for every run.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Gives every run the password [`PASSWORD`].
    #[must_use]
    pub fn password(self) -> Self {
        self.env("HOLDPOINT_PASSWORD", PASSWORD)
    }

    /// Returns the home directory of the runs.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Returns the command, for tests that need more than [`Holdpoint::run`] and [`Holdpoint::start`] offer.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = environment::command(env!("CARGO_BIN_EXE_holdpoint"), self.home.path());
        command.current_dir(&self.directory).args(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the binary to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Output {
        self.start(arguments).wait()
    }

    /// Starts the binary; its output goes to files, so that it never waits for a reader.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        let output = TempDir::new().unwrap();
        let file = |name| File::create(output.path().join(name)).unwrap();
        let mut command = self.command(arguments);
        command.stdout(file("stdout")).stderr(file("stderr"));
        let child = command.spawn().unwrap();
        Running { child, output, started: Instant::now(), line: format!("{command:?}") }
    }
}

/// A run that has not ended, or was not waited for; killed when dropped.
pub struct Running {
    child: Child,
    output: TempDir,
    started: Instant,
    line: String,
}

impl Running {
    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process alone, as CI systems do.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Says whether the process has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end of the process, at most `limit`; says whether it has ended.
    pub fn ends_within(&mut self, limit: Duration) -> bool {
        self.ended() || wait::for_end(self.child.id(), limit)
    }

    /// Waits for the end of the process, at most `limit`; one that does not end is killed, and what it has written to
    /// standard error comes back instead.
    pub fn wait_within(mut self, limit: Duration) -> Result<Output, String> {
        if self.ends_within(limit) { Ok(self.wait()) } else { Err(self.stderr()) }
    }

    /// Returns what the process has written to standard error so far.
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(self.output.path().join("stderr")).unwrap()
    }

    /// Waits for the end of the process.
    pub fn wait(mut self) -> Output {
        let status = self.child.wait().unwrap();
        let elapsed = self.started.elapsed();
        let read = |name| String::from_utf8(std::fs::read(self.output.path().join(name)).unwrap()).unwrap();
        let line = std::mem::take(&mut self.line);
        Output { code: status.code(), stdout: read("stdout"), stderr: read("stderr"), elapsed, line }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail once the process was waited for, and then nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a run left behind.
#[derive(Debug)]
pub struct Output {
    /// The exit code; `None` if a signal killed the process.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// From the start to the end of the process.
    pub elapsed: Duration,
    line: String,
}

impl Output {
    /// Returns itself if the exit code is `code`.
    #[track_caller]
    pub fn expect(self, code: u8) -> Self {
        assert_eq!(self.code, Some(i32::from(code)), "{}\n{}", self.line, self.both());
        assert!(!self.stderr.contains("panicked at"), "{}\n{}", self.line, self.both());
        self
    }

    /// Returns the one JSON document on standard output.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{}: not one JSON document: {error}\n{}", self.line, self.both()))
    }

    /// Asserts that standard error contains each of `texts`.
    #[track_caller]
    pub fn says(&self, texts: &[&str]) -> &Self {
        for text in texts {
            assert!(self.stderr.contains(text), "{}: no {text:?} in\n{}", self.line, self.both());
        }
        self
    }

    /// Asserts that what was printed, the result or what is beside it, contains each of `texts`.
    #[track_caller]
    pub fn shows(&self, texts: &[&str]) -> &Self {
        for text in texts {
            let is_there = self.stdout.contains(text) || self.stderr.contains(text);
            assert!(is_there, "{}: no {text:?} in\n{}", self.line, self.both());
        }
        self
    }

    /// Asserts that the last line of standard error says in words that there is to be no deploy, and that the line before
    /// it names the next command: the contract of every code but 0.
    #[track_caller]
    pub fn refuses_in_words(&self) -> &Self {
        let mut lines = self.stderr.lines().rev();
        let last = lines.next().unwrap_or_default();
        assert!(last.ends_with("do not deploy"), "{}\n{}", self.line, self.both());
        let before = lines.next().unwrap_or_default();
        assert!(before.starts_with("next: holdpoint "), "{}: no next command\n{}", self.line, self.both());
        self
    }

    fn both(&self) -> String {
        format!("exit code {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

#[test]
fn nothing_of_the_callers_environment_gets_through() {
    let directory = TempDir::new().unwrap();
    let holdpoint = Holdpoint::new(directory.path()).password();
    let command = holdpoint.command(["--version"]);
    let mut names: Vec<_> = command.get_envs().filter_map(|(name, _)| name.to_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["GIT_CONFIG_NOSYSTEM", "HOLDPOINT_PASSWORD", "HOME", "LANG", "PATH", "TZ"]);
    holdpoint.run(["--version"]).expect(0);
}
