//! A job that is cancelled: the signals reach the binary, and it leaves nothing.

use super::project::{FROM, Project, Running};
use super::template::script;
use crate::support::environment::command;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// What runners wait for before they signal again.
const PATIENCE: Duration = Duration::from_millis(7500);

/// A project whose source, and a child of it, ignore every signal that they can, and say when they do.
fn stubborn() -> Project {
    Project::with(|project| {
        let beside = |name| project.beside(name).display().to_string();
        let program = format!(
            "trap '' TERM INT; (trap '' TERM INT; touch '{}'; while :; do sleep 1000; done) & touch '{}'; \
             while :; do sleep 1000; done",
            beside("child"),
            beside("inside")
        );
        let command = serde_json::to_string(&["sh", "-c", &program]).unwrap();
        let text = fs::read_to_string(project.path("holdpoint.toml")).unwrap();
        let source = format!("\n[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {command}\n");
        project.write("holdpoint.toml", text + &source);
    })
}

/// Waits until `happened`, which the run must live to see.
#[track_caller]
fn until(running: &mut Running, happened: impl Fn() -> bool) {
    while !happened() {
        assert!(running.child.try_wait().unwrap().is_none(), "the pipeline ended too early\n{}", running.output());
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the processes of the binary that belong to a project.
fn binaries(project: &Project) -> Vec<Pid> {
    let ours = format!("TMPDIR={}", project.beside("tmp").display());
    let binary = Path::new(env!("CARGO_BIN_EXE_holdpoint")).canonicalize().unwrap();
    let is_ours = |process: &Path| {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        fs::read_link(process.join("exe")).is_ok_and(|program| program == binary)
            && environment.split(|byte| *byte == 0).any(|variable| variable == ours.as_bytes())
    };
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let pid = |process: &Path| Pid::from_raw(process.file_name()?.to_str()?.parse().ok()?);
    processes.filter(|process| is_ours(process)).filter_map(|process| pid(&process)).collect()
}

#[test]
fn a_job_that_is_cancelled_leaves_nothing() {
    let project = stubborn();
    let mut running = project.start(&["holdpoint:gate"]);
    until(&mut running, || project.beside("inside").exists() && project.beside("child").exists());
    let [binary] = binaries(&project)[..] else { panic!("one binary runs\n{}", running.output()) };
    kill_process(binary, Signal::INT).unwrap();
    let patience = Instant::now() + PATIENCE;
    while test_kill_process(binary).is_ok() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(20));
    }
    // It has ended by then; a runner would ask again.
    let _ = kill_process(binary, Signal::TERM);
    assert!(!running.child.wait().unwrap().success());
    assert!(running.output().contains("FAIL 130"), "{}", running.output());
    assert_eq!(project.manifest()["state"], "cancelled");
    assert_eq!(project.running(), FROM);
    project.assert_nothing_left();
}

/// Runs a script as GitLab's runner does: in a shell that is fed with it, in a process group of its own.
fn as_runner(project: &Project, script: &str, shell: &str) -> Child {
    let wrapped = match shell {
        "bash" => "set -eo pipefail\nset +o noclobber\n: | eval \"$SCRIPT\"\nexit 0\n",
        _ => "set -e\n: | eval \"$SCRIPT\"\nexit 0\n",
    };
    let mut job = command(shell, &project.beside("home"));
    job.args(["-c", wrapped]).env("SCRIPT", script).process_group(0).current_dir(project.path(""));
    job.env("HOLDPOINT_INPUT_BINARY", env!("CARGO_BIN_EXE_holdpoint")).env("TMPDIR", project.beside("tmp"));
    for name in ["RELEASE", "COMMIT", "PATHS", "CONFIG", "TIMEOUT", "ARGS", "VERSION", "RELEASES"] {
        job.env(format!("HOLDPOINT_INPUT_{name}"), "");
    }
    job.env("HOLDPOINT_INPUT_ENVIRONMENT", "production").env("HOLDPOINT_INPUT_STORE", project.beside("store"));
    job.env("HOLDPOINT_PASSWORD", "x").spawn().unwrap()
}

#[test]
fn the_signals_of_a_runner_reach_the_binary_in_any_shell() {
    for shell in ["bash", "dash"] {
        let project = stubborn();
        let mut job = as_runner(&project, &script("holdpoint:gate"), shell);
        while !(project.beside("inside").exists() && project.beside("child").exists()) {
            assert!(job.try_wait().unwrap().is_none(), "{shell}: the job ended too early");
            std::thread::sleep(Duration::from_millis(5));
        }
        let group = Pid::from_raw(i32::try_from(job.id()).unwrap()).unwrap();
        kill_process_group(group, Signal::TERM).unwrap();
        // The shell is gone at once, and the binary has a few seconds.
        assert!(!job.wait().unwrap().success(), "{shell}");
        while !binaries(&project).is_empty() {
            std::thread::sleep(Duration::from_millis(20));
        }
        let manifest = fs::read(project.path("holdpoint-manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(manifest["state"], "cancelled", "{shell}");
        project.assert_nothing_left();
    }
}
