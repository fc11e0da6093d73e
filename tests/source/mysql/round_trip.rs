//! What is captured comes back equal, also while it is used.

use super::{assert_no_password, fill, shop_of};
use crate::support::mariadb::{MariaDb, TELLTALE, wrap};
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A schema with everything that a dump must carry.
const RICH: &str = include_str!("rich.sql");

/// Returns everything of a database that must be equal, as the server says it.
fn everything(server: &MariaDb, database: &str) -> String {
    let tables = server.sql(&format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = '{database}' AND table_type = 'BASE TABLE' ORDER BY 1"
    ));
    let quoted = |name: &str| format!("`{database}`.`{}`", name.replace('`', "``"));
    let checked: Vec<_> = tables.lines().map(quoted).collect();
    let mut all = server.sql(&format!("CHECKSUM TABLE {} EXTENDED", checked.join(", ")));
    for table in &checked {
        all += &server.sql(&format!("SHOW CREATE TABLE {table}"));
    }
    for (what, columns) in [
        (
            "triggers",
            "trigger_name, event_manipulation, event_object_table, action_statement, action_timing, definer, sql_mode",
        ),
        ("events", "event_name, event_definition, interval_value, interval_field, starts, status, definer, sql_mode"),
        (
            "routines",
            "routine_name, routine_type, routine_definition, dtd_identifier, is_deterministic, definer, sql_mode",
        ),
        ("views", "table_name, REPLACE(view_definition, table_schema, ''), definer, security_type"),
    ] {
        let schema =
            if what == "views" { "table_schema".to_owned() } else { format!("{}_schema", what.trim_end_matches('s')) };
        all += &server.sql(&format!(
            "SELECT '{what}', {columns} FROM information_schema.{what} WHERE {schema} = '{database}' ORDER BY 2"
        ));
    }
    all += &server.sql(&format!(
        "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = '{database}'"
    ));
    all += &server.sql(&format!("SELECT next_not_cached_value FROM `{database}`.numbers"));
    all.replace(&format!("{database}."), "")
}

#[test]
fn a_rich_schema_comes_back_equal() {
    let (server, empty) = (MariaDb::start(), MariaDb::start());
    server.feed(RICH);
    let shop = shop_of(&server.url("shop"), "programs = \"programs\"\nexpect = { min_rows = { \"größe\" = 3 } }");
    // The programs tell what they were called with and what they saw.
    for name in ["mariadb", "mariadb-dump"] {
        let script =
            format!("echo \"$0 $*\" >> {0}/argv; env >> {0}/argv\nexec $REAL \"$@\"", shop.beside("").display());
        wrap(&shop.path("programs"), name, &script);
    }
    // What the user of the machine likes of these programs is not what is captured.
    std::fs::write(shop.holdpoint.home().join(".my.cnf"), "[mysqldump]\nwhere=1=0\n[client]\nhost=nowhere\n").unwrap();
    let mut running = shop.start(&["--html-out", "manifest.html"]);
    while !running.ended() {
        assert!(!shop.processes().concat().contains(TELLTALE), "the password is an argument");
    }
    let output = running.wait().expect(0);
    let manifest = shop.manifest();
    assert_eq!(manifest.codes("refusal"), [""; 0]);
    let record = manifest.source("orders");
    let content = &record["content"];
    assert_eq!(content["tables"], 6, "{record:#}");
    assert_eq!(content["rows"]["größe"], 3);
    assert_eq!((&content["rows"]["order`lines"], &content["rows"]["empty"]), (&json!(5000), &json!(0)));
    for (what, count) in [("views", 2), ("triggers", 1), ("routines", 3), ("events", 1), ("sequences", 1)] {
        assert_eq!(content[what], count, "{what}");
    }
    assert_eq!((&content["schema_version"], &content["schema_version_from"]), (&json!("1.1"), &json!("flyway")));
    let position = server.sql("SHOW MASTER STATUS");
    let position: Vec<_> = position.split('\t').collect();
    assert_eq!(content["binlog"]["file"], position[0]);
    assert_eq!(content["binlog"]["position"].to_string(), position[1]);
    assert_eq!(content["gtid"], server.sql("SELECT @@gtid_binlog_pos").trim());
    assert!(record["server_version"].as_str().unwrap().contains("MariaDB"), "{record:#}");
    assert_eq!(record["consistency"], "transaction");
    assert_eq!(server.sessions(), [""; 0]);

    // Nothing shows the password: not the arguments, not the output, not what was written.
    let argv = std::fs::read_to_string(shop.beside("argv")).unwrap();
    assert!(argv.contains("--single-transaction") && !argv.contains(TELLTALE), "{argv}");
    assert!(!format!("{}{}", output.stdout, output.stderr).contains(TELLTALE));
    assert_no_password(&shop.beside(""));

    // A second run finds the same bytes.
    shop.gate(&[]).expect(0);
    let again = shop.manifest();
    assert_eq!(again.source("orders")["bytes"], record["bytes"]);
    assert!(again.bytes_added() < 4096, "{} bytes are new", again.bytes_added());

    let before = everything(&server, "shop");
    let restore = ["restore", "orders", "--environment", "staging"];
    let to = |url: &str, more: &[&str]| shop.holdpoint.run(restore.iter().chain(&["--target", url]).chain(more));
    to(&empty.url("copy"), &[]).expect(0);
    assert_eq!(everything(&empty, "copy"), before);
    assert_eq!(empty.sql("SHOW TABLES FROM copy LIKE 'holdpoint%'"), "");
    // What is there is not overwritten unasked.
    empty.sql("INSERT INTO copy.empty VALUES (1); CREATE TABLE copy.later (x int)");
    to(&empty.url("copy"), &[]).expect(17).says(&["copy", "is not empty", "--force"]);
    assert_eq!(empty.sql("SELECT COUNT(*) FROM copy.empty").trim(), "1");
    to(&empty.url("copy"), &["--force"]).expect(0);
    assert_eq!(everything(&empty, "copy"), before);
    to(&empty.url("mysql"), &["--force"]).expect(17).says(&["of the server itself"]);
    // Where it came from, after a release that broke it.
    server.sql("DROP TABLE shop.log; DELETE FROM shop.parts; CREATE TABLE shop.new_feature (x int)");
    shop.holdpoint.run(restore).expect(17);
    shop.holdpoint.run(restore.iter().chain(&["--force"])).expect(0);
    assert_eq!(everything(&server, "shop"), before);
    assert!(!std::fs::read_to_string(shop.beside("argv")).unwrap().contains(TELLTALE));
    // And as a file, which any client takes.
    to(&shop.beside("out").display().to_string(), &[]).expect(0);
    assert!(std::fs::read_to_string(shop.beside("out/orders.sql")).unwrap().trim_end().ends_with("-- Dump completed"));
}

#[test]
fn transfers_go_on_and_the_copy_balances() {
    let server = MariaDb::start();
    server.feed(include_str!("accounts.sql"));
    let shop = shop_of(&server.url("shop"), "");
    let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for number in 0..3_u64 {
            let (server, stop, made) = (&server, &stop, &made);
            scope.spawn(move || {
                let mut session = server.session("shop");
                let mut at = number;
                while !stop.load(Ordering::Relaxed) {
                    at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let (one, two, cents) = (1 + (at >> 33) % 20_000, 1 + (at >> 13) % 20_000, at % 997);
                    session.ask(&format!("CALL transfer({one}, {two}, {cents} / 100)"));
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while made.load(Ordering::Relaxed) < 50 {
            std::thread::yield_now();
        }
        let before = made.load(Ordering::Relaxed);
        let output = shop.gate(&[]);
        let during = made.load(Ordering::Relaxed) - before;
        stop.store(true, Ordering::Relaxed);
        output.expect(0);
        assert!(during > 20, "only {during} transfers during the gate");
    });
    shop.holdpoint.run(["restore", "orders", "-e", "staging", "--target", &server.url("restored")]).expect(0);
    let restored = |sql: &str| server.sql(&format!("USE restored; {sql}")).trim().to_owned();
    assert_eq!(restored("SELECT SUM(balance) FROM accounts"), "20000000.00");
    // Each account is what its transfers make it: the two tables are of one moment.
    let wrong = "SELECT COUNT(*) FROM accounts a WHERE balance <> 1000 + \
        COALESCE((SELECT SUM(amount) FROM transfers t WHERE t.two = a.id), 0) - \
        COALESCE((SELECT SUM(amount) FROM transfers t WHERE t.one = a.id), 0)";
    server.sql("ALTER TABLE restored.transfers ADD INDEX (one), ADD INDEX (two)");
    assert_eq!(restored(wrong), "0");
    let (copied, now) = (restored("SELECT COUNT(*) FROM transfers"), server.sql("SELECT COUNT(*) FROM shop.transfers"));
    assert!(copied.parse::<u64>().unwrap() < now.trim().parse().unwrap(), "{copied} of {now}");
}

#[test]
fn all_databases_of_a_server_are_one_source() {
    let (server, other) = (MariaDb::start(), MariaDb::start());
    fill(&server);
    server.sql(
        "CREATE DATABASE `se-cond` CHARACTER SET latin1; CREATE TABLE `se-cond`.orders (x int); \
         INSERT INTO `se-cond`.orders VALUES (1), (2); CREATE VIEW `se-cond`.v AS SELECT * FROM shop.orders",
    );
    let settings = "schema_version_query = \"SELECT MAX(x) FROM `se-cond`.orders\"";
    let shop = shop_of(&server.url(""), settings);
    shop.gate(&[]).expect(0);
    let manifest = shop.manifest();
    let content = &manifest.source("orders")["content"];
    assert_eq!(content["rows"], json!({"shop.orders": 1000, "se-cond.orders": 2}));
    assert_eq!((&content["schema_version"], &content["views"]), (&json!("2"), &json!(1)));
    let to = |url: &str, more: &[&str]| {
        shop.holdpoint.run(["restore", "orders", "-e", "staging", "--target", url].iter().chain(more))
    };
    to(&other.url("shop"), &[]).expect(17).says(&["by their own names"]);
    to(&other.url(""), &[]).expect(0);
    assert_eq!(other.sql("SELECT COUNT(*), SUM(total) FROM `se-cond`.v").trim(), "1000\t500500.00");
    assert!(other.sql("SHOW CREATE DATABASE `se-cond`").contains("latin1"));
    to(&other.url(""), &[]).expect(17).says(&["is not empty"]);
}
