//! The script of the template by itself, in the shells of small and large images: which binary it runs, and how.

use super::template::script;
use crate::support::environment::{command, must};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const SHELLS: &[&str] = &["bash", "dash"];

/// A program in the place of the binary: it tells its version, its process and its arguments.
const PROGRAM: &str = "#!/bin/sh\n[ \"$1\" != --version ] || { echo 'holdpoint 9.9.9'; exit; }\n\
                       echo \"process $$\"; printf '%s\\n' \"$@\"\n";

/// A directory in which a job runs.
struct Job {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

impl Job {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Self { folder, variables: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn input(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((format!("HOLDPOINT_INPUT_{name}"), value.into()));
        self
    }

    fn program(&self, name: &str, content: &str) -> &Self {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Returns the shell that runs a script as a runner starts it, with the defaults of all inputs.
    fn command(&self, shell: &str, script: &str) -> Command {
        let mut job = command(shell, self.folder.path());
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        job.current_dir(self.folder.path()).env("PATH", path).env("TMPDIR", self.path("tmp"));
        for name in
            ["RELEASE", "COMMIT", "PATHS", "CONFIG", "STORE", "TIMEOUT", "ARGS", "BINARY", "VERSION", "RELEASES"]
        {
            job.env(format!("HOLDPOINT_INPUT_{name}"), "");
        }
        job.env("HOLDPOINT_INPUT_ENVIRONMENT", "production").env("HOLDPOINT_INPUT_WAIT", "5m");
        job.env("CI_JOB_MANUAL", "true");
        job.envs(self.variables.iter().map(|(name, value)| (name, value))).args(["-e", "-c", script]);
        job
    }

    fn run(&self, shell: &str, script: &str) -> Output {
        self.command(shell, script).output().unwrap()
    }

    /// Runs a script that must end with a code and say something, and deploy nothing.
    #[track_caller]
    fn refused(&self, shell: &str, script: &str, code: i32, says: &str) {
        let output = self.run(shell, &format!("{script}\ntouch deployed\n"));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{shell}: {stderr}");
        assert!(stderr.contains(says), "{shell}: no {says:?} in {stderr}");
        assert!(!self.path("deployed").exists(), "{shell}: it went on");
    }
}

fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn the_binary_takes_the_place_of_the_shell() {
    for shell in SHELLS {
        let job = Job::new();
        job.program("bin/holdpoint", PROGRAM);
        let process = |name: &str, expected: &[&str]| {
            let child = job.command(shell, &script(name)).stdout(std::process::Stdio::piped()).spawn().unwrap();
            let pid = child.id();
            let output = lines(&child.wait_with_output().unwrap());
            assert_eq!(output[0], format!("process {pid}"), "{shell}: {name} is not what is signalled");
            assert_eq!(output[1..], *expected, "{shell}");
        };
        let manifest = "--manifest=holdpoint-manifest.json";
        process("holdpoint:reconcile", &["reconcile", "--environment=production", manifest, "--wait=5m"]);
        process("holdpoint:rollback", &["rollback", "--environment=production", manifest, "--yes=production"]);
    }
}

#[test]
fn the_deploy_goes_on_after_a_pass_and_only_then() {
    for shell in SHELLS {
        let job = Job::new().input("RELEASE", "1.4.0").input("STORE", "/srv/store");
        job.program("bin/holdpoint", PROGRAM);
        let output = lines(&job.run(shell, &format!("{}echo deployed", script(".holdpoint:admit"))));
        let expected = ["admit", "--environment=production", "--store=/srv/store", "--release=1.4.0", "deployed"];
        assert_eq!(output[1..], expected, "{shell}");
        job.program("bin/holdpoint", "#!/bin/sh\nexit 16\n");
        job.refused(shell, &script(".holdpoint:admit"), 16, "");
        // A script that was told to go on after failures does not go on after this one.
        job.refused(shell, &format!("set +e\n{}", script(".holdpoint:admit")), 16, "");
        job.program("bin/holdpoint", "no program\n");
        fs::remove_file(job.path("bin/holdpoint")).unwrap();
        job.refused(shell, &script(".holdpoint:admit"), 2, "no release to download");
    }
}

#[test]
fn a_deploy_that_is_cancelled_while_it_asks_does_not_go_on() {
    // Ends only when it is told to, and with a pass.
    let program = "#!/bin/sh\ntrap 'touch told; exit 0' TERM\ntouch asked\nwhile :; do sleep 0.02; done\n";
    for shell in SHELLS {
        let job = Job::new();
        job.program("bin/holdpoint", program);
        let mut child = job.command(shell, &format!("{}touch deployed", script(".holdpoint:admit"))).spawn().unwrap();
        while !job.path("asked").exists() {
            assert!(child.try_wait().unwrap().is_none(), "{shell}: it ended too early");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(143), "{shell}");
        assert!(job.path("told").exists(), "{shell}: the binary was not told");
        assert!(!job.path("deployed").exists(), "{shell}: it went on");
    }
}

#[test]
fn the_binary_is_the_one_that_was_named_or_is_of_the_version() {
    let gate = script("holdpoint:gate");
    for shell in SHELLS {
        let job = Job::new().input("VERSION", "v9.9.9");
        job.program("bin/holdpoint", PROGRAM);
        assert_eq!(lines(&job.run(shell, &gate))[1], "gate", "{shell}");
        let job = job.input("VERSION", "9.9.8");
        job.refused(shell, &gate, 2, "there is no holdpoint 9.9.8 on the PATH");
        let job = job.input("BINARY", "-x");
        job.program("-x", PROGRAM);
        assert_eq!(lines(&job.run(shell, &gate))[1], "gate", "{shell}");
        let job = job.input("BINARY", "bin");
        job.refused(shell, &gate, 2, "the input binary names no program");
    }
}

/// Makes a release in a directory, and returns its line among the checksums.
fn release(folder: &Path) -> String {
    let machine = must(command("uname", folder).arg("-m"));
    let name = format!("holdpoint-9.9.9-{}-unknown-linux-musl.tar.gz", machine.trim());
    let assets = folder.join("v9.9.9");
    fs::create_dir_all(&assets).unwrap();
    let program = PROGRAM.replace("process", "downloaded by");
    fs::write(folder.join("holdpoint"), program).unwrap();
    fs::set_permissions(folder.join("holdpoint"), fs::Permissions::from_mode(0o755)).unwrap();
    must(command("tar", folder).current_dir(folder).arg("-czf").arg(assets.join(&name)).arg("holdpoint"));
    must(command("sha256sum", folder).current_dir(&assets).arg(name)).trim().to_owned()
}

#[test]
fn a_release_is_run_only_if_its_checksum_is_the_one_in_the_template() {
    let releases = TempDir::new().unwrap();
    let sum = release(releases.path());
    let gate = script("holdpoint:gate");
    let with = |line: &str| gate.replace("# --- begin\n", &format!("# --- begin\n{line}\n"));
    let address = format!("file://{}", releases.path().display());
    for shell in SHELLS {
        let job = Job::new().input("VERSION", "9.9.9").input("RELEASES", &address);
        assert!(lines(&job.run(shell, &with(&sum)))[0].starts_with("downloaded by"), "{shell}");
        let deploy = script(".holdpoint:admit").replace("# --- begin\n", &format!("# --- begin\n{sum}\n"));
        let output = lines(&job.run(shell, &format!("{deploy}echo deployed")));
        assert_eq!((output[1].as_str(), output[3].as_str()), ("admit", "deployed"), "{shell}");
        let wrong = format!("{}  {}", "0".repeat(64), sum.split_once("  ").unwrap().1);
        job.refused(shell, &with(&wrong), 2, "is not what was released");
        job.refused(shell, &gate, 2, "this template has no checksum of holdpoint-9.9.9-");
        let other = sum.replace("9.9.9", "9.9.8");
        job.refused(shell, &with(&other), 2, "this template has no checksum");
        let job = job.input("RELEASES", "");
        job.refused(shell, &with(&sum), 2, "does not say where to download");
        let job = job.input("RELEASES", format!("{address}/nowhere"));
        job.refused(shell, &with(&sum), 2, "cannot be downloaded");
        assert_eq!(fs::read_dir(job.path("tmp")).unwrap().count(), 0, "{shell}: a download is left");
    }
}

#[test]
fn the_way_back_is_not_gone_unless_somebody_started_the_job() {
    for shell in SHELLS {
        let mut job = Job::new();
        job.program("bin/holdpoint", PROGRAM);
        for said in ["", "false"] {
            job.variables = vec![("CI_JOB_MANUAL".to_owned(), said.to_owned())];
            job.refused(shell, &script("holdpoint:rollback"), 2, "nobody started this job");
        }
        // The others ask for nobody.
        assert_eq!(lines(&job.run(shell, &script("holdpoint:gate")))[1], "gate", "{shell}");
    }
}
