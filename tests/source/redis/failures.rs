//! A server that fails, hangs or is cut off never yields a pass, and nothing of the run is left there.

use super::{everything, fill, shop};
use crate::gate::shop::{Shop, until};
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;
use rustix::process::Signal;

/// How much of a data set of [`large`] is let through before the line is held up or cut.
const SOME: u64 = 4 * 1024 * 1024;

/// A server with more than fits into the buffers of all that is between.
fn large(options: &[&str]) -> RedisServer {
    let server = RedisServer::with(options);
    server.tell("CONFIG SET rdbcompression no\nDEBUG POPULATE 64 key 1000000\n");
    server
}

/// A working tree whose server is reached by a proxy that lets only some of its data through.
fn held_up(server: &RedisServer, settings: &str) -> (Proxy, Shop) {
    let proxy = Proxy::start(server.port(), SOME);
    let shop = shop(&format!("redis://127.0.0.1:{}", proxy.port()), settings);
    (proxy, shop)
}

/// Asserts that a run failed for `codes`, that nothing of it is left, and that the next one passes.
#[track_caller]
fn assert_recovers(shop: &Shop, server: &RedisServer, codes: &[&str]) {
    let state = if codes == ["timed-out"] { "timed_out" } else { "refused" };
    shop.manifest().assert_refused(state, codes);
    shop.assert_nothing_left();
    until_gone(server);
    let configuration = shop.read("holdpoint.toml");
    let next = Shop::with(&configuration).env("REDIS_URL", server.url());
    next.gate(&[]).expect(0);
}

/// Waits until the server has noticed that connections were cut.
fn until_gone(server: &RedisServer) {
    while !server.clients().is_empty() {}
}

#[test]
fn a_connection_that_is_cut_refuses() {
    for diskless in ["yes", "no"] {
        let server = large(&["--repl-diskless-sync", diskless]);
        let (proxy, shop) = held_up(&server, "");
        let mut running = shop.start(&[]);
        until(&mut running, "the transfer", || proxy.is_stuck());
        proxy.cut();
        running.wait().expect(10).says(&["the transfer broke off after", "closed the connection"]);
        assert_recovers(&shop, &server, &["source-failed"]);
    }
}

#[test]
fn a_server_that_is_killed_in_the_middle_refuses() {
    let mut server = large(&[]);
    let (proxy, shop) = held_up(&server, "");
    let mut running = shop.start(&[]);
    until(&mut running, "the transfer", || proxy.is_stuck());
    server.kill();
    proxy.cut();
    running.wait().expect(10).says(&["the transfer broke off after"]);
    shop.manifest().assert_refused("refused", &["source-failed", "session-left"]);
    shop.assert_nothing_left();
    let message = shop.manifest().message("source-failed").to_owned();
    assert!(message.contains("bytes"), "{message}");
}

#[test]
fn a_server_that_hangs_past_the_deadline_is_left_alone() {
    let server = large(&[]);
    let (proxy, shop) = held_up(&server, "");
    let mut running = shop.start(&["--timeout", "8s"]);
    until(&mut running, "the transfer", || proxy.is_stuck());
    server.signal(Signal::STOP);
    let output = running.wait().expect(11);
    server.signal(Signal::CONT);
    assert!(output.elapsed.as_secs() < 18, "{:?}", output.elapsed);
    drop(proxy);
    let manifest = shop.manifest();
    assert_eq!(manifest.state(), "timed_out");
    assert!(manifest.message("session-left").contains("did not answer in time"));
    until_gone(&server);
    Shop::with(&shop.read("holdpoint.toml")).env("REDIS_URL", server.url()).gate(&[]).expect(0);
}

#[test]
fn a_run_that_is_terminated_ends_its_session_on_the_server() {
    let server = large(&[]);
    let (proxy, shop) = held_up(&server, "");
    let mut running = shop.start(&[]);
    until(&mut running, "the transfer", || proxy.is_stuck());
    running.signal(Signal::TERM);
    running.wait().expect(143);
    // The line does not tell the server that its client is gone: it was asked, and told to end it.
    assert!(shop.manifest().message("session-ended").contains("had to be ended: client "));
    let left: Vec<_> = server.clients().into_iter().filter(|client| client.contains("name=holdpoint-")).collect();
    assert_eq!(left, [""; 0]);
    shop.assert_nothing_left();
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    let server = RedisServer::start();
    server.signal(Signal::STOP);
    let shop = shop(&server.url(), "connect_timeout = \"300ms\"");
    shop.gate(&[]).expect(10).says(&["did not answer in time"]);
    shop.manifest().assert_refused("refused", &["server-unreachable"]);
    server.signal(Signal::CONT);
    let port = server.port();
    drop(server);
    shop.gate(&[]).expect(10).says(&[&format!("cannot reach redis://127.0.0.1:{port}"), "refused"]);
    shop.manifest().assert_refused("refused", &["server-unreachable"]);
}

#[test]
fn a_server_whose_background_save_fails_refuses() {
    // It is to write a file, and may not.
    let server = RedisServer::with(&["--repl-diskless-sync", "no", "--enable-protected-configs", "yes"]);
    server.ask(&["SET", "a", "1"]);
    let folder = server.path("read-only");
    std::fs::create_dir(&folder).unwrap();
    server.ask(&["CONFIG", "SET", "dir", folder.to_str().unwrap()]);
    std::fs::remove_dir(&folder).unwrap();
    let shop = shop(&server.url(), "");
    shop.gate(&[]).expect(10).says(&["the server says that its background save failed"]);
    shop.manifest().assert_refused("refused", &["source-failed"]);
    assert_eq!(server.clients(), [""; 0]);
    server.ask(&["CONFIG", "SET", "dir", server.path("").to_str().unwrap()]);
    shop.gate(&[]).expect(0);
    assert!(shop.manifest().codes("warning").contains(&"preflight-failed"), "the server had said so");
}

#[test]
fn a_target_that_does_not_take_everything_is_told_of() {
    let origin = RedisServer::start();
    origin.tell("CONFIG SET rdbcompression no\nDEBUG POPULATE 64 key 100000\nSET large x\nSETRANGE large 3000000 x\n");
    let shop = shop(&origin.url(), "");
    shop.gate(&[]).expect(0);
    let key = "does not take a key (db0, string)";
    for (options, words) in [
        (["--maxmemory", "4mb"], [key, "OOM command not allowed"]),
        (["--proto-max-bulk-len", "1mb"], [key, "raise that"]),
        (["--replicaof", "127.0.0.1 1"], ["refuses SET", "READONLY"]),
    ] {
        let target = RedisServer::with(&options);
        let output = shop.holdpoint.run(["restore", "cache", "-e", "staging", "--target", &target.url()]).expect(17);
        output.says(&words);
    }
    // Keys that were thrown out again to make room are missed.
    let target = RedisServer::with(&["--maxmemory", "8mb", "--maxmemory-policy", "allkeys-random"]);
    let output = shop.holdpoint.run(["restore", "cache", "-e", "staging", "--target", &target.url()]).expect(17);
    output.says(&["keys less than the 65 that it took; the server evicted", "restore again with --force"]);
}

#[test]
fn a_target_that_was_emptied_before_the_restore_failed_is_told_of() {
    let origin = RedisServer::start();
    origin.ask(&["SET", "a", "1"]);
    let shop = shop(&origin.url(), "");
    shop.gate(&[]).expect(0);
    let target = RedisServer::start();
    target.ask(&["SET", "b", "1"]);
    target.ask(&["FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() return 1 end)"]);
    target.ask(&["ACL", "SETUSER", "u", "on", ">p", "~*", "+@all", "-time"]);
    let url = format!("redis://u:p@127.0.0.1:{}", target.port());
    let forced = ["restore", "cache", "-e", "staging", "--force", "--target", &url];
    shop.holdpoint.run(forced).expect(17).says(&["refuses TIME"]);
    assert_eq!(target.ask(&["GET", "b"]).trim(), "1", "nothing is deleted before all else is known to work");
    target.ask(&["ACL", "SETUSER", "u", "+time", "-function|flush"]);
    shop.holdpoint.run(forced).expect(17).says(&["refuses FUNCTION FLUSH", "was told to delete what it held"]);
    target.ask(&["ACL", "SETUSER", "u", "+function|flush"]);
    shop.holdpoint.run(forced).expect(0);
    assert_eq!(target.ask(&["GET", "a"]).trim(), "1");
}

#[test]
fn a_restore_that_is_killed_or_ended_marks_the_server_until_it_is_done_again() {
    let origin = RedisServer::start();
    fill(&origin);
    let shop = shop(&origin.url(), "");
    shop.gate(&[]).expect(0);
    for (signal, code) in [(Signal::KILL, None), (Signal::TERM, Some(143))] {
        let target = RedisServer::start();
        // The server's answers come as far as those to the first keys.
        let proxy = Proxy::start(target.port(), 12_000);
        let url = format!("redis://127.0.0.1:{}", proxy.port());
        let mut running = shop.holdpoint.start(["restore", "cache", "-e", "staging", "--target", &url]);
        until(&mut running, "the restore", || proxy.is_stuck());
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.code, code, "{}", ended.stderr);
        if code.is_some() {
            ended.says(&["holds a part of the snapshot now", "--force"]);
        }
        proxy.cut();
        assert_eq!(target.ask(&["EXISTS", "holdpoint:restore-incomplete"]), "1");
        let of_target = self::shop(&target.url(), "");
        of_target.gate(&[]).expect(12);
        assert!(of_target.manifest().message("content-incomplete").contains("did not come to its end"));
        let again = ["restore", "cache", "-e", "staging", "--target", &target.url()];
        shop.holdpoint.run(again).expect(17).says(&["holds a restore that did not come to its end", "--force"]);
        shop.holdpoint.run([&again[..], &["--force"]].concat()).expect(0);
        assert_eq!(everything(&target), everything(&origin));
        of_target.gate(&[]).expect(0);
    }
}

#[test]
fn a_file_goes_to_standard_output_as_it_was_captured() {
    let origin = RedisServer::start();
    fill(&origin);
    let shop = shop(&origin.url(), "");
    shop.gate(&[]).expect(0);
    let folder = shop.beside("restored");
    shop.holdpoint.run(["restore", "cache", "-e", "staging", "--target", folder.to_str().unwrap()]).expect(0);
    let output = shop.holdpoint.command(["restore", "cache", "-e", "staging", "--target", "-"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == std::fs::read(folder.join("cache.rdb")).unwrap());
}
