//! A database of a real server, and the wrong one.

use crate::gate::shop::{COMMIT, STAGING, Shop};
use crate::support::postgres::Postgres;
use crate::support::version_server::{Answer, VersionServer};

#[test]
fn a_destructive_migration_is_undone_in_its_own_server_and_in_no_other() {
    let (server, other) = (Postgres::start(), Postgres::start());
    let rows =
        "CREATE TABLE orders (id integer PRIMARY KEY, total integer); INSERT INTO orders VALUES (1, 10), (2, 20)";
    server.create("shop", rows);
    other.create("shop", "CREATE TABLE orders (id integer); INSERT INTO orders VALUES (99)");
    let mut shop = Shop::new().env("DATABASE_URL", server.url("shop"));
    let app = VersionServer::start([Answer::File(shop.path("deployed.json"))]);
    let configuration = format!(
        r#"
application = "shop"
[[source]]
name = "orders"
kind = "postgres"
url = {{ env = "DATABASE_URL" }}
[environment.staging.deployed]
kind = "http"
urls = ["{}"]
version = "/version"
[environment.staging.rollback]
redeploy = ["sh", "-c", "echo '{{\"version\":\"'$HOLDPOINT_FROM_VERSION'\"}}' > deployed.json"]
"#,
        app.url("/version")
    );
    shop.write("holdpoint.toml", configuration).write("deployed.json", r#"{"version":"1.3.0"}"#);
    let gate = ["gate", "--environment", STAGING, "--release", "1.4.0", "--commit", COMMIT];
    shop.holdpoint.run(gate).expect(0);
    let id = shop.manifest().0["id"].as_str().unwrap().to_owned();
    server.psql("shop", "DROP TABLE orders; CREATE TABLE sales (id integer)");
    shop.write("deployed.json", r#"{"version":"1.4.0"}"#);

    let rollback = ["rollback", "--environment", STAGING, "--id", &id, "--yes", STAGING, "--wait", "0s"];
    shop = shop.env("DATABASE_URL", other.url("shop"));
    let output = shop.holdpoint.run(rollback).expect(17);
    assert!(output.stdout.contains("[wrong-target]"), "{}", output.stdout);
    assert_eq!(other.psql("shop", "SELECT id FROM orders").trim(), "99", "the other server is not touched");
    assert!(!shop.place(STAGING).join("freeze.json").exists());

    shop = shop.env("DATABASE_URL", server.url("shop"));
    shop.holdpoint.run(rollback).expect(0);
    assert_eq!(server.psql("shop", "SELECT id, total FROM orders ORDER BY id").trim(), "1|10\n2|20");
    assert_eq!(server.psql("shop", "SELECT to_regclass('sales') IS NULL").trim(), "t");
    assert_eq!(shop.read("deployed.json").trim(), r#"{"version":"1.3.0"}"#);
    assert_eq!((server.left().trim(), other.left().trim()), ("", ""), "sessions are left");
    shop.assert_nothing_left();
}
