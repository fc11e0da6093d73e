//! What goes wrong in the middle refuses, leaves nothing on the server, and does not spoil the next run.

use super::{assert_no_password, fill, shop_of};
use crate::gate::shop::{Shop, names, until};
use crate::support::holdpoint::Running;
use crate::support::mariadb::{MariaDb, Proxy, Session, kill_children, wrap};
use rustix::process::Signal;

/// Takes a table for a session alone, as a migration does; a dump waits for it.
fn lock(server: &MariaDb) -> Session {
    let mut session = server.session("shop");
    assert_eq!(session.ask("LOCK TABLES orders WRITE; SELECT 'locked'"), "locked");
    session
}

fn waits(server: &MariaDb) -> bool {
    server.sessions().iter().any(|session| session.contains("metadata lock"))
}

/// Starts a gate whose dump comes to wait for the locked table.
fn start_and_wait(shop: &Shop, server: &MariaDb, more: &[&str]) -> Running {
    let mut running = shop.start(more);
    until(&mut running, "the dump waits", || waits(server));
    running
}

#[track_caller]
fn assert_failed(shop: &Shop, running: Running, codes: &[&str], message: &str) {
    running.wait().expect(10).refuses_in_words();
    let manifest = shop.manifest();
    manifest.assert_refused("refused", codes);
    assert!(manifest.0["decision"].to_string().contains(message), "{:#}", manifest.0["decision"]);
    assert_eq!(names(&shop.place("staging").join("repository/snapshots")), [""; 0], "a snapshot is visible");
    shop.assert_nothing_left();
    assert_no_password(&shop.beside(""));
}

#[test]
fn a_dump_that_is_not_whole_refuses() {
    let server = MariaDb::start();
    fill(&server);
    server.sql(
        "CREATE TABLE shop.other (x int); CREATE TRIGGER shop.t BEFORE INSERT ON shop.other FOR EACH ROW SET @x = 1",
    );
    let shop = shop_of(&server.url("shop"), "programs = \"programs\"");
    let dump = |script: &str| {
        wrap(&shop.path("programs"), "mariadb", "exec $REAL \"$@\"");
        // Options come before `--`, the first of them stays first.
        let version = "[ \"$1\" = --version ] && exec $REAL \"$@\"\nfirst=$1\nshift";
        wrap(&shop.path("programs"), "mariadb-dump", &format!("{version}\n{script}"));
    };
    // The case of 2017: a few bytes, and no failure.
    for (script, message) in [
        ("printf -- '-- MariaDB dump'", "`-- Dump completed` is not at its end"),
        ("$REAL $first \"$@\" | head -c 3000", "it is cut off after"),
        ("$REAL $first \"$@\" | sed '$d'", "`-- Dump completed` is not at its end"),
        (
            "exec $REAL $first --ignore-table=shop.other \"$@\"",
            "lacks what the server listed: 1 tables (other), 1 of 1 triggers",
        ),
        ("$REAL $first \"$@\" | grep -iv trigger", "1 of 1 triggers"),
        ("true", "`-- Dump completed` is not at its end"),
    ] {
        dump(script);
        shop.gate(&[]).expect(12).refuses_in_words();
        let manifest = shop.manifest();
        assert!(manifest.message("content-incomplete").contains(message), "{script}: {:#}", manifest.0["decision"]);
        assert_eq!(names(&shop.place("staging").join("repository/snapshots")), [""; 0], "{script}");
        shop.assert_nothing_left();
    }
    // One that fails says why, and one that is killed was killed.
    dump("exec $REAL $first --no-such-option \"$@\"");
    assert_failed(&shop, shop.start(&[]), &["source-failed"], "no-such-option");
    dump("$REAL $first \"$@\" | head -c 3000; kill -KILL $$");
    assert_failed(&shop, shop.start(&[]), &["source-failed"], "SIGKILL");
    // A migration that runs meanwhile: its table is of another moment than the rest.
    let alter = format!(
        "mariadb --no-defaults --user=root --socket={} --execute='ALTER TABLE shop.other ADD COLUMN y int'",
        server.socket()
    );
    dump(&format!("$REAL $first \"$@\" || exit $?; {alter}"));
    assert_failed(&shop, shop.start(&[]), &["source-failed"], "the schema changed while it was dumped");
    dump("exec $REAL $first \"$@\"");
    // Another server answers at every question, as behind an address that several share.
    let renamed =
        "case \"$*\" in *@@hostname*) $REAL \"$@\" | sed \"s/\\t.*\\t/\\t$$\\t/\";; *) exec $REAL \"$@\";; esac";
    wrap(&shop.path("programs"), "mariadb", renamed);
    assert_failed(&shop, shop.start(&[]), &["source-failed"], "is not the server that it was a moment ago");
    wrap(&shop.path("programs"), "mariadb", "exec $REAL \"$@\"");
    shop.gate(&[]).expect(0);
}

#[test]
fn a_table_that_stays_locked_is_the_deadlines_matter_and_nothing_waits_on() {
    let server = MariaDb::start();
    fill(&server);
    server.only(&["SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.*", "SELECT ON mysql.proc"]);
    let shop = shop_of(&server.url("shop"), "");
    let migration = lock(&server);
    let running = start_and_wait(&shop, &server, &["--timeout", "4s"]);
    running.wait().expect(11).refuses_in_words();
    let manifest = shop.manifest();
    manifest.assert_refused("timed_out", &["timed-out"]);
    // The server did not notice that its client was gone: the gate told it.
    let ended = manifest.message("session-ended");
    assert!(ended.contains("metadata lock") && ended.contains("orders"), "{ended}");
    assert_eq!(server.sessions(), [""; 0], "sessions are left");
    shop.assert_nothing_left();
    drop(migration);
    // A long query is in nobody's way: nothing is locked or flushed for the position of the binary log.
    server.session("shop").send("SELECT SLEEP(1000) FROM orders");
    shop.gate(&[]).expect(0);
    assert!(shop.manifest().source("orders")["content"]["binlog"]["file"].is_string());
    assert_eq!(server.sql("SHOW GLOBAL STATUS LIKE 'Com_flush'").trim(), "Com_flush\t0");
}

#[test]
fn a_dump_that_loses_its_server_refuses() {
    let mut server = MariaDb::start();
    fill(&server);
    // The dump program is killed while it waits.
    let shop = shop_of(&server.url("shop"), "");
    let migration = lock(&server);
    let running = start_and_wait(&shop, &server, &[]);
    kill_children("mariadb-dump", &shop.processes());
    assert_failed(&shop, running, &["source-failed"], "SIGKILL");
    assert_eq!(server.sessions(), [""; 0], "sessions are left");

    // The connection is cut: the server still waits for the lock, and the gate reaches it again.
    let proxy = Proxy::to(server.address());
    let cut = shop_of(&server.url_at(proxy.port(), "shop"), "");
    let running = start_and_wait(&cut, &server, &[]);
    proxy.cut();
    assert_failed(&cut, running, &["source-failed"], "Lost connection");
    assert_eq!(server.sessions(), [""; 0], "sessions are left");

    // The server is killed: nobody can say what is left there.
    let running = start_and_wait(&shop, &server, &[]);
    server.kill();
    drop(migration);
    assert_failed(&shop, running, &["source-failed", "session-left"], "Lost connection");
    server.run();
    assert_eq!(server.sessions(), [""; 0], "sessions are left");
    shop.gate(&[]).expect(0);
}

#[test]
fn a_restore_that_breaks_off_is_seen() {
    let server = MariaDb::start();
    fill(&server);
    server.sql("USE shop; INSERT INTO orders SELECT seq, 0 FROM seq_1001_to_10000");
    let shop = shop_of(&server.url("shop"), "");
    shop.gate(&[]).expect(0);
    // The server takes the definition of a table, and not the rows: they come as one packet.
    server.sql("CREATE DATABASE copy; SET GLOBAL max_allowed_packet = 1024");
    let restore = |more: &[&str]| {
        shop.holdpoint.run(["restore", "orders", "-e", "staging", "--target", &server.url("copy")].iter().chain(more))
    };
    restore(&[]).expect(17).says(&["copy", "is incomplete", "--force"]);
    server.sql("SET GLOBAL max_allowed_packet = 16777216");
    restore(&[]).expect(17).says(&["holds a restore that did not come to its end"]);
    let of_copy = shop_of(&server.url("copy"), "");
    of_copy.gate(&[]).expect(10);
    assert!(of_copy.manifest().message("preflight-failed").contains("did not come to its end"));
    restore(&["--force"]).expect(0);
    assert_eq!(server.sql("SELECT COUNT(*), SUM(total) FROM copy.orders").trim(), "10000\t500500.00");
    of_copy.gate(&[]).expect(0);
}

#[test]
fn a_restore_that_is_interrupted_leaves_no_statement_running() {
    let server = MariaDb::start();
    fill(&server);
    let shop = shop_of(&server.url("shop"), "programs = \"programs\"");
    // The restore comes to wait for a table, as it does for one that the application holds.
    let feeds = "case \"$*\" in *--binary-mode*) { echo 'SELECT * FROM shop.orders;'; cat; } | $REAL \"$@\";; *) exec $REAL \"$@\";; esac";
    wrap(&shop.path("programs"), "mariadb", feeds);
    wrap(&shop.path("programs"), "mariadb-dump", "exec $REAL \"$@\"");
    shop.gate(&[]).expect(0);
    let other = lock(&server);
    let url = server.url("copy");
    let arguments = ["restore", "orders", "-e", "staging", "--target", &url];
    let forced = [&arguments[..], &["--force"]].concat();
    let mut running = shop.holdpoint.start(arguments);
    until(&mut running, "the restore waits", || waits(&server));
    running.signal(Signal::INT);
    running.wait().expect(130).says(&["copy", "is incomplete", "--force"]);
    assert_eq!(server.sessions(), [""; 0], "sessions are left");
    // Killed, it can tell nobody: the database does.
    let mut running = shop.holdpoint.start(&forced);
    until(&mut running, "the restore waits", || waits(&server));
    running.signal(Signal::KILL);
    assert_eq!(running.wait().code, None);
    while !shop.processes().is_empty() {}
    drop(other);
    shop.holdpoint.run(arguments).expect(17).says(&["holds a restore that did not come to its end", "--force"]);
    shop.holdpoint.run(&forced).expect(0);
    assert_eq!(server.sql("SELECT COUNT(*), SUM(total) FROM copy.orders").trim(), "1000\t500500.00");
    shop.holdpoint.run(arguments).expect(17).says(&["is not empty"]);
}

#[test]
fn databases_that_a_restore_dropped_are_told() {
    let server = MariaDb::start();
    fill(&server);
    server.sql("CREATE DATABASE zweite; CREATE TABLE zweite.t (x int)");
    let shop = shop_of(&server.url(""), "programs = \"programs\"");
    wrap(&shop.path("programs"), "mariadb", "exec $REAL \"$@\"");
    wrap(&shop.path("programs"), "mariadb-dump", "exec $REAL \"$@\"");
    shop.gate(&[]).expect(0);
    let restore = || shop.holdpoint.run(["restore", "orders", "-e", "staging", "--force"]);
    let denies = "case \"$*\" in *'CREATE DATABASE'*zweite*) echo denied >&2; exit 1;; *) exec $REAL \"$@\";; esac";
    wrap(&shop.path("programs"), "mariadb", denies);
    restore().expect(17).says(&["shop, zweite on", "are incomplete", "cannot make the database zweite", "denied"]);
    wrap(&shop.path("programs"), "mariadb", "exec $REAL \"$@\"");
    restore().expect(0);
    assert_eq!(server.sql("SELECT COUNT(*) FROM shop.orders").trim(), "1000");
}
