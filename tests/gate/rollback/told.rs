//! Webhooks are told how a rollback goes, and never stand in its way.

use super::{HOOKS, World};
use crate::gate::shop::names;
use crate::support::version_server::{Answer, VersionServer};
use serde_json::Value;
use std::net::TcpListener;
use std::path::Path;

/// What stands in every address, and must stand nowhere else.
const SECRET: &str = "s3cr3t-p4th";

/// A webhook of the configuration, whose address is in the file `NAME.url`.
fn webhook(name: &str, more: &str) -> String {
    format!("\n[[webhook]]\nname = \"{name}\"\nurl = {{ file = \"{name}.url\" }}\n{more}\n")
}

/// A world with webhooks, whose addresses lead to these URLs.
fn world(hooks: &str, webhooks: &[(&str, &str, String)]) -> World {
    let tables: String = webhooks.iter().map(|(name, more, _)| webhook(name, more)).collect();
    let world = World::new(&format!("{hooks}\n{tables}"));
    for (name, _, url) in webhooks {
        world.shop.write(&format!("{name}.url"), format!("{url}\n"));
    }
    world
}

fn receiver(script: impl IntoIterator<Item = Answer>) -> (VersionServer, String) {
    let server = VersionServer::start(script);
    let url = server.url(&format!("/{SECRET}"));
    (server, url)
}

fn lines(server: &VersionServer) -> Vec<Value> {
    server.bodies().iter().map(|body| serde_json::from_str(body).unwrap()).collect()
}

fn texts(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["text"].as_str().unwrap()).collect()
}

/// Fails if a file below `folder` holds the secret.
fn assert_nowhere(folder: &Path) {
    for name in names(folder) {
        let path = folder.join(name);
        if path.is_dir() {
            assert_nowhere(&path);
        } else {
            let content = std::fs::read(&path).unwrap();
            let found = content.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

#[test]
fn every_line_arrives_in_order_also_after_a_second_try() {
    let (json, at_json) = receiver([Answer::status(200)]);
    let (slack, at_slack) = receiver([Answer::status(500), Answer::status(429), Answer::status(204)]);
    let world = world(HOOKS, &[("json", "", at_json), ("slack", "format = \"slack\"", at_slack)]);
    let id = world.deploy();
    assert!(json.requests().is_empty(), "nobody was told of a deployment");
    let output = world.roll_back(&id, &["--format", "json"]).expect(0);
    assert!(!output.stderr.contains("was not told") && output.json().get("untold").is_none(), "{}", output.stderr);
    world.assert_undone();

    let lines = lines(&json);
    let statuses: Vec<_> = lines.iter().map(|line| line["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, [&["started"], &["step"; 9][..], &["done"]].concat());
    let numbers: Vec<_> = lines.iter().filter_map(|line| line["step"].as_u64()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    for line in &lines {
        let place = [&line["event"], &line["application"], &line["environment"], &line["release"], &line["undone"]];
        assert_eq!(place.map(|value| value.as_str().unwrap()), ["rollback", "shop", "staging", id.as_str(), "1.4.0"]);
        assert_eq!((line["schema_version"].as_u64(), line["back_to"].as_str()), (Some(1), Some("1.3.0")));
        // What the hooks are given is for nobody else.
        for argument in ["sh ", "deploy.sh", "rm -f", "echo"] {
            assert!(!line.to_string().contains(argument), "{argument:?} in {line:#}");
        }
    }
    let words = texts(&lines);
    assert!(
        words[0].contains("rollback of 1.4.0 to 1.3.0 by full-restore started by ") && words[0].contains("9 steps"),
        "{words:#?}"
    );
    assert!(words[0].contains("what was written since 20") && words[0].contains("is lost"), "{words:#?}");
    assert!(words[2].ends_with("step 2 of 9: stop what writes"), "{words:#?}");
    assert!(words[3].contains("step 3 of 9: restore orders (sqlite), by dba@acme.example"), "{words:#?}");
    assert!(words[7].ends_with("step 7 of 9: deploy 1.3.0 again"), "{words:#?}");
    assert!(words[10].contains("1.4.0 is undone, back to 1.3.0; staging stays frozen"), "{words:#?}");
    let thaw = lines[10]["next"].as_str().unwrap();
    assert!(thaw.starts_with("holdpoint thaw --application shop --environment staging --store "), "{thaw}");

    let bodies = self::lines(&slack);
    assert_eq!(bodies[0], bodies[1], "the first line was posted again");
    assert_eq!(bodies[1], bodies[2]);
    assert_eq!(texts(&bodies[2..]), words, "and all of them in order");
    assert!(bodies.iter().all(|body| body["mrkdwn"] == false));
    assert!(slack.requests().iter().all(|line| line == &format!("POST /{SECRET} HTTP/1.1")));
    assert_nowhere(&world.place(""));
}

#[test]
fn receivers_that_fail_are_named_and_change_nothing() {
    let (elsewhere, target) = receiver([Answer::status(200)]);
    let (_hung, hung) = receiver([Answer::Hang]);
    let (_moved, moved) = receiver([Answer::status(307).header("Location", &target)]);
    let (gone, dead) = receiver([Answer::Http { status: 404, headers: vec![], body: "no_service".to_owned() }]);
    let absent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let quick = "timeout = \"150ms\"";
    let hooks = [
        ("hung", quick, hung),
        ("moved", "", moved),
        ("gone", "", dead),
        ("absent", quick, format!("http://{absent}/{SECRET}")),
        ("wrong", "", format!("ftp://{SECRET}/")),
    ];
    let world = world(HOOKS, &hooks);
    let id = world.deploy();
    let output = world.roll_back(&id, &["--format", "json"]).expect(0);
    world.assert_undone();
    output.says(&[
        "warning: the webhook hung was not told of the rollback (",
        "warning: the webhook moved was not told of the rollback (11 lines): answered 307 Temporary Redirect, a redirect, \
         which is not followed",
        "warning: the webhook gone was not told of the rollback (11 lines): answered 404 Not Found (no_service)",
        "warning: the webhook absent was not told of the rollback (11 lines): cannot connect: Connection refused",
        "warning: the webhook wrong was not told of the rollback (11 lines): the content of ",
    ]);
    assert!(elsewhere.requests().is_empty(), "a redirect was followed");
    assert_eq!(gone.requests().len(), 11, "what is refused for good is not tried again");
    let untold = output.json()["untold"].as_array().unwrap().clone();
    let names: Vec<_> = untold.iter().map(|hook| hook["webhook"].as_str().unwrap()).collect();
    assert_eq!(names, ["hung", "moved", "gone", "absent", "wrong"]);

    let recorded = world.events(&id).into_iter().filter(|event| event["event"] == "not_told").count();
    assert_eq!(recorded, 5);
    let page = world.run(&["show", &id, "--html"]).expect(0);
    assert!(page.stdout.contains("The webhook gone was not told of the rollback (11 lines)"), "{}", page.stdout);
    let all = [&output.stdout, &output.stderr, &page.stdout];
    assert!(all.iter().all(|text| !text.contains(SECRET)), "{all:?}");
    assert_nowhere(&world.place(""));
}

#[test]
fn a_rollback_that_stopped_says_where_and_is_told_again_when_it_goes_on() {
    let (server, url) = receiver([Answer::status(200)]);
    let hooks = format!(
        "before = [[\"sh\", \"-c\", \"rm -f instance-*.json; test -e mended || {{ echo {SECRET}; exit 3; }}\"]]\n\
         redeploy = [\"sh\", \"deploy.sh\"]"
    );
    let world = world(&hooks, &[("json", "", url)]);
    let id = world.deploy();
    world.roll_back(&id, &[]).expect(17);
    let first = lines(&server);
    let statuses: Vec<_> = first.iter().map(|line| line["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["started", "step", "step", "step_failed", "failed"]);
    let failed = first.last().unwrap();
    assert_eq!((failed["step"].as_u64(), failed["of"].as_u64()), (Some(2), Some(8)));
    assert_eq!(failed["reason"], "its program failed; the log of the run says more");
    let next = failed["next"].as_str().unwrap();
    assert!(next.starts_with("holdpoint rollback ") && next.ends_with(" --yes staging --wait 0s"), "{next}");
    assert!(!server.bodies().concat().contains(SECRET), "{first:#?}");

    world.shop.write("mended", "");
    // The command is one that can be copied.
    world.shop.holdpoint.run(shlex::split(next).unwrap().into_iter().skip(1)).expect(0);
    world.assert_undone();
    let second = lines(&server).split_off(first.len());
    let words = texts(&second);
    assert!(words[0].contains("is gone on with by ") && words[0].contains("7 steps to do"), "{words:#?}");
    assert!(words[1].contains("step 2 of 8: "), "{words:#?}");
    assert_eq!(second.last().unwrap()["status"], "done");
}

#[test]
fn a_freeze_and_its_end_are_told_to_those_who_want_to_know() {
    let (asks, url) = receiver([Answer::status(200)]);
    let (other, elsewhere) = receiver([Answer::status(200)]);
    let world = world(HOOKS, &[("asks", "events = [\"freeze\"]\nformat = \"teams\"", url), ("other", "", elsewhere)]);
    world.run(&["freeze", "--reason", "holidays"]).expect(0);
    world.run(&["thaw", "--reason", "they are over"]).expect(0);
    world.run(&["thaw", "--reason", "it was not frozen"]).expect(0);
    let run = |card: &Value| {
        let content = &card["attachments"][0]["content"];
        content["body"][0]["inlines"][0]["text"].as_str().unwrap().to_owned()
    };
    let cards: Vec<_> = lines(&asks).iter().map(run).collect();
    let [frozen, thawed] = cards.as_slice() else { panic!("{cards:?}") };
    assert!(frozen.starts_with("shop staging is frozen since ") && frozen.ends_with(": holidays"), "{frozen}");
    assert!(thawed.contains("staging is thawed by ") && thawed.contains(": they are over; it was "), "{thawed}");
    assert!(other.requests().is_empty());
}
