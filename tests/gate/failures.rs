//! A source that fails, hangs or is killed never yields a pass, whatever its kind; and nothing of it is left.

use super::shop::{Shop, names, shell, until};
use rusqlite::Connection;
use rustix::process::Signal;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};

/// How a run must end.
struct Expected {
    exit: u8,
    state: &'static str,
    codes: &'static [&'static str],
    message: &'static str,
}

const TIMED_OUT: Expected =
    Expected { exit: 11, state: "timed_out", codes: &["timed-out"], message: "the deadline passed" };
const TERMINATED: Expected =
    Expected { exit: 143, state: "cancelled", codes: &["terminated"], message: "terminated by SIGTERM" };

fn refused(codes: &'static [&'static str], message: &'static str) -> Expected {
    Expected { exit: 10, state: "refused", codes, message }
}

/// Returns a configuration with one source.
fn source(kind: &str, settings: &str) -> String {
    format!(
        "[gate]\nretry = {{ attempts = 1 }}\n\n[[source]]\nname = \"orders\"\nkind = \"{kind}\"\n{settings}\nrequired = true\n"
    )
}

fn command(script: &str) -> String {
    source("command", &format!("command = {}", shell(script)))
}

/// Makes a file of one tebibyte in which there is nothing: no reader comes to its end in the time of a test.
fn endless(shop: &Shop) {
    File::create(shop.path("data/endless")).unwrap().set_len(1 << 40).unwrap();
}

fn database(shop: &Shop) -> Connection {
    let connection = Connection::open(shop.path("shop.db")).unwrap();
    connection.execute_batch("CREATE TABLE orders (total); INSERT INTO orders VALUES (zeroblob(50000))").unwrap();
    connection
}

/// Runs the gate, which must end as expected, and leave nothing; the same source must not matter where it is not required.
#[track_caller]
fn assert_fails(shop: &Shop, more: &[&str], expected: &Expected) {
    let output = shop.gate(more).expect(expected.exit);
    output.refuses_in_words();
    assert_record(shop, expected);
}

#[track_caller]
fn assert_record(shop: &Shop, expected: &Expected) {
    let manifest = shop.manifest();
    manifest.assert_refused(expected.state, expected.codes);
    assert!(manifest.message(expected.codes[0]).contains(expected.message), "{:#}", manifest.0["decision"]);
    assert!(manifest.source("orders").get("snapshot").is_none_or(|snapshot| snapshot.is_null()));
    assert_eq!(names(&shop.place("staging").join("repository/snapshots")), [""; 0], "a snapshot is visible");
    shop.assert_nothing_left();
}

/// Runs the gate with the source declared as not required, beside one that is well: the failure is a warning.
#[track_caller]
fn assert_softened(shop: &Shop, expected: &Expected) {
    let text = shop.read("holdpoint.toml").replace("required = true", "required = false");
    shop.write("holdpoint.toml", text).write("well/a", "a");
    shop.gate(&["well"]).expect(0);
    let manifest = shop.manifest();
    assert_eq!(manifest.state(), "passed");
    assert!(manifest.codes("warning").contains(&expected.codes[0]), "{:#}", manifest.0["decision"]);
    assert_eq!(manifest.source("well")["outcome"], "verified");
    assert_ne!(manifest.source("orders")["outcome"], "verified");
    shop.assert_nothing_left();
}

/// Starts the gate and terminates it once it captures, which it would do for ever.
#[track_caller]
fn assert_terminated(shop: &Shop) {
    let mut running = shop.start(&[]);
    let locks = shop.place("staging").join("repository/locks");
    until(&mut running, "the capture", || !names(&locks).is_empty());
    running.signal(Signal::TERM);
    running.wait().expect(TERMINATED.exit).refuses_in_words();
    assert_record(shop, &TERMINATED);
}

#[test]
fn a_command_that_exits_3_refuses() {
    let shop = Shop::with(&command("echo half of it; echo no such table >&2; exit 3"));
    let expected = refused(&["source-failed"], "sh exited 3: no such table");
    assert_fails(&shop, &[], &expected);
    assert_eq!(shop.manifest().source("orders")["outcome"], "failed");
    assert_softened(&shop, &expected);
}

#[test]
fn a_command_that_is_killed_refuses() {
    let shop = Shop::with(&command("echo half of it; kill -KILL $$"));
    let expected = refused(&["source-failed"], "SIGKILL");
    assert_fails(&shop, &[], &expected);
    assert_softened(&shop, &expected);
}

#[test]
fn a_command_that_leaves_a_process_behind_is_cleaned_up_after() {
    let shop = Shop::with(&command("sleep 1000 >/dev/null 2>&1 & echo half of it; exit 3"));
    assert_fails(&shop, &[], &refused(&["source-failed"], "sh exited 3"));
}

#[test]
fn a_command_that_hangs_is_ended_by_the_deadline() {
    let shop = Shop::with(&command("echo half of it; sleep 1000"));
    assert_fails(&shop, &["--timeout", "2s"], &TIMED_OUT);
}

#[test]
fn a_command_ends_with_the_gate() {
    assert_terminated(&Shop::with(&command("echo half of it; sleep 1000")));
}

#[test]
fn a_program_that_does_not_exist_refuses() {
    let shop = Shop::with(&source("command", "command = [\"no-such-program\"]"));
    assert_fails(&shop, &[], &refused(&["preflight-failed"], "cannot find the program no-such-program"));
}

#[test]
fn a_path_that_is_missing_refuses() {
    let shop = Shop::with(&source("files", "paths = [\"data\", \"missing\"]"));
    let expected = refused(&["path-missing"], "missing does not exist");
    assert_fails(&shop, &[], &expected);
    shop.write("missing", "here it is");
    shop.gate(&[]).expect(0);
    shop.restic("staging").check();
}

#[test]
fn a_file_that_cannot_be_read_refuses() {
    // Reading the first page of a process's memory fails, even for root.
    let memory = format!("/proc/{}/mem", std::process::id());
    let shop = Shop::with(&source("files", &format!("paths = [\"data\", \"{memory}\"]")));
    let expected = refused(&["source-unreadable"], "/mem");
    assert_fails(&shop, &[], &expected);
}

#[test]
fn files_without_end_are_ended_by_the_deadline() {
    let shop = Shop::with(&source("files", "paths = [\"data\"]"));
    endless(&shop);
    assert_fails(&shop, &["--timeout", "2s"], &TIMED_OUT);
    fs::remove_file(shop.path("data/endless")).unwrap();
    shop.gate(&[]).expect(0);
    shop.restic("staging").check();
}

#[test]
fn files_are_left_alone_when_the_gate_is_terminated() {
    let shop = Shop::with(&source("files", "paths = [\"data\"]"));
    endless(&shop);
    assert_terminated(&shop);
}

#[test]
fn what_is_no_database_refuses() {
    let shop = Shop::with(&source("sqlite", "path = \"shop.db\""));
    let expected = refused(&["path-missing"], "shop.db does not exist");
    assert_fails(&shop, &[], &expected);
    shop.write("shop.db", "this is not a database".repeat(100));
    let expected = refused(&["preflight-failed"], "is not an SQLite database");
    assert_fails(&shop, &[], &expected);
    assert_softened(&shop, &expected);
}

#[test]
fn a_damaged_database_refuses() {
    let shop = Shop::with(&source("sqlite", "path = \"shop.db\""));
    drop(database(&shop));
    let mut file = File::options().write(true).open(shop.path("shop.db")).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&[0xff; 8192]).unwrap();
    let expected = refused(&["source-failed"], "shop.db is damaged");
    assert_fails(&shop, &[], &expected);
    assert_softened(&shop, &expected);
}

#[test]
fn a_database_that_is_held_for_ever_is_given_up_at_the_deadline() {
    let shop = Shop::with(&source("sqlite", "path = \"shop.db\""));
    let holder = database(&shop);
    holder.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_fails(&shop, &["--timeout", "3s"], &TIMED_OUT);
    assert_terminated(&shop);
    holder.execute_batch("COMMIT").unwrap();
    shop.gate(&[]).expect(0);
    shop.restic("staging").check();
}

#[test]
fn what_is_transient_is_tried_again_and_told() {
    let config = command("echo x >> tries; test $(wc -l < tries) = 3 && echo whole");
    let shop = Shop::with(&config.replace("attempts = 1", "attempts = 3, backoff = \"10ms\""));
    shop.gate(&[]).expect(0);
    let manifest = shop.manifest();
    let attempts = manifest.source("orders")["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3);
    assert!(attempts[0]["error"].as_str().unwrap().contains("exited 1") && attempts[2].get("error").is_none());
    shop.restic("staging").check();
    fs::remove_file(shop.path("tries")).unwrap();
    let config = shop.read("holdpoint.toml").replace("attempts = 3", "attempts = 2");
    shop.write("holdpoint.toml", config);
    shop.gate(&[]).expect(10);
    assert_eq!(shop.manifest().source("orders")["attempts"].as_array().unwrap().len(), 2);
}
