//! What is told before anything is dumped.

use super::{fill, shop_of};
use crate::gate::shop::Shop;
use crate::support::mariadb::{MariaDb, USER, wrap};

/// Runs the gate, which must refuse with one code, and leave nothing.
#[track_caller]
fn assert_refused(shop: &Shop, exit: u8, code: &str, messages: &[&str]) {
    shop.gate(&[]).expect(exit).refuses_in_words();
    let manifest = shop.manifest();
    manifest.assert_refused("refused", &[code]);
    let findings = manifest.0["decision"]["findings"].to_string();
    for message in messages {
        assert!(findings.contains(message), "no {message:?} in {:#}", manifest.0["decision"]);
    }
    shop.assert_nothing_left();
}

#[test]
fn a_server_that_is_not_the_right_one_refuses() {
    let server = MariaDb::start();
    // An empty server on the right port, as after a wrong host name: first without the database, then with an empty one.
    let shop = shop_of(&server.url("shop"), "");
    assert_refused(&shop, 10, "preflight-failed", &["there is no database `shop`", "freshly made"]);
    server.sql("CREATE DATABASE shop");
    assert_refused(&shop, 12, "below-min-tables", &["no tables"]);
    fill_again(&server);
    shop.gate(&[]).expect(0);
    server.sql("DELETE FROM shop.orders");
    shop.gate(&[]).expect(12);
    assert!(shop.manifest().message("table-emptied").contains("orders is empty, and had 1000 rows"));

    let wrong = server.url("shop").replace("s3cr3t", "s3cr3ts");
    assert_refused(
        &shop_of(&wrong, ""),
        10,
        "server-unreachable",
        &["1045", "Access denied", "check user and password"],
    );
    let nobody = format!("mariadb://{USER}@127.0.0.1:1/shop");
    assert_refused(&shop_of(&nobody, ""), 10, "server-unreachable", &["127.0.0.1:1", "see that the server runs"]);
    let open = format!("{}?ssl-mode=REQUIRED", server.url("shop"));
    assert_refused(&shop_of(&open, ""), 10, "server-unreachable", &["is not encrypted"]);
    // A server that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = server.url_at(silent.local_addr().unwrap().port(), "shop");
    assert_refused(&shop_of(&url, "connect_timeout = \"1s\""), 10, "server-unreachable", &["lets nobody in"]);
}

fn fill_again(server: &MariaDb) {
    server.sql("DROP DATABASE shop");
    fill(server);
}

#[test]
fn each_privilege_that_is_missing_is_named() {
    let server = MariaDb::start();
    fill(&server);
    server.sql("CREATE TABLE shop.secret (x int); CREATE VIEW shop.v AS SELECT * FROM shop.orders");
    let all = ["SELECT, SHOW VIEW, TRIGGER, EVENT ON shop.*", "SELECT ON mysql.proc"];
    let shop = shop_of(&server.url("shop"), "");
    server.only(&all);
    shop.gate(&[]).expect(0);
    assert_eq!(shop.manifest().source("orders")["content"]["tables"], 2);
    assert!(shop.manifest().source("orders")["content"]["binlog"]["file"].is_string());
    // A table that the user may not see would be left out without a word.
    server.only(&["SELECT ON shop.orders", "SHOW VIEW, TRIGGER, EVENT ON shop.*", "SELECT ON mysql.proc"]);
    assert_refused(
        &shop,
        10,
        "privilege-missing",
        &["may not see every table of shop", "GRANT SELECT ON `shop`.* TO 'holdpoint'@'%';"],
    );
    for (missing, message) in [
        ("SHOW VIEW", "definitions of the views"),
        ("TRIGGER", "triggers of shop"),
        ("EVENT", "events of shop"),
        ("SELECT ON mysql.proc", "procedures and functions"),
    ] {
        let rest = all.iter().filter(|grant| **grant != missing);
        let rest: Vec<_> = rest.map(|grant| grant.replace(&format!(", {missing}"), "")).collect();
        server.only(&rest.iter().map(String::as_str).collect::<Vec<_>>());
        assert_refused(
            &shop,
            10,
            "privilege-missing",
            &[message, &format!("GRANT {}", missing.split(" ON").next().unwrap())],
        );
    }
    // Several are told at once, and a role counts.
    server.only(&["SELECT ON mysql.proc", "SELECT ON shop.*"]);
    shop.gate(&[]).expect(10);
    assert_eq!(shop.manifest().codes("refusal"), ["privilege-missing"; 3]);
    server.sql(&format!(
        "CREATE ROLE dumper; GRANT SHOW VIEW, TRIGGER, EVENT ON shop.* TO dumper; GRANT dumper TO {USER}@'%'; SET DEFAULT ROLE dumper FOR {USER}@'%'"
    ));
    shop.gate(&[]).expect(0);
}

#[test]
fn programs_and_tables_that_cannot_be_trusted_are_told() {
    let server = MariaDb::start();
    fill(&server);
    let shop = shop_of(&server.url("shop"), "programs = \"programs\"");
    let programs = shop.path("programs");
    wrap(&programs, "mariadb", "exec $REAL \"$@\"");
    assert_refused(&shop, 10, "preflight-failed", &["mariadb-dump"]);
    for (version, message) in [
        (
            "mysqldump  Ver 10.14 Distrib 5.5.68-MariaDB, for Linux (x86_64)",
            "MariaDB 5.5, which is older than the server, MariaDB 10",
        ),
        (
            "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
            "leave out packages and sequences",
        ),
    ] {
        let script = format!(
            "[ \"$2\" = --version ] || [ \"$1\" = --version ] && {{ echo '{version}'; exit 0; }}\necho dumped >> dumped"
        );
        wrap(&programs, "mariadb-dump", &script);
        assert_refused(&shop, 10, "version-mismatch", &[message]);
        assert!(!shop.path("dumped").exists(), "it was dumped all the same");
    }
    wrap(&programs, "mariadb-dump", "exec $REAL \"$@\"");
    // A server that does not say which one it is might be any.
    let mute = "case \"$*\" in *@@hostname*) $REAL \"$@\" | sed 's/^[^\\t]*/8.0.36/';; *@@server_uuid*) echo 'ERROR 2013 (HY000): Lost' >&2; exit 1;; \
        *) exec $REAL \"$@\";; esac";
    wrap(&programs, "mariadb", mute);
    assert_refused(&shop, 10, "preflight-failed", &["Lost"]);
    wrap(&programs, "mariadb", "exec $REAL \"$@\"");
    server.sql("CREATE TABLE shop.old (x int) ENGINE=MyISAM; CREATE TABLE shop.fast (x int) ENGINE=MEMORY");
    shop.gate(&[]).expect(0);
    let manifest = shop.manifest();
    let message = manifest.message("not-transactional");
    assert!(message.contains("MEMORY, MyISAM") && message.contains("fast, old"), "{message}");
    server.sql("CREATE VIEW shop.broken AS SELECT x FROM shop.fast; DROP TABLE shop.fast");
    assert_refused(&shop, 10, "preflight-failed", &["no program can dump views", "broken"]);
    server.sql("DROP VIEW shop.broken");
    let asks = shop_of(&server.url("shop"), "schema_version_query = \"SELECT v FROM versions\"");
    assert_refused(&asks, 10, "preflight-failed", &["schema_version_query fails", "versions"]);
}
