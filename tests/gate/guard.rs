//! `guard`: a deploy in one line, and what is left of it.

use crate::support::shop::{COMMIT, Shop};
use crate::support::signing::Keys;
use crate::support::version_server::{Answer, VersionServer};
use crate::support::wait;
use rustix::process::Signal;
use std::path::Path;

fn shop(more: &str) -> Shop {
    let shop = Shop::new();
    shop.configure(&format!(
        "application = \"shop\"\n[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n{more}"
    ));
    shop
}

fn probe(server: &VersionServer) -> String {
    let url = server.url("/version");
    format!("[environment.staging.deployed]\nkind = \"http\"\nurls = [\"{url}\"]\nversion = \"/version\"\n")
}

fn arguments<'a>(more: &[&'a str], script: &'a str) -> Vec<&'a str> {
    let fixed = ["guard", "--environment", "staging", "--release", "1.4.0", "--commit", COMMIT];
    [&fixed, more, &["--", "sh", "-c", script]].concat()
}

/// Fails if a lease, a lock or a claim of the environment is left; a claim only if `claimed` says that there is none.
#[track_caller]
fn assert_free(shop: &Shop, claimed: bool) {
    let ledger = shop.path().join(".holdpoint/store/shop/staging");
    assert_eq!(ledger.join("claim.json").exists(), claimed);
    let lease = std::fs::read_dir(ledger.join("lease")).unwrap().map(|entry| entry.unwrap().path());
    let newest = lease.max_by_key(|path| path.file_stem().unwrap().to_string_lossy().parse::<u64>().unwrap()).unwrap();
    assert!(std::fs::read_to_string(&newest).unwrap().contains("\"released\": true"), "{}", newest.display());
    assert_eq!(std::fs::read_dir(ledger.join("repository/locks")).unwrap().count(), 0);
}

fn events(shop: &Shop) -> Vec<String> {
    let id = shop.manifest()["id"].as_str().unwrap().to_owned();
    let shown = shop.run(&["show", &id, "-e", "staging", "--format", "json"]).expect(0).json();
    shown["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_deploy_that_is_seen_to_run_passes() {
    let server = VersionServer::start([Answer::version("1.3.0"), Answer::version("1.3.0"), Answer::version("1.4.0")]);
    let shop = shop(&probe(&server));
    let script = "env | grep ^HOLDPOINT_ | sort; test -e .holdpoint/store/shop/staging/claim.json";
    let output = shop.run(&arguments(&["--wait", "1m"], script)).expect(0);
    for line in [
        "HOLDPOINT_FROM_VERSION=1.3.0",
        "HOLDPOINT_TO_VERSION=1.4.0",
        "HOLDPOINT_ENVIRONMENT=staging",
        "HOLDPOINT_RUN=",
    ] {
        assert!(output.stdout.contains(line), "{line} in\n{}", output.stdout);
    }
    assert!(output.stdout.contains("the command exited 0\n"), "{}", output.stdout);
    assert_eq!(events(&shop), ["admitted", "guarded", "reconciled"]);
    assert_free(&shop, false);
}

#[test]
fn nothing_is_run_after_a_refusal() {
    let shop = shop("");
    let output = shop.run(&arguments(&["missing"], "touch deployed")).expect(10);
    output.refuses_in_words();
    assert!(!shop.path().join("deployed").exists());
    let document = shop.run(&arguments(&["missing", "--format", "json"], "touch deployed")).expect(10).json();
    assert_eq!((&document["command"], &document["verdict"]), (&"guard".into(), &"refuse".into()));
    shop.run(&["freeze", "-e", "staging", "--reason", "no"]).expect(0);
    shop.run(&arguments(&["--first"], "touch deployed")).expect(14);
    assert!(!shop.path().join("deployed").exists());
}

#[test]
fn the_commands_status_is_kept_apart_from_ours() {
    let shop = shop("");
    let output = shop.run(&arguments(&["--first"], "exit 3")).expect(20);
    output.refuses_in_words().says(&["next: holdpoint rollback --id", "the command exited 3"]);
    assert_eq!(events(&shop), ["admitted", "guarded"]);
    assert_free(&shop, true);
    let id = shop.manifest()["id"].as_str().unwrap().to_owned();
    // Another one has to wait for somebody to look.
    shop.run(&arguments(&["--first"], "true")).expect(14);
    shop.run(&["reconcile", "-e", "staging", "--id", &id, "--deployed", "1.4.0"]).expect(0);
    let output = shop.run(&arguments(&["--first", "--format", "json"], "echo out; kill -9 $$")).expect(20);
    let document = output.json();
    assert_eq!(document["guarded"]["status"], "was killed by SIGKILL");
    assert!(document["guarded"]["exit_code"].is_null() && output.stderr.contains("out\n"), "{}", output.stderr);
}

#[test]
fn a_command_that_cannot_be_started_is_a_failed_one() {
    let shop = shop("");
    let fixed = ["guard", "--environment", "staging", "--release", "1.4.0", "--commit", COMMIT, "--first"];
    // Nothing was deployed: there is nothing to undo, and nobody has to be waited for.
    let output = shop.run(&[&fixed[..], &["--rollback-on-failure", "--", "./nowhere"]].concat()).expect(20);
    output.says(&["cannot start ./nowhere", "next: holdpoint guard --environment staging -- COMMAND"]);
    assert_eq!(events(&shop), ["admitted", "guarded"]);
    assert_free(&shop, false);
    shop.run(&fixed).expect(2);
}

#[test]
fn a_command_that_deploys_something_else_is_seen() {
    let server = VersionServer::start([Answer::version("1.3.0")]);
    let shop = shop(&probe(&server));
    shop.run(&arguments(&[], "true")).expect(15).says(&["next: holdpoint rollback"]);
    assert_free(&shop, true);
}

#[test]
fn a_deploy_that_failed_is_rolled_back_if_that_is_asked_for() {
    let server = VersionServer::start([Answer::version("1.3.0")]);
    let shop = shop(&probe(&server));
    let before = std::fs::read(shop.path().join("uploads/invoice.txt")).unwrap();
    let output = shop.run(&arguments(&["--rollback-on-failure"], "echo gone >uploads/invoice.txt; exit 3")).expect(20);
    assert!(output.stdout.contains("rolled back: what ran before runs again"), "{}\n{}", output.stdout, output.stderr);
    output.says(&["next: holdpoint thaw --environment staging"]);
    assert_eq!(std::fs::read(shop.path().join("uploads/invoice.txt")).unwrap(), before);
    assert_free(&shop, false);
    shop.run(&arguments(&[], "true")).expect(14);
    shop.run(&["thaw", "-e", "staging", "--reason", "looked at"]).expect(0);
    // One that cannot be undone says so.
    let script = "rm -r .holdpoint/store/shop/staging/repository/data; exit 3";
    let output = shop.run(&arguments(&["--rollback-on-failure"], script)).expect(17);
    assert!(output.stdout.contains("NOT rolled back"), "{}", output.stdout);
}

#[test]
fn the_guarded_command_may_ask_for_admission_itself() {
    let keys = Keys::new();
    let shop = Shop::with(|holdpoint| {
        let holdpoint = holdpoint.env("HOLDPOINT_SIGNING_KEY", keys.text("release"));
        holdpoint.env("HOLDPOINT_ALLOWED_SIGNERS", keys.text("allowed_signers"))
    });
    shop.configure("application = \"shop\"\n[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n");
    let script = format!("{} admit --environment staging", env!("CARGO_BIN_EXE_holdpoint"));
    let output = shop.run(&arguments(&["--first"], &script)).expect(0);
    assert!(output.stdout.contains("admitted: shop 1.4.0"), "{}", output.stdout);
    assert_free(&shop, false);
}

/// Starts a deploy that is under way when this returns, and signals `guard` alone, as CI systems do.
fn cancelled(shop: &Shop, trap: &str, signals: &[Signal]) -> crate::support::holdpoint::Output {
    let ready = shop.path().join("ready");
    let script = format!("{trap} sleep 600 & echo $! >child; touch ready; wait; wait");
    let running = shop.holdpoint().start(arguments(&["--first"], &script));
    assert!(wait::for_change(&[&shop.path()], running.pid(), || ready.exists()), "{}", running.stderr());
    let heard = shop.path().join("heard");
    for (place, signal) in signals.iter().enumerate() {
        // The second one after the first was heard: of two that are pending the system may deliver either first.
        let after = || place == 0 || heard.exists();
        assert!(wait::for_change(&[&shop.path()], running.pid(), after), "{}", running.stderr());
        running.signal(*signal);
    }
    running.wait()
}

fn assert_gone(pid_file: &Path) {
    let pid = std::fs::read_to_string(pid_file).unwrap();
    let stat = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    // It was killed just now, and may take a moment.
    while stat().contains(") R ") {
        std::thread::yield_now();
    }
    assert!(stat().is_empty() || stat().contains(") Z "), "{}", stat());
}

#[test]
fn signals_are_passed_on_and_leave_no_lease_lock_or_child() {
    for (trap, signals, exit) in [
        ("trap 'exit 4' INT;", &[Signal::INT][..], 130),
        ("", &[Signal::TERM], 143),
        // One that heeds nothing is killed after the second signal.
        ("trap 'touch heard' INT; trap '' TERM;", &[Signal::INT, Signal::TERM], 130),
    ] {
        let shop = shop("");
        let output = cancelled(&shop, trap, signals).expect(exit);
        output.refuses_in_words();
        assert_gone(&shop.path().join("child"));
        assert_free(&shop, true);
    }
}
