//! Who may read what, and which server answers: looked at before anything is captured.

use super::{shop, shop_with, wrappers};
use crate::support::postgres::Postgres;
use std::fs;

#[test]
fn a_client_older_than_its_server_refuses_before_anything_is_dumped() {
    let server = Postgres::start_16();
    server.create("shop", "CREATE TABLE orders (id int)");
    let shop = shop(&server.url("shop"), "");
    let log = shop.beside("dumped");
    let programs = shop.path("bin");
    wrappers(&programs, &format!("echo ran >> {}; exec \"$BIN/pg_dump\" \"$@\"", log.display()));
    let text = shop.read("holdpoint.toml");
    let old = text.lines().find(|line| line.starts_with("programs")).unwrap();
    shop.write("holdpoint.toml", text.replace(old, &format!("programs = \"{}\"", programs.display())));
    shop.gate(&[]).expect(10).refuses_in_words();
    shop.manifest().assert_refused("refused", &["version-mismatch"]);
    let message = shop.manifest().message("version-mismatch").to_owned();
    assert!(message.contains("pg_dump (PostgreSQL) 15.") && message.contains("the server is 16."), "{message}");
    assert!(!log.exists(), "pg_dump ran");
    shop.assert_nothing_left();

    // With the right programs it passes.
    let shop = shop_with(&server.url("shop"), server.programs(), "");
    shop.gate(&[]).expect(0);
    // What comes from 16 does not go into 15.
    let older = Postgres::shared();
    older.psql("postgres", "CREATE DATABASE from_16");
    super::restore(&shop, &["--target", &older.socket_url("from_16")])
        .expect(17)
        .says(&["older than the server that was dumped"]);
}

#[test]
fn another_server_on_the_right_port_refuses() {
    let server = Postgres::shared();
    server.create("identity", "CREATE TABLE orders AS SELECT 1 AS id");
    let mut shop = shop(&server.url("identity"), "");
    shop.gate(&[]).expect(0);

    // Tiger Team X, 2022: an empty server answered.
    let other = Postgres::start();
    other.create("identity", "");
    shop = shop.env("DATABASE_URL", other.url("identity"));
    shop.gate(&[]).expect(12).refuses_in_words();
    let manifest = shop.manifest();
    assert!(manifest.codes("refusal").contains(&"identity-changed"), "{:#}", manifest.0["decision"]);

    // The same on the first run of all.
    let first = super::shop(&other.url("identity"), "");
    first.gate(&[]).expect(12).refuses_in_words();
    first.manifest().assert_refused("refused", &["below-min-tables"]);
    assert_eq!(other.left(), "");
}

#[test]
fn who_is_not_let_in_is_told_why() {
    let server = Postgres::shared();
    server.create("access", "CREATE TABLE orders (id int)");
    let refused = |url: &str, text: &str| {
        let shop = shop(url, "connect_timeout = \"5s\"");
        let output = shop.gate(&[]).expect(10);
        output.refuses_in_words();
        assert!(!output.stderr.contains("not-the-password"), "{}", output.stderr);
        let manifest = shop.manifest();
        manifest.assert_refused("refused", &["server-unreachable"]);
        let message = manifest.message("server-unreachable");
        assert!(message.contains(text) && !message.contains("not-the-password"), "{message}");
    };
    refused(&server.url_of("postgres", "not-the-password", "access"), "password authentication failed");
    refused(&server.url("no such database"), "there is no database no such database");
    refused(&format!("{}?sslmode=require", server.url("access")), "TLS");
    refused("postgres://u:not-the-password@127.0.0.1:1/x", "refused");
    refused(&format!("postgres://postgres@127.0.0.1:{}/access", server.port()), "there is none");
}

#[test]
fn what_the_user_may_not_read_is_named() {
    let server = Postgres::shared();
    let sql = "CREATE ROLE clerk LOGIN PASSWORD 'pw'; CREATE TABLE orders (id serial); CREATE TABLE secrets (id int);
        CREATE SCHEMA hidden; CREATE TABLE hidden.things (id int);
        CREATE TABLE policed (id int); ALTER TABLE policed ENABLE ROW LEVEL SECURITY;
        GRANT SELECT ON orders, orders_id_seq, policed TO clerk; SELECT lo_create(4711)";
    server.create("privileges", sql);
    let shop = shop(&server.url_of("clerk", "pw", "privileges"), "");
    shop.gate(&[]).expect(10).refuses_in_words().says(&["GRANT pg_read_all_data TO \"clerk\""]);
    let manifest = shop.manifest();
    let findings = manifest.0["decision"]["findings"].to_string();
    for text in
        ["may not read hidden.things, public.secrets", "public.policed from the user clerk", "large objects: 4711"]
    {
        assert!(findings.contains(text), "{text}: {findings}");
    }
    assert!(!findings.contains("public.orders"), "{findings}");
    assert_eq!(manifest.codes("refusal"), ["privilege-missing"; 3]);

    let grants =
        "GRANT pg_read_all_data TO clerk; ALTER ROLE clerk BYPASSRLS; GRANT SELECT ON LARGE OBJECT 4711 TO clerk";
    server.psql("privileges", grants);
    shop.gate(&[]).expect(0);
    let manifest = shop.manifest();
    assert_eq!(manifest.source("orders")["content"]["role_passwords"], false);
    assert_eq!(manifest.source("orders")["content"]["rows"]["public.secrets"], 0);
}

#[test]
fn a_wrong_url_is_explained_without_showing_it() {
    let shop = shop("postgres://u:hunter2@db/x?sslmode=hunter2", "");
    let output = shop.gate(&[]).expect(10);
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    assert!(shop.manifest().message("preflight-failed").contains("`sslmode`"));
    assert!(!fs::read_to_string(shop.path("holdpoint-manifest.json")).unwrap().contains("hunter2"));
}
