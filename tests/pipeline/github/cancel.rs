//! A job that is cancelled: the runner interrupts its direct child, and that has to be the binary.

use super::action::Action;
use super::binary::archive;
use super::host::Host;
use crate::gate::shop::{Shop, names, shell};
use serde_json::json;

/// A source whose program has to be killed; it says when it is there.
fn stubborn() -> Action {
    let script = "trap '' INT TERM; touch inside; while :; do sleep 1000; done";
    let configuration = format!("[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {}\n", shell(script));
    let mut action = Action::of(Shop::with(&configuration));
    action.with("args", "--first");
    action
}

#[test]
fn an_interrupt_reaches_the_binary_which_leaves_nothing() {
    let action = stubborn();
    let mut running = action.start();
    running.until("it was inside", || action.shop.path("inside").exists());
    running.cancel();
    let job = running.wait().expect("cancelled", "refuse", 130);
    // The runner did not have to ask again.
    assert_eq!(job.step("run")["signals"], json!(["SIGINT"]));
    assert_eq!(job.step("run")["exit_code"], 130);
    assert_eq!(job.manifest().state(), "cancelled");
    assert_eq!(names(&action.place("staging").join("repository/snapshots")), [""; 0]);
    action.assert_nothing_left();
}

#[test]
fn a_termination_that_follows_the_interrupt_disturbs_nothing() {
    let mut action = stubborn();
    // While the stubborn child still has its two seconds.
    action.after_interrupt = Some(300);
    let mut running = action.start();
    running.until("it was inside", || action.shop.path("inside").exists());
    running.cancel();
    let job = running.wait();
    assert_eq!(job.step("run")["signals"], json!(["SIGINT", "SIGTERM"]));
    job.expect("cancelled", "refuse", 130);
    action.assert_nothing_left();
}

#[test]
fn a_download_ends_with_the_job() {
    let mut action = Action::new();
    let (name, _, sum) = archive(&action);
    let host = Host::hanging();
    action.no_binary().released(host.url(), &format!("{sum}  {name}\n"));
    let mut running = action.start();
    running.until("it was asked for", || !host.requests().is_empty());
    running.cancel();
    let job = running.wait().expect("cancelled", "refuse", 130);
    assert_eq!(job.step("find")["signals"], json!(["SIGINT"]));
    assert_eq!(job.step("find")["exit_code"], 130);
    assert_eq!(job.step("run")["conclusion"], "skipped");
    action.assert_nothing_left();
}
