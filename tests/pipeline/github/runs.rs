//! What a job sees of a gate, and of what follows it.

use super::action::Action;
use crate::gate::shop::{Shop, names, shell};
use std::path::Path;

fn command(script: &str) -> String {
    format!(
        "[gate]\nretry = {{ attempts = 1 }}\n\n[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {}\n",
        shell(script)
    )
}

#[test]
fn a_pass_is_told_by_outputs_and_summary() {
    let mut action = Action::new();
    let job = action.with("paths", "data\n").with("args", "--first\n").run().expect("success", "pass", 0);
    let manifest = job.manifest();
    assert!(Path::new(job.output("manifest")).is_absolute());
    assert_eq!(manifest.state(), "passed");
    assert_eq!(job.output("release-id"), manifest.0["id"].as_str().unwrap());
    assert_eq!(job.output("snapshot-ids"), manifest.source("data")["snapshot"]["id"].as_str().unwrap());
    assert_eq!(manifest.0["pipeline"]["system"], "github");
    assert_eq!(manifest.0["pipeline"]["actor"], "ada");
    assert!(job.0["summary"].to_string().contains("1.4.0"), "{:#}", job.0["summary"]);
    assert!(job.annotations("warning").iter().any(|message| message.contains("not signed")), "{:#}", job.0);
    assert_eq!(job.annotations("error"), [""; 0]);
    action.assert_nothing_left();

    action.with("mode", "reconcile").without("release").without("commit").without("paths");
    action.with("args", "--deployed=1.4.0").run().expect("success", "pass", 0);
    action.with("args", "--deployed=1.3.2").run().expect("failure", "refuse", 15);
}

#[test]
fn a_refusal_fails_the_job() {
    let mut action = Action::of(Shop::with(&command("echo half of it; echo no such table >&2; exit 3")));
    let job = action.with("args", "--first").run().expect("failure", "refuse", 10);
    job.says("no such table");
    assert_eq!(job.manifest().state(), "refused");
    assert_eq!(job.output("snapshot-ids"), "");
    assert!(job.log().trim_end().ends_with("##[error]Process completed with exit code 10."), "{}", job.log());
    assert!(job.log().contains("do not deploy"));
    action.assert_nothing_left();
}

#[test]
fn a_deadline_fails_the_job() {
    let mut action = Action::of(Shop::with(&command("echo half of it; sleep 1000")));
    let job = action.with("args", "--first").with("timeout", "2s").run().expect("failure", "refuse", 11);
    assert_eq!(job.manifest().state(), "timed_out");
    action.assert_nothing_left();
}

#[test]
fn an_environment_must_be_named() {
    let mut action = Action::new();
    action.with("paths", "data").with("args", "--first");
    let job = action.without("environment").run().expect("failure", "refuse", 2);
    job.says("no environment is named");
    assert_eq!(job.output("manifest"), "");
    action.with("environment", "").run().expect("failure", "refuse", 2);
    assert_eq!(names(&action.shop.beside("store")), [""; 0]);
}

#[test]
fn a_mode_must_be_known() {
    for mode in ["", "Gate", "restore", "--version", "gate\nadmit"] {
        let mut action = Action::new();
        let job = action.with("paths", "data").with("mode", mode).run().expect("failure", "refuse", 2);
        job.says(&format!("unknown mode: {mode}"));
        assert_eq!(job.step("run")["conclusion"], "skipped");
    }
}

#[test]
fn what_the_mode_does_not_take_is_refused() {
    let mut action = Action::new();
    let job = action.with("mode", "reconcile").with("paths", "data").run().expect("failure", "refuse", 2);
    job.says("unexpected argument");
}

#[test]
fn the_password_is_not_in_the_log() {
    let mut action = Action::new();
    let job = action.with("paths", "data").with("args", "--first").run();
    assert!(job.log().contains("HOLDPOINT_PASSWORD: ***"));
    assert!(!job.0.to_string().contains(super::action::PASSWORD));
}
