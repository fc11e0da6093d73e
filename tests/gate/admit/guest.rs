//! The honest ways: once, twice by the same run, after the last deployment was reconciled, with the command's documents.

use super::Deployment;
use crate::support::shop::COMMIT;

#[test]
fn a_pass_is_used_once_and_its_deployment_is_closed_by_reconcile() {
    let deployment = Deployment::new();
    let folder = deployment.gate("1.4.0");
    let output = deployment.admit("1.4.0", &["--run", "ci:1"]).expect(0);
    assert!(output.stdout.starts_with("admitted: shop 1.4.0 (3f9c2ab13f9c) into staging\n"), "{}", output.stdout);
    assert!(output.stdout.contains("signed by release@acme.example"), "{}", output.stdout);
    assert!(folder.join("events/admitted.json").exists());
    let page = std::fs::read_to_string(folder.join("manifest.html")).unwrap();
    assert!(page.contains("Admitted: deployed by run ci:1") && page.contains("release@acme.example"), "{page}");

    // The answer may have been lost; another run is another deployment.
    deployment.admit("1.4.0", &["--run", "ci:1"]).expect(0);
    deployment.refused(deployment.admit("1.4.0", &["--run", "ci:2"]), 14, "claimed", "was admitted at");
    // A gate for what comes next says so, and is not kept from saving.
    deployment.shop.gate("1.5.0", &["--first"]).expect(0);
    assert!(deployment.shop.manifest()["decision"]["findings"].to_string().contains("claimed"));

    let id = folder.file_name().unwrap().to_str().unwrap();
    let reconcile = ["reconcile", "-e", "staging", "--id", id, "--deployed"];
    deployment.shop.run(&[&reconcile[..], &["1.3.9"]].concat()).expect(15);
    deployment.refused(deployment.admit("1.5.0", &[]), 14, "claimed", "--id");
    deployment.shop.run(&[&reconcile[..], &["1.4.0"]].concat()).expect(0);
    deployment.refused(deployment.admit("1.4.0", &["--run", "ci:1"]), 16, "pass-used", "was used already");
    // What the gate saved while that deployment was under way is not what a rollback would need.
    deployment.refused(deployment.admit("1.5.0", &[]), 16, "pass-overtaken", "since this pass was made");
    deployment.gate("1.5.0");
    deployment.admit("1.5.0", &[]).expect(0);
}

#[test]
fn the_runs_of_a_ci_system_are_told_apart_by_their_attempts() {
    let deployment = Deployment::with(|holdpoint| holdpoint.env("HOLDPOINT_STORE", "../store").password());
    deployment.shop.gate("1.4.0", &["--first"]).expect(0);
    let ask = |attempt: &str| {
        let holdpoint = deployment.shop.holdpoint();
        let mut command = holdpoint.command(["admit", "-e", "staging", "--release", "1.4.0", "--commit", COMMIT]);
        let variables = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", "acme/shop"),
            ("GITHUB_SERVER_URL", "https://github.example"),
            ("GITHUB_RUN_ID", "7"),
            ("GITHUB_RUN_ATTEMPT", attempt),
        ];
        let output = command.envs(variables).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(ask("1").0, 0);
    assert_eq!(ask("1").0, 0);
    let (code, text) = ask("2");
    assert_eq!(code, 14);
    assert!(text.contains("https://github.example/acme/shop/actions/runs/7"), "{text}");
}

#[test]
fn a_claim_that_somebody_put_there_brings_no_pass_back() {
    let deployment = Deployment::new();
    deployment.gate("1.4.0");
    deployment.admit("1.4.0", &["--run", "ci:1"]).expect(0);
    let path = deployment.shop.path().join(".holdpoint/store/shop/staging/claim.json");
    let claim = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, claim.replace("ci:1", "ci:2")).unwrap();
    deployment.admit("1.4.0", &["--run", "ci:2"]).expect(16).refuses_in_words();
    std::fs::write(&path, claim).unwrap();
    deployment.admit("1.4.0", &["--run", "ci:1"]).expect(0);
}

#[test]
fn the_documents_say_what_was_decided() {
    let deployment = Deployment::new();
    let refused = deployment.admit("1.4.0", &["--format", "json"]).expect(16).json();
    assert_eq!(refused["verdict"], "refuse");
    assert_eq!(refused["findings"][0]["code"], "pass-missing");
    crate::support::shop::assert_valid("verdict", &refused);
    deployment.gate("1.4.0");
    let admitted = deployment.admit("1.4.0", &["--format", "json"]).expect(0).json();
    assert_eq!(admitted["verdict"], "pass");
    assert_eq!(admitted["id"], deployment.shop.manifest()["id"]);
    crate::support::shop::assert_valid("verdict", &admitted);
}

#[test]
fn a_frozen_environment_takes_nothing_until_it_is_thawed() {
    let deployment = Deployment::new();
    deployment.gate("1.4.0");
    let shop = &deployment.shop;
    shop.run(&["freeze", "-e", "staging", "--reason", " "]).expect(2);
    shop.run(&["freeze", "-e", "staging", "--reason", "year's end", "--until", "2020-01-01T00:00:00Z"]).expect(2);
    let frozen = shop.run(&["freeze", "-e", "staging", "--reason", "year's end", "--until", "36h"]).expect(0);
    assert!(frozen.stdout.contains("year's end"), "{}", frozen.stdout);
    shop.run(&["freeze", "-e", "staging", "--reason", "mine"]).expect(14).says(&["year's end", "thaw first"]);
    deployment.refused(deployment.admit("1.4.0", &[]), 14, "frozen", "year's end");
    shop.gate("1.4.0", &["--first"]).expect(14).refuses_in_words();
    shop.run(&["snapshot", "-e", "staging", "--release", "1.4.0", "--commit", COMMIT]).expect(0);
    shop.run(&["thaw", "-e", "staging", "--reason", "it is over"]).expect(0);
    assert!(shop.run(&["thaw", "-e", "staging", "--reason", "again"]).expect(0).stdout.contains("was not frozen"));
    shop.gate("1.4.0", &["--first"]).expect(0);
    deployment.admit("1.4.0", &[]).expect(0);
}
