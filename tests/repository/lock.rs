//! Locks between restic and us.

use crate::support::sample::noise;
use crate::support::shared::Restic;
use holdpoint::cancel::Cancel;
use holdpoint::error::ErrorCode;
use holdpoint::repository::FileType;
use holdpoint::repository::lock::LockKind;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn restic_respects_our_lock() {
    let folder = tempfile::tempdir().unwrap();
    let restic = Restic::at(folder.path().join("repository")).init_by_restic();
    let repository = restic.open();
    let key = fs::read_dir(folder.path().join("repository/keys")).unwrap().next().unwrap().unwrap().path();
    let backup = || restic.command(&["backup"]).arg(&key).output().unwrap();
    let exclusive = repository.lock(LockKind::Exclusive, Duration::ZERO, &Cancel::new()).unwrap();
    let refused = backup();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("already locked"));
    exclusive.release().unwrap();
    let shared = repository.lock(LockKind::Shared, Duration::ZERO, &Cancel::new()).unwrap();
    assert!(backup().status.success());
    assert!(!restic.command(&["prune"]).output().unwrap().status.success());
    drop(shared);
    restic.run(&["prune"]);
}

#[test]
fn we_respect_the_lock_of_a_stopped_restic_and_remove_that_of_a_dead_one() {
    let folder = tempfile::tempdir().unwrap();
    let restic = Restic::at(folder.path().join("repository")).init();
    let repository = restic.open();
    // restic holds its lock as long as its stdin gives more.
    let mut child = restic.command(&["backup", "--stdin"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    while repository.list(FileType::Lock).unwrap().is_empty() {
        // A pipe that restic does not read yet blocks: it starts to read with its lock taken.
        stdin.write_all(&noise(64 << 10, 1)).unwrap();
    }
    let pid = Pid::from_child(&child);
    kill_process(pid, Signal::STOP).unwrap();
    let cancel = Cancel::new();
    let error = repository.lock(LockKind::Exclusive, Duration::ZERO, &cancel).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Busy);
    assert!(error.message().contains(&format!("process {}", child.id())), "{error}");
    repository.lock(LockKind::Shared, Duration::ZERO, &cancel).unwrap().release().unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    child.wait().unwrap();
    let guard = repository.lock(LockKind::Exclusive, Duration::ZERO, &cancel).unwrap();
    assert_eq!(guard.removed().len(), 1);
    assert_eq!(guard.removed()[0].pid, i32::try_from(child.id()).unwrap());
    guard.release().unwrap();
    assert_eq!(repository.list(FileType::Lock).unwrap(), []);
}
