//! Restores that are killed: what is there does not look complete, and the same command works again.

use crate::gate::shop::{Shop, names, until};
use crate::support::holdpoint::Running;
use crate::support::{sample, tree, wait};
use holdpoint::repository::restore::MARKER;
use rusqlite::Connection;
use rustix::process::Signal;
use std::fs;
use std::path::Path;

/// Both ways in which a restore ends before its time, and the exit code.
const ENDS: [(Signal, Option<i32>); 2] = [(Signal::KILL, None), (Signal::TERM, Some(143))];

/// Starts a restore in `folder`, and ends it once something is written there and `happened`.
#[track_caller]
fn end_at(shop: &Shop, arguments: &[&str], folder: &Path, end: (Signal, Option<i32>), happened: impl Fn() -> bool) {
    let running = shop.holdpoint.start(arguments);
    let has_happened = wait::for_change(&[folder], running.pid(), happened);
    assert!(has_happened, "the restore ended before: {}", running.stderr());
    finish(shop, running, end);
}

#[track_caller]
fn finish(shop: &Shop, running: Running, (signal, code): (Signal, Option<i32>)) {
    running.signal(signal);
    let ended = running.wait();
    assert_eq!(ended.code, code, "{}", ended.stderr);
    // What it started dies with it, if it does so by its own hand or not.
    while !shop.processes().is_empty() {}
}

#[test]
fn files_are_marked_as_incomplete_until_all_of_them_are_there() {
    let shop = Shop::new();
    for number in 0..1500 {
        shop.write(&format!("data/{}/{number}", number % 40), sample::noise(40_000, number));
    }
    shop.gate(&["data"]).expect(0);
    let root = shop.path("data").canonicalize().unwrap();
    for end in ENDS {
        let target = shop.beside("target");
        fs::create_dir(&target).unwrap();
        let restore = ["restore", "data", "-e", "staging", "--target", target.to_str().unwrap()];
        let marker = target.join(MARKER);
        end_at(&shop, &restore, &target, end, || marker.exists());
        assert!(marker.exists(), "what is there looks complete");
        shop.holdpoint.run(restore).expect(2).says(&["is not empty", "--force"]);
        assert!(marker.exists());
        shop.holdpoint.run([&restore[..], &["--force"]].concat()).expect(0);
        tree::assert_same(&root, &target.join(root.strip_prefix("/").unwrap()));
        assert!(!marker.exists());
        fs::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn a_database_in_a_file_is_the_old_one_or_the_new_one() {
    let shop = Shop::with("[[source]]\nname = \"orders\"\nkind = \"sqlite\"\npath = \"db/orders.sqlite\"\n");
    shop.write("db/orders.sqlite", "");
    let path = shop.path("db/orders.sqlite");
    let sql = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let sum = || {
        let connection = Connection::open(&path).unwrap();
        connection.query_row("SELECT sum(length(x)) FROM orders", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    sql("CREATE TABLE orders (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000) \
         INSERT INTO orders SELECT randomblob(10000) FROM n");
    shop.gate(&[]).expect(0);
    sql("DELETE FROM orders WHERE rowid > 3; VACUUM");
    let folder = shop.path("db");
    let temporary = || names(&folder).iter().any(|name| name.starts_with(".holdpoint-restore-"));
    let restore = ["restore", "orders", "-e", "staging", "--force"];
    for end in ENDS {
        end_at(&shop, &restore, &folder, end, temporary);
        assert_eq!(sum(), 30_000, "the old database is there, whole");
        assert_eq!(temporary(), end.1.is_none(), "only who is killed leaves a file, by a name of its own");
        for name in names(&folder).iter().filter(|name| name.starts_with('.')) {
            fs::remove_file(folder.join(name)).unwrap();
        }
    }
    // Where there was none, there is none.
    fs::remove_file(&path).unwrap();
    end_at(&shop, &restore[..4], &folder, ENDS[0], temporary);
    assert!(!path.exists());
    shop.holdpoint.run(&restore[..4]).expect(0);
    assert_eq!(sum(), 40_000_000);
}

#[test]
fn a_program_that_is_fed_does_not_take_our_death_for_the_end_of_its_input() {
    let restore =
        "head -c 100000 > part; echo > begun; while [ ! -e go ]; do sleep 0.02; done; cat >> part; mv part restored";
    let shop = Shop::with(&format!(
        "[[source]]\nname = \"queue\"\nkind = \"command\"\ncommand = [\"cat\", \"queue\"]\nrestore = {}\n",
        crate::gate::shop::shell(restore)
    ));
    let noise = sample::noise(6 << 20, 3);
    shop.write("queue", &noise);
    shop.gate(&[]).expect(0);
    let restore = ["restore", "queue", "-e", "staging"];
    for end in ENDS {
        let mut running = shop.holdpoint.start(restore);
        until(&mut running, "the program", || shop.path("begun").exists());
        // Whoever lives on would go on now, with a part of its input.
        if end.1.is_none() {
            running.signal(Signal::STOP);
            shop.write("go", "");
        }
        finish(&shop, running, end);
        assert!(!shop.path("restored").exists(), "a part was taken for the whole");
        for name in ["begun", "go", "part"] {
            let _ = fs::remove_file(shop.path(name));
        }
    }
    shop.write("go", "");
    shop.holdpoint.run(restore).expect(0);
    assert!(fs::read(shop.path("restored")).unwrap() == noise);
}
