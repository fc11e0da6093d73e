//! Drills of a real PostgreSQL database: in a server of their own, and on one that is given.

use super::{assert_only, findings};
use crate::gate::shop::{STAGING, Shop};
use crate::support::environment::must;
use crate::support::postgres::{Postgres, programs_15};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

const CONFIGURATION: &str = r#"
application = "shop"
[[source]]
name = "orders"
kind = "postgres"
url = { env = "DATABASE_URL" }
{drill_server}

[[drill.check]]
name = "orders add up"
source = "orders"
sql = "SELECT count(*), sum(total) FROM orders"
expect = "2|30"

[[drill.check]]
name = "a transaction"
source = "orders"
sql = "INSERT INTO orders VALUES (3, 30); SELECT sum(total) FROM orders"
expect = "60"
"#;

fn shop(server: &Postgres, drill_server: Option<String>) -> Shop {
    let given = drill_server.as_ref().map_or("", |_| "drill_server = { env = \"DRILL_URL\" }");
    Shop::with(&CONFIGURATION.replace("{drill_server}", given))
        .env("DATABASE_URL", server.url("shop"))
        .env("DRILL_URL", drill_server.unwrap_or_default())
}

fn drill(shop: &Shop, exit: u8) -> Value {
    let output = shop.holdpoint.run(["drill", "--environment", STAGING, "--format", "json"]).expect(exit);
    shop.assert_nothing_left();
    output.json()
}

/// Returns the databases of a server that drills made.
fn scratch(server: &Postgres) -> String {
    server.psql("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'holdpoint%'")
}

#[test]
fn a_database_comes_up_apart_from_its_origin() {
    let (origin, given) = (Postgres::start(), Postgres::start());
    let rows =
        "CREATE TABLE orders (id integer PRIMARY KEY, total integer); INSERT INTO orders VALUES (1, 10), (2, 20)";
    origin.create("shop", rows);
    for (server, place) in [(None, "of its own"), (Some(given.url("postgres")), "holdpoint_drill_")] {
        let shop = shop(&origin, server);
        shop.gate(&[]).expect(0);
        let document = drill(&shop, 0);
        let drill = &document["drills"][0]["drill"];
        assert_eq!(findings(&document, "refusal"), [""; 0]);
        assert_eq!(drill["sources"][0]["content"]["rows"]["public.orders"], 2, "{drill:#}");
        let told = drill["sources"][0]["place"].as_str().unwrap();
        assert!(told.contains(place) && told.contains("apart from"), "{told}");
        assert_eq!(told.contains("and the origin's"), place != "of its own", "the servers were compared: {told}");
        assert_eq!(origin.psql("shop", "SELECT count(*) FROM orders").trim(), "2", "the origin is not touched");
        assert_eq!((scratch(&origin).trim(), scratch(&given).trim()), ("", ""), "databases are left");
        assert_eq!((origin.left().trim(), given.left().trim()), ("", ""), "sessions are left");
    }
}

#[test]
fn the_server_of_the_origin_is_no_drill_server_under_any_address() {
    let origin = Postgres::start();
    origin.create("shop", "CREATE TABLE orders (id integer PRIMARY KEY, total integer)");
    let shop = shop(&origin, Some(origin.url("postgres")));
    shop.gate(&[]).expect(0);
    assert_only(&drill(&shop, 18), "drill-not-isolated", "its server calls itself postgres");
    assert_eq!((scratch(&origin).trim(), origin.left().trim()), ("", ""), "something is left");
}

/// An extension that is installed only as long as this lives.
struct Extension(Vec<PathBuf>);

impl Extension {
    /// Installs it; `None` if this user may not.
    fn install(name: &str) -> Option<Self> {
        let share = must(Command::new(programs_15().join("pg_config")).arg("--sharedir"));
        let folder = PathBuf::from(share.trim()).join("extension");
        let files = Self(vec![folder.join(format!("{name}.control")), folder.join(format!("{name}--1.0.sql"))]);
        let control = "default_version = '1.0'\nrelocatable = true\n";
        let written = std::fs::write(&files.0[0], control).and_then(|()| std::fs::write(&files.0[1], "SELECT 1;\n"));
        written.is_ok().then_some(files)
    }
}

impl Drop for Extension {
    fn drop(&mut self) {
        for file in &self.0 {
            let _ = std::fs::remove_file(file);
        }
    }
}

#[test]
fn an_extension_that_the_drills_server_lacks() {
    let name = format!("hp_drill_{}", std::process::id());
    let Some(extension) = Extension::install(&name) else {
        eprintln!("this user may not install an extension: nothing is tested");
        return;
    };
    let origin = Postgres::start();
    origin.create("shop", &format!("CREATE EXTENSION {name}; CREATE TABLE orders (id integer, total integer)"));
    let shop = shop(&origin, None);
    shop.gate(&[]).expect(0);
    // As on a machine where nobody thought of it.
    drop(extension);
    let document = drill(&shop, 18);
    assert_only(&document, "drill-restore-failed", &name);
    let checks = document["drills"][0]["drill"]["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["result"] == "not_tried"), "{checks:#?}");
}
