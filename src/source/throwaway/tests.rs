use super::abandoned::Record;
use super::*;
use crate::error::ErrorCode;
use crate::process::{Identity, Program};
use crate::source::sample;
use rustix::process::Signal;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

const STOP_AT_ONCE: &[(Signal, Duration)] = &[(Signal::TERM, Duration::from_millis(50))];
const STOP: &[(Signal, Duration)] = &[(Signal::TERM, Duration::from_secs(5))];

/// Starts a program that runs for long in a directory, leading a group of its own.
fn long(program: &str, arguments: &[&str], directory: &Path) -> Child {
    Command::new(program).args(arguments).current_dir(directory).process_group(0).spawn().unwrap()
}

fn runs(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_none()
}

fn locate(name: &str) -> std::path::PathBuf {
    Program::new([name]).locate().unwrap()
}

#[test]
fn what_a_killed_run_has_left_is_ended_and_nothing_else() {
    let scratch = tempfile::tempdir().unwrap();
    let directory = scratch.path().join("orders");
    let data = directory.join("data");
    std::fs::create_dir_all(&data).unwrap();
    // The server, by its number; one of its own that has lost its parent, by its place; and a person who looks around.
    let mut server = long("sleep", &["1000"], &data);
    let mut lost = long("sleep", &["1001"], &data);
    let mut person = long("tail", &["-f", "/dev/null"], &data);
    let mut elsewhere = long("sleep", &["1002"], Path::new("/"));
    let mut record = Record::begin(&directory, &locate("sleep")).unwrap();
    record.runs(&directory, server.id()).unwrap();
    assert!(end_abandoned(scratch.path()));
    assert!(!runs(&mut server) && !runs(&mut lost));
    assert!(runs(&mut person) && runs(&mut elsewhere));
    // The number of a process that was recorded is another's by now.
    let path = directory.join("holdpoint-server.json");
    let mut text: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    text["process"]["pid"] = elsewhere.id().into();
    // The two may have been started within one tick of the clock.
    let started = Identity::of(elsewhere.id()).started.unwrap();
    text["process"]["started"] = (started - 1).into();
    std::fs::write(&path, text.to_string()).unwrap();
    assert!(end_abandoned(scratch.path()));
    assert!(runs(&mut elsewhere));
    for child in [&mut person, &mut elsewhere] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_server_that_ends_before_it_lets_anybody_in_is_told_with_its_last_words() {
    let directory = tempfile::tempdir().unwrap();
    let context = sample::context(directory.path());
    let home = Home::new(directory.path(), &[]).unwrap();
    let launch = |script: &str| Launch {
        what: "the server".to_owned(),
        program: Program::new(["sh", "-c", script]),
        socket: directory.path().join("socket"),
        stop: STOP,
        is_ready: &|| Ok(false),
    };
    let error = OwnServer::start(&home, launch("echo 'no room' >&2; exit 3"), &context).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RestoreFailed);
    assert_eq!(error.chain(), "the server ended before it let anybody in: sh exited 3: no room");
    let absent = Launch { program: Program::new(["no-such-server"]), ..launch("") };
    let error = OwnServer::start(&home, absent, &context).unwrap_err();
    assert!(error.chain().contains("cannot find the program no-such-server"), "{}", error.chain());
    context.cancel.cancel(crate::cancel::Reason::Interrupt);
    let error = OwnServer::start(&home, launch("sleep 1000"), &context).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Interrupted);
    home.remove().unwrap();
}

#[test]
fn a_server_is_stopped_with_what_it_has_started() {
    let directory = tempfile::tempdir().unwrap();
    let context = sample::context(directory.path());
    let home = Home::new(directory.path(), &[]).unwrap();
    // It ignores what would stop it, and has a child that has left its group.
    let script = "trap '' TERM; setsid sleep 1000 & echo $! >pid; mv pid ready; while :; do sleep 1; done";
    let work = home.folder("work").unwrap();
    let ready = work.join("ready");
    let launch = Launch {
        what: "the server".to_owned(),
        program: Program { directory: Some(work.clone()), ..Program::new(["sh", "-c", script]) },
        socket: work.join("socket"),
        stop: STOP_AT_ONCE,
        is_ready: &|| Ok(ready.exists()),
    };
    let server = OwnServer::start(&home, launch, &context).unwrap();
    let child = std::fs::read_to_string(&ready).unwrap().trim().to_owned();
    server.stop().unwrap();
    let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
    let path = home.path().to_owned();
    home.remove().unwrap();
    assert!(!path.exists() || path.read_dir().unwrap().count() == 0);
}

#[test]
fn a_path_that_is_too_long_for_a_socket_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::new(directory.path(), &[]).unwrap();
    let error = home.socket(&home.path().join("d".repeat(90)), ".s.PGSQL.5432").unwrap_err();
    assert!(error.message().contains("the system allows 107"), "{}", error.message());
    assert!(error.hints()[0].contains("TMPDIR"));
    home.socket(home.path(), "s").unwrap();
}
