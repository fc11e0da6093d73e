//! What is captured, and what a restore brings back.

use super::{everything, fill, shop};
use crate::support::environment::{command, must};
use crate::support::redis::RedisServer;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn every_type_comes_back_into_an_empty_server() {
    let (origin, target) = (RedisServer::start(), RedisServer::start());
    fill(&origin);
    let shop = shop(&origin.url(), "expect = { min_rows = { db3 = 20001 } }");
    shop.gate(&[]).expect(0);
    let manifest = shop.manifest();
    let record = manifest.source("cache");
    let content = &record["content"];
    assert_eq!(content["rows"], json!({"db0": 23, "db3": 20001, "db15": 1}));
    assert_eq!(content["tables"], 3);
    assert_eq!(
        content["keys_by_type"],
        json!({"hash": 2, "list": 3, "set": 4, "stream": 3, "string": 20010, "zset": 3 })
    );
    assert_eq!((&content["keys_that_expire"], &content["function_libraries"]), (&json!(2), &json!(1)));
    assert_eq!((&content["rdb_version"], &content["role"]), (&json!(10), &json!("master")));
    assert!(record["server_version"].as_str().unwrap().starts_with("Redis 7."), "{record:#}");
    assert_eq!(origin.clients(), [""; 0], "a connection is left");

    shop.holdpoint.run(["restore", "cache", "-e", "staging", "--target", &target.url()]).expect(0);
    assert_eq!(everything(&target), everything(&origin));
    assert_eq!(target.ask(&["FCALL", "total", "0"]), "7");

    // A second time there is something in the way, which is kept without --force and replaced with it.
    target.tell("SET other 1\n");
    let before = everything(&target);
    let again = ["restore", "cache", "-e", "staging", "--target", &target.url()];
    shop.holdpoint.run(again).expect(17).says(&["is not empty: it holds 20026 keys", "--force"]);
    assert_eq!(everything(&target), before);
    shop.holdpoint.run([&again[..], &["--force"]].concat()).expect(0);
    assert_eq!(everything(&target), everything(&origin));

    // The origin is a target, too, and what it holds is lost only on request.
    origin.tell("SET other 1\n");
    shop.holdpoint.run(["restore", "cache", "-e", "staging"]).expect(17).says(&["is not empty"]);
    shop.holdpoint.run(["restore", "cache", "-e", "staging", "--force"]).expect(0);
    assert_eq!(everything(&origin), everything(&target));
}

#[test]
fn a_restored_file_is_one_that_redis_starts_with() {
    for diskless in ["yes", "no"] {
        let origin = RedisServer::with(&["--repl-diskless-sync", diskless]);
        fill(&origin);
        let shop = shop(&origin.url(), "");
        shop.gate(&[]).expect(0);
        // A server that sends what it writes needs no file of its own.
        assert_eq!(origin.path("dump.rdb").exists(), diskless == "no");
        let folder = shop.beside("restored");
        shop.holdpoint.run(["restore", "cache", "-e", "staging", "--target", folder.to_str().unwrap()]).expect(0);
        let file = folder.join("cache.rdb");
        must(command("redis-check-rdb", shop.holdpoint.home()).arg(&file));
        let folder = folder.to_str().unwrap();
        let target = RedisServer::with(&["--dir", folder, "--dbfilename", "cache.rdb"]);
        assert_eq!(everything(&target), everything(&origin));
    }
}

#[test]
fn keys_that_expired_meanwhile_are_not_missed() {
    let (origin, target) = (RedisServer::start(), RedisServer::start());
    // The origin still has it, because nobody asked for it; nobody would get it.
    origin.tell("DEBUG SET-ACTIVE-EXPIRE 0\nSET stays 1\nSET gone 1 PX 1\n");
    let shop = shop(&origin.url(), "");
    shop.gate(&[]).expect(0);
    assert_eq!(shop.manifest().source("cache")["content"]["rows"], json!({"db0": 2}));
    shop.holdpoint.run(["restore", "cache", "-e", "staging", "--target", &target.url()]).expect(0);
    assert_eq!((target.ask(&["DBSIZE"]), target.ask(&["GET", "stays"])), ("1".into(), "1".into()));
}

#[test]
fn what_is_written_meanwhile_does_not_mix_in() {
    let origin = RedisServer::start();
    origin.tell("DEBUG POPULATE 100000 key 100\nSET left 1000000\nSET right 0\n");
    let shop = shop(&origin.url(), "");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // One command each: no moment has another sum.
            let transfer = "EVAL \"redis.call('DECR', 'left') return redis.call('INCR', 'right')\" 0\n".repeat(1000);
            while !stop.load(Ordering::SeqCst) {
                origin.tell(&transfer);
            }
        });
        for _ in 0..3 {
            shop.gate(&[]).expect(0);
        }
        stop.store(true, Ordering::SeqCst);
    });
    let target = RedisServer::start();
    shop.holdpoint.run(["restore", "cache", "-e", "staging", "--target", &target.url()]).expect(0);
    let number = |key| target.ask(&["GET", key]).parse::<i64>().unwrap();
    assert_eq!((target.ask(&["DBSIZE"]).as_str(), number("left") + number("right")), ("100002", 1_000_000));
    assert!(number("right") > 0);
}

#[test]
fn an_empty_server_refuses_until_that_is_expected() {
    let origin = RedisServer::start();
    let shop = shop(&origin.url(), "");
    shop.gate(&[]).expect(12).refuses_in_words();
    shop.manifest().assert_refused("refused", &["below-min-tables"]);
    let text = shop.read("holdpoint.toml") + "expect = { min_tables = 0 }\n";
    shop.write("holdpoint.toml", text).gate(&[]).expect(0);
    // One that held something and is empty now is told of as such.
    origin.tell("DEBUG POPULATE 1000 key 100\n");
    shop.gate(&[]).expect(0);
    origin.tell("FLUSHALL\n");
    shop.gate(&[]).expect(12);
    assert_eq!(shop.manifest().codes("refusal"), ["size-shrank"]);
    assert!(shop.manifest().message("table-emptied").contains("db0 is gone, and had 1000 rows"));
}

#[test]
fn a_replica_is_captured_and_one_without_its_master_is_not() {
    let mut master = RedisServer::start();
    fill(&master);
    let port = master.port().to_string();
    let replica = RedisServer::with(&["--replicaof", &format!("127.0.0.1 {port}")]);
    while !replica.ask(&["INFO", "replication"]).contains("master_link_status:up") {}
    let shop = shop(&replica.url(), "");
    shop.gate(&[]).expect(0);
    assert_eq!(shop.manifest().source("cache")["content"]["role"], "replica");
    master.kill();
    while !replica.ask(&["INFO", "replication"]).contains("master_link_status:down") {}
    shop.gate(&[]).expect(10).says(&["a replica that has lost its master", &port]);
}
