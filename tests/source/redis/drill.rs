//! Places for drills: a throw-away server that loads the file, or an empty one that is named.

use super::fill;
use crate::support::captured::{Captured, Place, assert_same};
use crate::support::redis::RedisServer;
use holdpoint::error::ErrorCode;
use rustix::process::Signal;

fn settings(server: &RedisServer) -> String {
    format!("kind = \"redis\"\nurl = \"{}\"", server.url())
}

#[test]
fn a_file_comes_up_in_a_server_of_its_own_which_leaves_nothing() {
    let server = RedisServer::with(&["--databases", "40"]);
    fill(&server);
    server.tell("SELECT 33\nSET far 1\nSET soon 1 PX 600");
    let captured = Captured::of(&settings(&server));
    let told = captured.source.look(&captured.context).unwrap().unwrap();
    assert_same(&told, &captured.content, &["tables", "function_libraries"]);
    // A key that expires before it is restored: no server would show it, and so it counts as restored.
    while server.ask(&["-n", "33", "EXISTS", "soon"]) == "1" {}
    let place = Place::new();
    let mut isolated = captured.source.isolate(&captured.context, &place.isolation(None)).unwrap();
    captured.restore(&*isolated).unwrap();
    isolated.start(&captured.context).unwrap();
    assert!(isolated.description().starts_with("Redis 7."), "{}", isolated.description());
    assert_same(
        &isolated.look(&captured.context).unwrap(),
        &captured.content,
        &["tables", "rows", "function_libraries"],
    );
    let ask = |question: &str| isolated.ask(&captured.context, question);
    assert_eq!(ask("LRANGE list:small 0 -1").unwrap(), "a\nb\n3");
    assert_eq!(ask("SET 'a new key' \"1 2\"").unwrap(), "OK");
    assert!(ask("NONSENSE").unwrap_err().chain().contains("unknown command"));
    assert_eq!(ask("CONFIG GET port").unwrap(), "port\n0");
    isolated.remove(&captured.context).unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_server_that_cannot_load_the_file_says_why() {
    let server = RedisServer::start();
    server.tell("SET a 1");
    let captured = Captured::of(&settings(&server));
    let place = Place::new();
    let mut isolated = captured.source.isolate(&captured.context, &place.isolation(None)).unwrap();
    let stored = captured.stored.replaced("it.rdb", b"REDIS00", b"REDIS99");
    captured.source.restore(&captured.context, &stored, &isolated.target(), false).unwrap();
    let error = isolated.start(&captured.context).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RestoreFailed, "{}", error.chain());
    isolated.remove(&captured.context).unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_server_that_is_named_is_not_touched() {
    let server = RedisServer::start();
    fill(&server);
    let captured = Captured::of(&settings(&server));
    let (other, place) = (RedisServer::start(), Place::new());
    other.tell("SET mine 1");
    let error = captured.source.isolate(&captured.context, &place.isolation(Some(other.url()))).map(drop).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Usage, "{}", error.chain());
    assert_eq!(other.ask(&["GET", "mine"]), "1");
    other.signal(Signal::TERM);
    place.assert_nothing_left();
}
