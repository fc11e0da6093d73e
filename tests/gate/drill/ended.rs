//! Drills that do not come to their end: cancelled, timed out, killed.

use super::World;
use crate::gate::shop::{STAGING, names, until};
use crate::support::holdpoint::Running;
use rustix::process::Signal;

/// A check that says when it is asked, and then waits, with a program of its own behind it.
const WAITS: &str = "command = [\"sh\", \"-c\", \"sleep 600 & echo > asked; exec sleep 600\"]";

fn start(world: &World, more: &[&str]) -> Running {
    world.shop.holdpoint.start([&["drill", "--environment", STAGING], more].concat())
}

fn asked(world: &World, running: &mut Running) {
    until(running, "its check", || world.shop.path("asked").exists());
}

#[test]
fn a_signal_at_any_moment_leaves_nothing() {
    let world = World::checking(WAITS);
    let id = world.gate();
    for (signal, exit) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        // While it begins, while places are made, while it is in a check.
        for moment in 0..3 {
            let _ = std::fs::remove_file(world.shop.path("asked"));
            let mut running = start(&world, &[]);
            match moment {
                0 => until(&mut running, "its directory", || !names(&world.shop.beside("tmp")).is_empty()),
                1 => until(&mut running, "a place", || {
                    let scratch = names(&world.shop.beside("tmp"));
                    scratch.iter().any(|name| !names(&world.shop.beside("tmp").join(name)).is_empty())
                }),
                _ => asked(&world, &mut running),
            }
            running.signal(signal);
            running.wait().expect(exit).refuses_in_words();
            world.assert_nothing_left();
        }
    }
    let last = world.recorded(&id).pop().unwrap();
    assert_eq!(
        (&last["drill"]["result"], &last["drill"]["findings"][0]["code"]),
        (&"failed".into(), &"terminated".into())
    );
}

#[test]
fn the_deadline_ends_everything() {
    let world = World::checking(WAITS);
    let id = world.gate();
    start(&world, &["--timeout", "2s"]).wait().expect(11).says(&["the deadline passed"]).refuses_in_words();
    world.assert_nothing_left();
    let recorded = world.recorded(&id);
    let [event] = recorded.as_slice() else { panic!("one drill") };
    assert_eq!(event["drill"]["findings"][0]["code"], "timed-out");
    world.run(&["drill", "--timeout", "0s"]).expect(2);
}

#[test]
fn what_a_killed_drill_left_goes_with_the_next() {
    let world = World::checking(WAITS);
    world.gate();
    let mut running = start(&world, &[]);
    asked(&world, &mut running);
    running.signal(Signal::KILL);
    drop(running);
    assert!(!names(&world.shop.beside("tmp")).is_empty() && !world.shop.processes().is_empty());
    let config = world.shop.read("holdpoint.toml");
    world.shop.write("holdpoint.toml", config.split("[[drill.check]]").next().unwrap());
    world.drill(0, &[]);
}
