//! Webhooks are told of verdicts, looks and drills; what a receiver does changes no verdict, and is found.

use crate::support::shop::Shop;
use crate::support::version_server::{Answer, VersionServer};
use serde_json::Value;
use std::time::Duration;

/// What stands in every address, and must stand nowhere else.
const SECRET: &str = "s3cr3t-p4th";

fn receiver(script: impl IntoIterator<Item = Answer>) -> (VersionServer, String) {
    let server = VersionServer::start(script);
    let url = server.url(&format!("/{SECRET}"));
    (server, url)
}

fn hook(name: &str, url: &str, more: &str) -> String {
    format!("[[webhook]]\nname = \"{name}\"\nurl = \"{url}\"\n{more}\n")
}

fn shop(hooks: &[String]) -> Shop {
    let shop = Shop::with(|holdpoint| holdpoint.env("USER", "ada").env("ROUTING", "R0UT1NG"));
    let source = "[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n";
    shop.configure(&format!("application = \"shop\"\n{source}{}", hooks.concat()));
    shop
}

fn bodies(server: &VersionServer) -> Vec<Value> {
    server.bodies().iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

fn statuses(server: &VersionServer) -> Vec<String> {
    bodies(server)
        .iter()
        .map(|body| format!("{} {}", body["event"].as_str().unwrap(), body["status"].as_str().unwrap()))
        .collect()
}

fn reconcile(shop: &Shop, deployed: &str, exit: u8) {
    shop.run(&["reconcile", "-e", "staging", "--deployed", deployed]).expect(exit);
}

#[test]
fn each_is_told_of_what_it_asked_for() {
    let all = "events = [\"refused\", \"passed\", \"drifted\", \"drilled\", \"freeze\"]";
    let ((everything, at_all), (wrong, at_wrong)) = (receiver([Answer::status(200)]), receiver([Answer::status(204)]));
    let shop = shop(&[hook("all", &at_all, all), hook("wrong", &at_wrong, "events = [\"refused\", \"drifted\"]")]);
    shop.gate("1.3.0", &["--first"]).expect(0);
    let id = shop.manifest()["id"].clone();
    reconcile(&shop, "1.2.9", 15);
    reconcile(&shop, "1.3.0", 0);
    shop.run(&["drill", "-e", "staging"]).expect(0);
    shop.run(&["freeze", "-e", "staging", "--reason", "year's end"]).expect(0);
    shop.gate("1.4.0", &["--from", "1.3.0"]).expect(14);
    shop.run(&["thaw", "-e", "staging", "--reason", "new year"]).expect(0);
    let expected =
        ["passed passed", "drifted drifted", "drilled done", "freeze frozen", "refused refused", "freeze thawed"];
    assert_eq!(statuses(&everything), expected);
    assert_eq!(
        statuses(&wrong),
        ["drifted drifted", "refused refused"],
        "a match is news for nobody but an open incident"
    );
    let told = bodies(&everything);
    assert_eq!((&told[0]["release"], &told[0]["version"], &told[0]["by"]), (&id, &"1.3.0".into(), &"ada".into()));
    let refused = &told[4];
    assert_eq!((&refused["exit_code"], &refused["codes"]), (&14.into(), &serde_json::json!(["frozen"])));
    let text = refused["text"].as_str().unwrap();
    assert!(text.starts_with("shop staging: 1.4.0 is refused (14): ") && text.contains("do not deploy"), "{text}");
}

#[test]
fn incidents_are_triggered_and_resolved() {
    let (pager, url) = receiver([Answer::status(202)]);
    let more =
        "format = \"pagerduty\"\nrouting_key = { env = \"ROUTING\" }\nevents = [\"refused\", \"drifted\", \"drilled\"]";
    let shop = shop(&[hook("pager", &url, more)]);
    shop.gate("1.3.0", &["missing", "--first"]).expect(10);
    shop.gate("1.3.0", &["--first"]).expect(0);
    reconcile(&shop, "1.2.9", 15);
    reconcile(&shop, "1.3.0", 0);
    shop.run(&["drill", "-e", "staging"]).expect(0);
    let events = bodies(&pager);
    let acts: Vec<_> = events
        .iter()
        .map(|event| (event["event_action"].as_str().unwrap(), event["dedup_key"].as_str().unwrap()))
        .collect();
    let (gate, drift, drill) =
        ("holdpoint/shop/staging/gate", "holdpoint/shop/staging/drift", "holdpoint/shop/staging/drill");
    let expected = [("trigger", gate), ("resolve", gate), ("trigger", drift), ("resolve", drift), ("resolve", drill)];
    assert_eq!(acts, expected);
    assert!(events.iter().all(|event| event["routing_key"] == "R0UT1NG"));
    assert_eq!(events[0]["payload"]["severity"], "error");
}

#[test]
fn a_template_makes_the_body() {
    let (own, url) = receiver([Answer::status(200)]);
    let more = "events = [\"passed\"]\ntemplate = '''{\"content\": \"{{text}}\", \"fields\": {{json this}}}'''";
    let shop = shop(&[hook("own", &url, more)]);
    shop.gate("1.3.0", &["--first"]).expect(0);
    let bodies = bodies(&own);
    assert!(bodies[0]["content"].as_str().unwrap().contains("1.3.0 may be deployed"), "{bodies:?}");
    assert_eq!(bodies[0]["fields"]["event"], "passed");
}

#[test]
fn receivers_that_fail_change_no_verdict_and_are_found() {
    let passed = "events = [\"passed\"]";
    let quick = "events = [\"passed\"]\ntimeout = \"300ms\"";
    let (elsewhere, target) = receiver([Answer::status(200)]);
    let (failing, at_failing) = receiver([Answer::status(500)]);
    let (mended, at_mended) = receiver([Answer::HangUp, Answer::status(503), Answer::status(200)]);
    let (_hung, at_hung) = receiver([Answer::Hang]);
    let (_moved, at_moved) = receiver([Answer::status(308).header("Location", &target)]);
    let (late, at_late) = receiver([Answer::Late(Duration::from_millis(300), 200)]);
    let (_slow, at_slow) = receiver([Answer::Late(Duration::from_secs(2), 200)]);
    let (busy, at_busy) = receiver([Answer::status(429).header("Retry-After", "1"), Answer::status(200)]);
    let (shut, at_shut) = receiver([Answer::status(429).header("Retry-After", "3600")]);
    let (_gone, at_gone) = receiver([Answer::HangUp]);
    let hooks = [
        hook("failing", &at_failing, passed),
        hook("mended", &at_mended, passed),
        hook("hung", &at_hung, quick),
        hook("moved", &at_moved, passed),
        hook("late", &at_late, passed),
        hook("slow", &at_slow, quick),
        hook("busy", &at_busy, passed),
        hook("shut", &at_shut, passed),
        hook("gone", &at_gone, quick),
    ];
    let shop = shop(&hooks);
    let output = shop.gate("1.3.0", &["--first", "--format", "json"]).expect(0);
    let document = output.json();
    assert_eq!(document["verdict"], "pass");
    let findings = document["findings"].as_array().unwrap();
    let untold: Vec<_> = findings
        .iter()
        .filter(|finding| finding["code"] == "webhook-failed")
        .map(|f| f["message"].as_str().unwrap())
        .collect();
    let says = |name: &str| untold.iter().find(|message| message.contains(&format!("webhook {name} "))).copied();
    for (name, why) in [
        ("failing", "answered 500"),
        ("hung", "did not answer within 300ms"),
        ("moved", "a redirect, which is not followed"),
        ("slow", "did not answer within 300ms"),
        ("shut", "answered 429"),
        ("gone", ""),
    ] {
        assert!(says(name).is_some_and(|message| message.contains(why)), "{name}: {untold:#?}");
    }
    assert_eq!(untold.len(), 6, "{untold:#?}");
    assert!(elsewhere.requests().is_empty(), "a redirect was followed");
    let tries = [&failing, &mended, &late, &busy, &shut].map(|server| server.requests().len());
    assert_eq!(tries, [4, 3, 1, 2, 1], "a pause that is too long ends the tries");

    let id = document["id"].as_str().unwrap().to_owned();
    let shown = shop.run(&["show", &id, "-e", "staging", "--format", "json"]).expect(0);
    let recorded =
        shown.json()["events"].as_array().unwrap().iter().filter(|event| event["event"] == "not_told").count();
    assert_eq!(recorded, 6);
    let manifest = std::fs::read_to_string(shop.path().join("holdpoint-manifest.json")).unwrap();
    for text in [&output.stdout, &output.stderr, &shown.stdout, &manifest] {
        assert!(!text.contains(SECRET), "{text}");
    }
    shop.run(&["audit", "verify", "-e", "staging"]).expect(0);
}

#[test]
fn a_key_that_is_wrong_is_said_before_anything_is_done() {
    for (more, words) in [
        ("format = \"pagerduty\"", "needs a `routing_key`"),
        ("routing_key = \"x\"", "has a `routing_key`, which is for"),
        ("template = \"{{#if}\"", "`template` is no handlebars template"),
        ("format = \"slack\"\ntemplate = \"x\"", "exclude each other"),
    ] {
        let shop = shop(&[hook("wrong", "https://h/", more)]);
        shop.gate("1.3.0", &["--first"]).expect(2).says(&[words]);
    }
}
