//! Dumps that break off: none is a snapshot, nothing stays on the server, and the next gate passes.

use super::{shop, shop_with, wrappers};
use crate::gate::shop::{Shop, names, until};
use crate::support::holdpoint::Running;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use rustix::process::{Pid, Signal, kill_process};
use std::io::Write;
use std::process::{Child, ChildStdin, Stdio};

/// How much of a dump gets through before it is held up, in bytes: a part of the first large table.
const PART: u64 = 1 << 20;

/// A working tree whose `pg_dump` goes through a proxy that holds it up in the middle; everything else goes straight.
fn held_up(server: &Postgres, database: &str) -> (Shop, Proxy) {
    let proxy = Proxy::start(server.port(), PART);
    let shop = shop(&server.url(database), "");
    let programs = shop.path("bin");
    wrappers(&programs, &format!("PGPORT={} exec \"$BIN/pg_dump\" \"$@\"", proxy.port()));
    let text = shop.read("holdpoint.toml");
    let line = text.lines().find(|line| line.starts_with("programs")).unwrap();
    shop.write("holdpoint.toml", text.replace(line, &format!("programs = \"{}\"", programs.display())));
    (shop, proxy)
}

fn until_held_up(running: &mut Running, proxy: &Proxy) {
    until(running, "the middle of the dump", || proxy.is_stuck());
}

/// Asserts that a run was refused for a failed source, and that nothing of it is left.
#[track_caller]
fn assert_failed(shop: &Shop, server: &Postgres, text: &str) {
    let manifest = shop.manifest();
    manifest.assert_refused("refused", &["source-failed"]);
    assert!(manifest.message("source-failed").contains(text), "{:#}", manifest.0["decision"]);
    assert_eq!(names(&shop.place("staging").join("repository/snapshots")), [""; 0], "a snapshot is visible");
    assert_eq!(server.left(), "");
    shop.assert_nothing_left();
}

/// Runs the gate with the real programs, which must pass.
#[track_caller]
fn assert_next_passes(shop: &Shop) {
    let text = shop.read("holdpoint.toml");
    let line = text.lines().find(|line| line.starts_with("programs")).unwrap();
    let real = crate::support::postgres::programs_15();
    shop.write("holdpoint.toml", text.replace(line, &format!("programs = \"{}\"", real.display())));
    shop.gate(&[]).expect(0);
    shop.restic("staging").check();
}

#[test]
fn a_dump_of_a_few_bytes_is_no_snapshot() {
    let server = Postgres::shared();
    server.create("few", "CREATE TABLE orders AS SELECT 1 AS id");
    let shop = shop(&server.url("few"), "");
    for (script, text) in [
        ("printf 'PGDMP oops'; exit 0", "it has version"),
        ("echo oops; exit 0", "not that of an archive"),
        ("\"$BIN/pg_dump\" \"$@\" | head --bytes=-3; exit 0", "it ends at byte"),
        ("exec \"$BIN/pg_dump\" --schema-only \"$@\"", "the definition of public.orders, and not the rows"),
    ] {
        let programs = shop.path("bin");
        wrappers(&programs, script);
        let shop = shop_with(&server.url("few"), &programs, "");
        shop.gate(&[]).expect(12).refuses_in_words();
        let manifest = shop.manifest();
        assert_eq!(manifest.codes("refusal"), ["content-incomplete"], "{:#}", manifest.0["decision"]);
        let message = manifest.message("content-incomplete");
        assert!(message.contains(text), "{script}: {message}");
        assert_eq!(names(&shop.place("staging").join("repository/snapshots")), [""; 0], "a snapshot is visible");
    }
}

#[test]
fn a_dump_that_is_killed_refuses() {
    let server = Postgres::shared();
    server.create("killed", "").pgbench("killed", 1);
    let (shop, proxy) = held_up(server, "killed");
    let mut running = shop.start(&[]);
    until_held_up(&mut running, &proxy);
    let processes = shop.processes();
    let line = processes.iter().find(|line| line.contains("bin/pg_dump --")).unwrap_or_else(|| panic!("{processes:?}"));
    let pid = line.split(['/', ':']).nth(2).unwrap().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    running.wait().expect(10).refuses_in_words();
    assert_failed(&shop, server, "SIGKILL");
    assert_next_passes(&shop);
}

#[test]
fn a_connection_that_is_cut_refuses() {
    let server = Postgres::shared();
    server.create("cut", "").pgbench("cut", 1);
    let (shop, proxy) = held_up(server, "cut");
    let mut running = shop.start(&[]);
    until_held_up(&mut running, &proxy);
    proxy.cut();
    running.wait().expect(10).refuses_in_words();
    assert_failed(&shop, server, "server closed the connection unexpectedly");
    assert_next_passes(&shop);
}

#[test]
fn a_server_that_stops_in_the_middle_refuses() {
    let mut server = Postgres::start();
    server.create("stopped", "").pgbench("stopped", 1);
    let (shop, proxy) = held_up(&server, "stopped");
    let mut running = shop.start(&[]);
    until_held_up(&mut running, &proxy);
    server.stop();
    proxy.cut();
    running.wait().expect(10).refuses_in_words();
    server.restart();
    assert_failed(&shop, &server, "pg_dump");
    assert_next_passes(&shop);
}

#[test]
fn a_dump_ends_with_the_gate_and_its_sessions_with_it() {
    let server = Postgres::shared();
    server.create("terminated", "").pgbench("terminated", 1);
    let (shop, proxy) = held_up(server, "terminated");
    let mut running = shop.start(&[]);
    until_held_up(&mut running, &proxy);
    assert!(server.left().contains("session"), "no session is there to be left");
    running.signal(Signal::TERM);
    running.wait().expect(143).refuses_in_words();
    assert_eq!(server.left(), "");
    shop.assert_nothing_left();
    assert_next_passes(&shop);
}

/// A session that holds a table as a migration does.
struct Migration {
    psql: Child,
    stdin: ChildStdin,
}

impl Migration {
    fn holding(server: &Postgres, database: &str, table: &str) -> Self {
        let mut psql = server.client("psql", database);
        let mut psql = psql.arg("-Xq").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut stdin = psql.stdin.take().unwrap();
        writeln!(stdin, "BEGIN; ALTER TABLE {table} ADD COLUMN vat numeric;").unwrap();
        let held =
            "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation IS NOT NULL";
        while server.psql(database, held) == "0" {}
        Self { psql, stdin }
    }

    fn end(mut self) {
        writeln!(self.stdin, "ROLLBACK;").unwrap();
        drop(self.stdin);
        self.psql.wait().unwrap();
    }
}

#[test]
fn a_table_that_is_held_past_the_deadline_refuses_and_says_by_whom() {
    let server = Postgres::start();
    server.create("shop", "CREATE TABLE orders AS SELECT 1 AS id; CREATE TABLE others (id int)");
    for settings in ["", "jobs = 2"] {
        let migration = Migration::holding(&server, "shop", "orders");
        let shop = shop(&server.url("shop"), settings);
        let output = shop.gate(&["--timeout", "3s"]).expect(11);
        output.refuses_in_words();
        assert!(output.elapsed.as_secs() < 13, "{:?}", output.elapsed);
        let manifest = shop.manifest();
        assert_eq!(manifest.state(), "timed_out");
        assert!(manifest.codes("warning").contains(&"preflight-failed"), "{:#}", manifest.0["decision"]);
        assert!(manifest.message("preflight-failed").contains("holds public.orders exclusively"));
        let findings = manifest.0["decision"]["findings"].to_string();
        assert!(findings.contains("the dump was waiting for orders, which session"), "{findings}");
        assert!(findings.contains("ALTER TABLE orders ADD COLUMN vat"), "{findings}");
        assert_eq!(server.left(), "");
        let waiting = server.psql("shop", "SELECT count(*) FROM pg_locks WHERE NOT granted");
        assert_eq!(waiting, "0");
        shop.assert_nothing_left();
        migration.end();
        shop.gate(&[]).expect(0);
    }
}
