//! What a gate finds in a database, and what stock tools make of it.

use super::{SCHEMA, everything, restore, shop};
use crate::gate::shop::STAGING;
use crate::support::environment::must;
use crate::support::full;
use crate::support::postgres::Postgres;
use serde_json::json;

/// Fills a database with some of everything.
fn fill(server: &Postgres, database: &str, scale: u32) {
    server.create(database, SCHEMA).pgbench(database, scale);
}

#[test]
fn a_database_comes_back_whole_and_stock_tools_agree() {
    let server = Postgres::start();
    let scale = if full() { 20 } else { 5 };
    fill(&server, "shop", scale);
    server.psql("postgres", "CREATE ROLE \"Käthe\" LOGIN PASSWORD 'geheim'");
    let shop = shop(&server.url("shop"), "expect = { min_rows = { pgbench_accounts = 1000, orders = 3000 } }");
    shop.gate(&[]).expect(0);
    shop.assert_nothing_left();
    assert_eq!(server.left(), "");

    let manifest = shop.manifest();
    assert_eq!(manifest.codes("info"), [""; 0], "something had to be ended");
    let source = manifest.source("orders");
    let content = &source["content"];
    let tables = server.psql(
        "shop",
        "SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p') AND \
        relnamespace::regnamespace::text !~ '^(pg_|information_schema)'",
    );
    assert_eq!(content["tables"].to_string(), tables);
    assert_eq!(content["rows"]["public.pgbench_accounts"], scale * 100_000);
    assert_eq!(content["rows"]["public.customers"], 500);
    assert_eq!(content["rows"]["public.events_2026"], 100);
    assert_eq!(content["rows"]["Lager Süd.Regal.ä"], 50);
    assert_eq!(content["large_objects"], 6);
    assert_eq!(content["extensions"], json!(["hstore", "pgcrypto"]));
    assert_eq!(content["schema_version"], "ae1027a6acf");
    assert_eq!((&content["encoding"], &content["format"]), (&json!("UTF8"), &json!("custom")));
    assert_eq!((&content["roles"], &content["role_passwords"]), (&json!(2), &json!(true)));
    assert!(content["wal_lsn"].as_str().unwrap().contains('/'), "{content}");
    let identifier = server.psql("postgres", "SELECT system_identifier FROM pg_control_system()");
    assert_eq!(source["identity"], format!("postgres {identifier}/shop"));
    assert!(source["server_version"].as_str().unwrap().starts_with("15."), "{source}");
    assert!(source["tool_version"].as_str().unwrap().contains("pg_dump (PostgreSQL) 15."), "{source}");
    assert_eq!((&source["method"], &source["consistency"]), (&json!("dump"), &json!("transaction")));

    // Stock restic and stock pg_restore.
    let target = shop.beside("stock");
    let restic = shop.restic(STAGING);
    restic.check().restore("latest", &target);
    let list = must(server.client("pg_restore", "shop").arg("--list").arg(target.join("orders.dump")));
    let count = |what: &str| list.lines().filter(|line| line.contains(what)).count();
    assert_eq!(count(" TABLE DATA "), content["rows"].as_object().unwrap().len());
    assert_eq!(count(" SEQUENCE SET "), usize::try_from(content["sequences"].as_u64().unwrap()).unwrap());
    let globals = std::fs::read_to_string(target.join("globals.sql")).unwrap();
    assert!(globals.contains("CREATE ROLE \"Käthe\"") && globals.contains("PASSWORD"), "{globals}");

    // Into an empty database, and where there is none.
    server.psql("postgres", "CREATE DATABASE empty");
    restore(&shop, &["--target", &server.socket_url("empty")]).expect(0);
    let expected = everything(&server, "shop");
    assert_eq!(everything(&server, "empty"), expected);
    restore(&shop, &["--target", &server.socket_url("gänz neu")]).expect(0);
    assert_eq!(everything(&server, "gänz neu"), expected);
    assert_eq!(server.left(), "");
}

#[test]
fn a_dump_in_files_comes_back_whole() {
    let server = Postgres::start();
    fill(&server, "shop", 1);
    let shop = shop(&server.url("shop"), "jobs = 2\nschema_version_query = \"SELECT 'v' || count(*) FROM orders\"");
    shop.gate(&[]).expect(0);
    shop.assert_nothing_left();
    let manifest = shop.manifest();
    let content = &manifest.source("orders")["content"];
    assert_eq!((&content["format"], &content["schema_version"]), (&json!("directory"), &json!("v3000")));
    assert_eq!((&content["rows"]["public.orders"], &content["large_objects"]), (&json!(3000), &json!(6)));
    assert!(content["wal_lsn"].is_string());

    let target = shop.beside("stock");
    shop.restic(STAGING).restore("latest", &target);
    let mut list = server.client("pg_restore", "shop");
    let list = must(list.args(["--format=directory", "--list"]).arg(&target));
    assert!(list.contains("TABLE DATA public orders"), "{list}");

    restore(&shop, &["--target", &server.socket_url("new")]).expect(0);
    let expected = everything(&server, "shop");
    assert_eq!(everything(&server, "new"), expected);
    server.psql("postgres", "CREATE DATABASE empty");
    restore(&shop, &["--target", &server.socket_url("empty")]).expect(0);
    assert_eq!(everything(&server, "empty"), expected);
    shop.assert_nothing_left();
}

#[test]
fn a_standby_is_captured_and_called_one() {
    let server = Postgres::start();
    server.create("shop", "CREATE TABLE orders AS SELECT 1 AS id");
    let folder = server.data().parent().unwrap().to_owned();
    let copy = folder.join("copy");
    let program = server.programs().join("pg_basebackup");
    let mut backup = server.beside(program.to_str().unwrap());
    backup.args(["-X", "fetch", "-c", "fast", "-U", "postgres", "-p", &server.port().to_string()]);
    must(backup.arg("-h").arg(&folder).arg("-D").arg(&copy));
    must(server.beside("touch").arg(copy.join("standby.signal")));
    let standby = Postgres::of(&copy, &[]);
    server.psql("shop", "INSERT INTO orders VALUES (2)");
    let of_role = |server: &Postgres, role: &str| {
        let shop = shop(&server.url("shop"), "");
        shop.gate(&[]).expect(0);
        let manifest = shop.manifest();
        let source = manifest.source("orders");
        assert_eq!(source["content"]["role"], role);
        assert!(source["content"]["wal_lsn"].as_str().unwrap().contains('/'));
        manifest
    };
    let manifest = of_role(&standby, "standby");
    assert_eq!(manifest.source("orders")["content"]["rows"]["public.orders"], 1);
    assert!(manifest.codes("warning").contains(&"preflight-failed"));
    let message = manifest.message("preflight-failed");
    assert!(message.starts_with("the server is a standby, which has replayed the log up to"), "{message}");
    assert!(!of_role(&server, "primary").codes("warning").contains(&"preflight-failed"));
}
