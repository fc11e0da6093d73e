//! A rollback that was interrupted is gone on with where it was.

use super::World;
use crate::gate::shop::until;
use rustix::process::Signal;
use std::fs;

/// Hooks that wait at the step that the file `wait` names, each as long as that file says so.
const WAITING: &str = r#"
before = [["sh", "-c", ". ./wait.sh; at before; rm -f instance-*.json"]]
redeploy = ["sh", "-c", ". ./wait.sh; at redeploy; sh deploy.sh"]
after = [["sh", "-c", ". ./wait.sh; at after"]]
"#;

/// Says that a step is reached, and stays there if it is the one to be interrupted.
const WAIT: &str = r#"at() { echo "$1" >> log; if [ "$(cat wait)" = "$1" ]; then exec sleep 600; fi; }"#;

fn world(wait: &str) -> (World, String) {
    let world = World::new(WAITING);
    world.shop.write("wait.sh", WAIT).write("wait", wait);
    let id = world.deploy();
    (world, id)
}

fn reached(world: &World, step: &str) -> bool {
    fs::read_to_string(world.shop.path("log")).is_ok_and(|log| log.lines().any(|line| line == step))
}

/// Ends the programs of a rollback: whoever kills it with SIGKILL leaves them to themselves.
fn kill_left(world: &World) {
    for process in world.shop.processes() {
        let pid = process.trim_start_matches("/proc/").split(':').next().unwrap().parse().unwrap();
        let _ = rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL);
        // Whoever reaps it does so at once: it is not our child.
        while world.shop.processes().contains(&process) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_hook_that_was_killed_is_run_again_and_what_was_done_is_not() {
    for (step, done) in [("before", 1), ("redeploy", 6), ("after", 7)] {
        for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
            let (world, id) = world(step);
            let mut first = world.start(&id);
            until(&mut first, step, || reached(&world, step));
            first.signal(signal);
            let ended = first.wait();
            let code = [(Signal::KILL, None), (Signal::TERM, Some(143)), (Signal::INT, Some(130))];
            assert_eq!(ended.code, code.into_iter().find(|(each, _)| *each == signal).unwrap().1, "{}", ended.stderr);
            if signal != Signal::KILL {
                ended.refuses_in_words().says(&["next: holdpoint rollback ", &format!("--id {id}")]);
                world.shop.assert_nothing_left();
            }
            let before = world.steps(&id);
            assert_eq!(before.iter().filter(|step| step.ends_with(": done")).count(), done, "{before:?}");
            world.shop.write("wait", "nowhere");
            kill_left(&world);
            world.roll_back(&id, &[]).expect(0);
            world.assert_undone();
            let steps = world.steps(&id);
            let twice = |step: &String| steps.iter().filter(|other| *other == step).count() > 1;
            let repeated: Vec<_> = steps.iter().filter(|step| step.ends_with(": done") && twice(step)).collect();
            assert_eq!(repeated, [""; 0], "after {signal:?} at {step}: {steps:?}");
        }
    }
}

#[test]
fn a_hook_that_fails_ends_the_rollback_with_what_was_done_and_how_to_go_on() {
    let world = World::new(
        "before = [[\"sh\", \"-c\", \"echo tried >> log; test -e mended\"]]\nredeploy = [\"sh\", \"deploy.sh\"]",
    );
    let id = world.deploy();
    let output = world.roll_back(&id, &[]).expect(17);
    output.says(&["the rollback stopped at `before 1", "exited 1", "next: holdpoint rollback "]).refuses_in_words();
    assert!(output.stdout.contains("[done]") && output.stdout.contains("[failed]"), "{}", output.stdout);
    let json = world.roll_back(&id, &["--format", "json"]).expect(17).json();
    assert_eq!(json["plan"]["steps"][1]["state"], "failed");
    assert!(json["go_on"].as_str().unwrap().contains(&id), "{json:#}");
    world.shop.write("mended", "");
    world.roll_back(&id, &[]).expect(0);
    world.assert_undone();
    assert_eq!(world.log().iter().filter(|line| *line == "tried").count(), 3);
}

#[test]
fn a_rollback_that_was_killed_while_it_saved_or_restored_is_gone_on_with() {
    for step in ["safety snapshot", "restore orders", "restore uploads", "verify orders", "verify uploads", "reconcile"]
    {
        let (world, id) = world("nowhere");
        // Enough to be caught at it.
        world.shop.write("uploads/large", vec![7; 16 << 20]);
        let mut first = world.start(&id);
        let name = format!("{step}: started");
        while !first.ended() && !world.steps(&id).contains(&name) {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        first.signal(Signal::KILL);
        drop(first.wait());
        // One that was killed after its last step is at its end already, and another one would begin anew.
        if !world.events(&id).iter().any(|event| event["event"] == "rolled_back") {
            world.roll_back(&id, &[]).expect(0);
        }
        world.assert_undone();
    }
}

#[test]
fn a_pass_that_a_killed_rollback_left_is_withdrawn_by_the_next_one() {
    let (world, id) = world("redeploy");
    let mut first = world.start(&id);
    until(&mut first, "redeploy", || reached(&world, "redeploy"));
    first.signal(Signal::KILL);
    drop(first.wait());
    assert!(world.place("rollback-pass.json").exists());
    // Its program still runs, so the next one does not come to its own deploy step.
    world.roll_back(&id, &[]).expect(17).says(&["its program still runs"]);
    assert!(!world.place("rollback-pass.json").exists());
    kill_left(&world);
    world.shop.write("wait", "nowhere");
    world.roll_back(&id, &[]).expect(0);
    world.assert_undone();
}

#[test]
fn a_half_restored_state_is_not_saved_as_the_one_before() {
    let (world, id) = world("redeploy");
    let mut first = world.shop.holdpoint.start(World::arguments(&id, &["--no-safety-snapshot", "no room"]));
    until(&mut first, "redeploy", || reached(&world, "redeploy"));
    first.signal(Signal::TERM);
    first.wait().expect(143).says(&["--no-safety-snapshot 'no room'"]);
    world.shop.write("wait", "nowhere");
    world.roll_back(&id, &[]).expect(0);
    let steps = world.steps(&id);
    assert!(!steps.iter().any(|step| step.starts_with("safety snapshot")), "{steps:?}");
    assert_eq!(world.data().0, [(1, 10), (2, 20)]);
    let began = world.events(&id).into_iter().find(|event| event["event"] == "rollback_began").unwrap();
    assert_eq!(began["unsaved"], "no room");
}

#[test]
fn once_somebody_thawed_a_rollback_begins_anew() {
    let (world, id) = world("redeploy");
    let mut first = world.start(&id);
    until(&mut first, "redeploy", || reached(&world, "redeploy"));
    first.signal(Signal::TERM);
    first.wait().expect(143);
    world.run(&["thaw", "--reason", "1.4.0 is mended"]).expect(0);
    world.migrate_again();
    world.deployed(&[1, 2, 3], "1.4.0", super::NEW);
    world.shop.write("wait", "nowhere");
    world.roll_back(&id, &[]).expect(0);
    world.assert_undone();
    let restored = world.steps(&id).into_iter().filter(|step| step == "restore orders: done").count();
    assert_eq!(restored, 2, "what was done under the other freeze is done again");
}

impl World {
    fn migrate_again(&self) {
        let _ = fs::remove_dir_all(self.shop.path("uploads/new"));
        self.migrate();
    }
}
