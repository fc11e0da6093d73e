//! The deadline and signals: what does not want to end is ended, in the time that is promised.

use super::shop::{Shop, shell, until};
use crate::support::holdpoint::Output;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// A program and a child of it that both ignore SIGTERM and say when they do.
const STUBBORN: &str = "trap '' TERM INT; (trap '' TERM INT; touch child; while :; do sleep 1000; done) & \
                        touch inside; while :; do sleep 1000; done";

fn stubborn() -> Shop {
    Shop::with(&format!("[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {}\n", shell(STUBBORN)))
}

/// Starts a gate whose source will not end, sends `signal` once it is inside, and returns what came of it and when.
fn cancelled(shop: &Shop, signal: Signal) -> (Output, Duration) {
    let mut running = shop.start(&[]);
    until(&mut running, "both processes ran", || shop.path("inside").exists() && shop.path("child").exists());
    let signalled = Instant::now();
    running.signal(signal);
    let output = running.wait();
    (output, signalled.elapsed())
}

#[track_caller]
fn assert_next_passes(shop: &Shop) {
    shop.assert_nothing_left();
    shop.write(
        "holdpoint.toml",
        format!("[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {}\n", shell("echo 1")),
    );
    shop.gate(&[]).expect(0);
    assert_eq!(shop.manifest().state(), "passed");
    shop.restic("staging").check();
    shop.assert_nothing_left();
}

#[test]
fn the_deadline_ends_what_ignores_sigterm() {
    let shop = stubborn();
    let output = shop.gate(&["--timeout", "2s"]).expect(11);
    assert!(output.elapsed < Duration::from_secs(12), "{:?}", output.elapsed);
    output.refuses_in_words();
    assert!(shop.path("child").exists(), "the source did not run");
    shop.manifest().assert_refused("timed_out", &["timed-out"]);
    assert_next_passes(&shop);
}

#[test]
fn sigint_ends_what_ignores_it() {
    let shop = stubborn();
    let (output, elapsed) = cancelled(&shop, Signal::INT);
    output.expect(130).refuses_in_words().says(&["interrupted by SIGINT"]);
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    shop.manifest().assert_refused("cancelled", &["interrupted"]);
    assert_next_passes(&shop);
}

#[test]
fn sigterm_ends_what_ignores_it() {
    let shop = stubborn();
    let (output, elapsed) = cancelled(&shop, Signal::TERM);
    output.expect(143).refuses_in_words().says(&["terminated by SIGTERM"]);
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
    shop.manifest().assert_refused("cancelled", &["terminated"]);
    assert_next_passes(&shop);
}

#[test]
fn the_deadline_covers_the_probe_and_the_pause_between_two_tries() {
    let probe = format!("[environment.staging.deployed]\nkind = \"command\"\ncommand = {}\n", shell("sleep 1000"));
    let shop = Shop::with(&probe);
    shop.gate(&["--timeout", "1s", "data"]).expect(11).refuses_in_words();
    shop.assert_nothing_left();
    let source = format!("[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {}\n", shell("exit 1"));
    let shop = Shop::with(&format!("[gate]\nretry = {{ attempts = 9, backoff = \"1h\" }}\n{source}"));
    shop.gate(&["--timeout", "1s"]).expect(11).refuses_in_words();
    shop.assert_nothing_left();
}
