//! `kill -9` at any moment of a restore: it does not look complete, and the next one ends it.

use super::Stage;
use crate::support::holdpoint::Holdpoint;
use crate::support::shared::PASSWORD;
use crate::support::{full, tree};
use holdpoint::repository::restore::MARKER;
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 6;
const ROUNDS_OF_FULL: u32 = 60;

/// Says whether anything below a directory has a working name.
fn has_working_names(folder: &Path) -> bool {
    tree::facts(folder).keys().any(|path| path.to_string_lossy().contains(".holdpoint-"))
}

#[test]
fn a_killed_restore_is_not_complete_and_the_next_one_ends_it() {
    let stage = Stage::of_sample();
    let (target, repository) = (stage.path("target"), stage.path("repository"));
    let holdpoint = Holdpoint::new(stage.path("")).env("HOLDPOINT_PASSWORD", PASSWORD);
    let start = |force: bool| {
        let mut arguments = vec!["restore", "--repository", repository.to_str().unwrap(), "--target", "target"];
        arguments.extend(force.then_some("--force"));
        holdpoint.start(arguments)
    };
    let first = start(false).wait();
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let whole = first.elapsed;
    let rounds = if full() { ROUNDS_OF_FULL } else { ROUNDS };
    let mut killed_while_marked = 0;
    for round in 0..rounds {
        // Every other one begins with nothing, the others with a tree in which everything differs.
        let fresh = round % 2 == 0;
        if fresh {
            fs::remove_dir_all(&target).unwrap();
        } else {
            for entry in fs::read_dir(target.join("tree")).unwrap() {
                let path = entry.unwrap().path();
                if fs::symlink_metadata(&path).unwrap().is_file() {
                    fs::write(&path, "damaged").unwrap();
                }
            }
        }
        let mut running = start(!fresh);
        let (started, marker) = (Instant::now(), target.join(MARKER));
        let delay = whole.mul_f64(f64::from(round) / f64::from(rounds) / 2.0);
        // Half of them are killed as soon as the restore begins to write, the others at any moment.
        let reached = || if round % 4 < 2 { marker.exists() } else { started.elapsed() >= delay };
        while !reached() && !running.ends_within(Duration::from_micros(200)) {}
        if !running.ended() {
            running.signal(Signal::KILL);
        }
        let ended = running.wait();
        if ended.code.is_none() {
            let marked = marker.exists();
            killed_while_marked += u32::from(marked);
            // Without the mark it has not begun to write, or has ended.
            let complete = target.join("tree").exists() && stage.compare(&target).is_none();
            let untouched = !target.exists() || fs::read_dir(&target).unwrap().next().is_none() || !fresh;
            assert!(marked || complete || untouched);
        } else {
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        }
        let again = start(true).wait();
        assert_eq!(again.code, Some(0), "{}", again.stderr);
        stage.assert_restored(&target);
        assert!(!marker.exists());
        assert!(!has_working_names(&target));
    }
    assert!(killed_while_marked > 0);
}
