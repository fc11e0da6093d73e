//! What runs is asked of the running system, before the deploy and after it.

use crate::support::shop::{COMMIT, Shop, assert_valid};
use crate::support::version_server::{Answer, VersionServer};
use serde_json::{Value, json};

/// Configures a probe of the environment `staging`.
fn probe(shop: &Shop, settings: &str) {
    let sources = "[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n";
    shop.configure(&format!("application = \"shop\"\n{sources}\n[environment.staging.deployed]\n{settings}\n"));
}

/// Configures an HTTP probe of every server; the version is at `/version` of its JSON answer, the commit at `/commit`.
fn http(shop: &Shop, servers: &[&VersionServer]) {
    let urls: Vec<_> = servers.iter().map(|server| server.url("/version")).collect();
    probe(
        shop,
        &format!("kind = \"http\"\nurls = {urls:?}\nversion = \"/version\"\ncommit = \"/commit\"\ntimeout = \"1s\""),
    );
}

fn reconcile(shop: &Shop, exit: u8, more: &[&str]) -> Value {
    let arguments = [&["reconcile", "-e", "staging", "--format", "json"], more].concat();
    let output = shop.run(&arguments).expect(exit);
    if exit != 0 {
        output.refuses_in_words();
    }
    let document = output.json();
    assert_eq!(document["exit_code"], exit);
    document["reconciliation"].clone()
}

/// Returns the code and level of every finding of the last run.
fn findings(shop: &Shop) -> Vec<(String, String)> {
    let manifest = shop.manifest();
    assert_valid("manifest", &manifest);
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let findings = manifest["decision"]["findings"].as_array().unwrap().clone();
    let findings = findings.iter().map(|finding| (text(finding, "code"), text(finding, "level")));
    findings.filter(|(code, _)| code != "unsigned").collect()
}

fn finding(code: &str, level: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), level.to_owned())]
}

#[test]
fn the_gate_observes_what_runs_before_anything_else() {
    let shop = Shop::new();
    let server = VersionServer::start([Answer::json(&json!({ "version": "v1.3.0", "commit": "aaaaaaa" }))]);
    http(&shop, &[&server, &server]);
    shop.gate("1.4.0", &[]).expect(0);
    let manifest = shop.manifest();
    let from = &manifest["release"]["from"];
    assert_eq!((&from["version"], &from["commit"]), (&"v1.3.0".into(), &"aaaaaaa".into()));
    assert_eq!((&from["probe"], from["instances"].as_array().unwrap().len()), (&"http".into(), 2));
    assert_eq!(manifest["release"]["to"]["severity"], "minor");
    assert_eq!(findings(&shop), []);
    assert!(server.requests().iter().all(|line| line == "GET /version HTTP/1.1"));
}

#[test]
fn headers_patterns_programs_and_files_tell_versions_too() {
    let shop = Shop::new();
    let page = Answer::html("<title>shop</title> version 1.3.0, build 7").header("X-Version", "1.3.1");
    let server = VersionServer::start([page]);
    let http = |rest: &str| format!("kind = \"http\"\nurls = [{:?}]\n{rest}", server.url("/"));
    shop.write("VERSION", "1.3.2\n").write("release.json", r#"{"app": {"version": "1.3.3"}}"#);
    for (settings, version, kind) in [
        (http("regex = 'version ([0-9.]+)'"), "1.3.0", "http"),
        (http("header = \"X-Version\""), "1.3.1", "http"),
        ("kind = \"file\"\npath = \"VERSION\"".to_owned(), "1.3.2", "file"),
        ("kind = \"file\"\npath = \"release.json\"\nversion = \"/app/version\"".to_owned(), "1.3.3", "file"),
        ("kind = \"command\"\ncommand = [\"echo\", \"1.3.4\"]".to_owned(), "1.3.4", "command"),
    ] {
        probe(&shop, &settings);
        shop.gate("1.4.0", &[]).expect(0);
        let from = &shop.manifest()["release"]["from"];
        assert_eq!((&from["version"], &from["probe"]), (&version.into(), &kind.into()), "{settings}");
    }
}

#[test]
fn a_probe_that_does_not_tell_refuses() {
    let json = |value: Value| Answer::json(&value);
    for (answer, says) in [
        (Answer::Hang, "did not answer within 1s"),
        (Answer::HangUp, ""),
        (Answer::status(500), "500"),
        (Answer::html("<!doctype html><p>Welcome"), "HTML"),
        (json(json!({ "build": 7 })), "/version"),
        (json(json!({ "version": "" })), ""),
        (json(json!({ "version": "main" })), "main"),
        (json(json!({ "version": 7.5 })), "fraction"),
    ] {
        let shop = Shop::new();
        let server = VersionServer::start([answer.clone()]);
        http(&shop, &[&server]);
        shop.gate("1.4.0", &[]).expect(15).says(&[says, "next: holdpoint "]).refuses_in_words();
        assert_eq!(findings(&shop), finding("probe-failed", "refusal"), "{answer:?}");
        assert!(!shop.repository("staging").exists(), "{answer:?}: nothing is captured");
        // Nothing runs before the first deploy, so nothing can answer.
        shop.gate("1.4.0", &["--first"]).expect(0);
        let event = reconcile(&shop, 15, &[]);
        assert_eq!(event["outcome"], "unknown", "{answer:?}");
        assert!(event["explanation"].as_str().unwrap().contains(says), "{answer:?}: {event}");
    }
}

#[test]
fn programs_and_files_that_do_not_tell_refuse() {
    let shop = Shop::new();
    for (settings, says) in [
        ("kind = \"command\"\ncommand = [\"false\"]", "exit"),
        ("kind = \"command\"\ncommand = [\"/nowhere/version\"]", "/nowhere/version"),
        ("kind = \"command\"\ncommand = [\"sleep\", \"600\"]\ntimeout = \"200ms\"", "sleep"),
        ("kind = \"command\"\ncommand = [\"true\"]", ""),
        ("kind = \"file\"\npath = \"VERSION\"", "VERSION"),
    ] {
        probe(&shop, settings);
        shop.gate("1.4.0", &[]).expect(15).says(&[says]).refuses_in_words();
        assert_eq!(findings(&shop), finding("probe-failed", "refusal"), "{settings}");
    }
}

#[test]
fn what_is_said_must_be_what_runs() {
    let shop = Shop::new();
    let server = VersionServer::start([Answer::version("1.3.0")]);
    http(&shop, &[&server]);
    shop.gate("1.4.0", &["--from", "v1.3.0+build.9"]).expect(0);
    shop.gate("1.4.0", &["--from", "1.2.0"]).expect(15).says(&["--from says 1.2.0, but 1.3.0 is deployed"]);
    assert_eq!(findings(&shop), finding("from-mismatch", "refusal"));
    shop.gate("1.4.0", &["--first"]).expect(15).says(&["--first says that nothing is deployed, but 1.3.0 is"]);
}

#[test]
fn instances_that_disagree_refuse() {
    let shop = Shop::new();
    let one = VersionServer::start([Answer::version("1.3.0")]);
    let two = VersionServer::start([Answer::version("1.2.0"), Answer::status(503)]);
    http(&shop, &[&one, &two]);
    shop.gate("1.4.0", &[]).expect(15).says(&["runs 1.3.0 but", "runs 1.2.0"]).refuses_in_words();
    assert_eq!(findings(&shop), finding("instances-disagree", "refusal"));
    shop.gate("1.4.0", &[]).expect(15).says(&["503"]);
    assert_eq!(findings(&shop), finding("probe-failed", "refusal"));
}

#[test]
fn every_outcome_has_its_exit_code_and_its_event() {
    let shop = Shop::new();
    let server = VersionServer::start([Answer::version("1.3.0")]);
    let other = VersionServer::start([Answer::version("1.3.0")]);
    http(&shop, &[&server, &other]);
    shop.gate("1.4.0", &[]).expect(0);
    let id = shop.manifest()["id"].as_str().unwrap().to_owned();
    let version = |version: &str| json!({ "version": version });
    let mut expected = Vec::new();
    for (first, second, outcome, exit) in [
        (version("1.3.0"), version("v1.3.0"), "unchanged", 15),
        (version("1.4.0"), version("1.3.0"), "partial", 15),
        (version("1.4.0"), version("2.0.0"), "drifted", 15),
        (json!({ "version": "1.4.0", "commit": "ccccccc" }), version("1.4.0"), "drifted", 15),
        (json!({}), json!({}), "unknown", 15),
        (version("v1.4.0"), version("1.4.0+build.7"), "matched", 0),
        (json!({ "version": "1.4.0", "commit": &COMMIT[..9] }), version("1.4.0"), "matched", 0),
    ] {
        server.answer(Answer::json(&first));
        other.answer(Answer::json(&second));
        let event = reconcile(&shop, exit, &[]);
        assert_eq!((&event["outcome"], &event["expected"]), (&outcome.into(), &"to".into()), "{first} {second}");
        assert_eq!(event["instances"].as_array().unwrap().len(), 2);
        expected.push(event);
    }
    // The build is shown, though it is not compared.
    assert_eq!(expected[5]["instances"][1]["version"], "1.4.0+build.7");
    let shown = shop.run(&["show", &id, "-e", "staging", "--format", "json"]).expect(0).json();
    assert_eq!(shown["events"].as_array().unwrap(), &expected, "every outcome is in the ledger, in its order");
    let text = shop.run(&["show", &id, "-e", "staging"]).expect(0).stdout;
    for outcome in ["unchanged", "partial", "drifted", "unknown", "matched"] {
        assert!(text.contains(&format!("reconciled with the new version: {outcome}: ")), "{text}");
    }
    let page = shop.run(&["show", &id, "-e", "staging", "--html"]).expect(0).stdout;
    assert!(page.contains("drifted") && page.contains("matched"), "{page}");
}

#[test]
fn the_way_back_is_checked_by_the_version_before() {
    let shop = Shop::new();
    let server = VersionServer::start([Answer::version("1.3.0")]);
    http(&shop, &[&server]);
    shop.gate("1.4.0", &[]).expect(0);
    assert_eq!(reconcile(&shop, 0, &["--expect", "from"])["outcome"], "matched");
    server.answer(Answer::version("1.4.0"));
    let event = reconcile(&shop, 15, &["--expect", "from"]);
    assert_eq!((&event["outcome"], &event["expected"]), (&"unchanged".into(), &"from".into()));
}

#[test]
fn a_version_that_is_given_is_not_asked_for() {
    let shop = Shop::new();
    let server = VersionServer::start([Answer::version("1.3.0")]);
    http(&shop, &[&server]);
    shop.gate("1.4.0", &[]).expect(0);
    let asked = server.requests().len();
    assert_eq!(reconcile(&shop, 0, &["--deployed", "v1.4.0", "--wait", "1h"])["outcome"], "matched");
    assert_eq!(reconcile(&shop, 15, &["--deployed", "1.3.0", "--wait", "1h"])["outcome"], "unchanged");
    let manifest = ["--deployed", "1.5.0", "--manifest", "holdpoint-manifest.json"];
    assert_eq!(reconcile(&shop, 15, &manifest)["outcome"], "drifted");
    assert_eq!(server.requests().len(), asked);
    shop.run(&["reconcile", "-e", "staging", "--deployed", "new"]).expect(2).says(&["--deployed: `new`"]);
}

#[test]
fn waiting_asks_until_it_matches() {
    let shop = Shop::new();
    let old = || Answer::version("1.3.0");
    let server = VersionServer::start([old(), old(), Answer::status(502), Answer::version("1.4.0")]);
    http(&shop, &[&server]);
    shop.gate("1.4.0", &[]).expect(0);
    assert_eq!(reconcile(&shop, 0, &["--wait", "10m"])["outcome"], "matched");
    assert_eq!(server.requests().len(), 4, "once by the gate, then until it matched");
    server.answer(old());
    assert_eq!(reconcile(&shop, 15, &["--wait", "1500ms"])["outcome"], "unchanged");
    assert!(server.requests().len() > 5, "it was asked again until the time was up");
}

#[test]
fn a_deploy_past_the_gate_is_seen_by_the_next() {
    let shop = Shop::new();
    let server = VersionServer::start([Answer::version("1.3.0")]);
    http(&shop, &[&server]);
    shop.gate("1.4.0", &[]).expect(0);
    server.answer(Answer::version("1.4.0"));
    reconcile(&shop, 0, &[]);
    shop.gate("1.5.0", &[]).expect(0);
    assert_eq!(findings(&shop), [], "the ledger and the running system agree");
    server.answer(Answer::version("1.4.9"));
    shop.gate("1.5.0", &[]).expect(0);
    assert_eq!(findings(&shop), finding("deployed-unrecorded", "warning"));
    let plan = shop.run(&["plan", "-e", "staging", "--release", "1.5.0", "--commit", COMMIT]).expect(0).stdout;
    assert!(plan.contains("deployed-unrecorded") && plan.contains("1.4.9"), "{plan}");
}

#[test]
fn nothing_tells_which_version_runs() {
    let shop = Shop::new();
    shop.gate("1.4.0", &["uploads"]).expect(0);
    assert_eq!(findings(&shop), finding("probe-missing", "warning"));
    let output = shop.run(&["reconcile", "-e", "staging"]).expect(2);
    output.says(&["nothing can tell which version is deployed in staging", "--deployed VERSION"]).refuses_in_words();
}
