//! PostgreSQL: the version of its schema, rows written since, and a server older than the dump.

use crate::gate::shop::{COMMIT, STAGING, Shop};
use crate::support::holdpoint::Output;
use crate::support::postgres::{Postgres, programs_15, programs_16};
use crate::support::version_server::{Answer, VersionServer};
use serde_json::Value;
use std::path::Path;

const TABLES: &str = "CREATE TABLE orders (id integer PRIMARY KEY, total integer); INSERT INTO orders VALUES (1, 10), (2, 20); \
    CREATE TABLE flyway_schema_history (installed_rank integer, version text, success boolean); \
    INSERT INTO flyway_schema_history VALUES (1, '41', true)";
const MIGRATED: &str = "ALTER TABLE orders ADD COLUMN note text; INSERT INTO orders VALUES (3, 30, 'new'), (4, 40, 'new'); \
    INSERT INTO flyway_schema_history VALUES (2, '42', true)";
const DOWN: &str = "ALTER TABLE orders DROP COLUMN note; DELETE FROM flyway_schema_history WHERE version > '41'";

/// An application on a database of its own.
struct App {
    shop: Shop,
    app: VersionServer,
}

impl App {
    /// Deploys 1.3.0 by hand.
    fn new(url: &str, programs: &Path) -> Self {
        let shop = Shop::new().env("DATABASE_URL", url);
        let app = VersionServer::start([Answer::File(shop.path("deployed.json"))]);
        shop.write("deployed.json", r#"{"version":"1.3.0"}"#);
        let this = Self { shop, app };
        this.configure(programs, "", "");
        this
    }

    fn configure(&self, programs: &Path, of_source: &str, of_rollback: &str) {
        let configuration = format!(
            r#"
application = "shop"
[[source]]
name = "orders"
kind = "postgres"
url = {{ env = "DATABASE_URL" }}
programs = "{}"
{of_source}
[environment.staging.deployed]
kind = "http"
urls = ["{}"]
version = "/version"
[environment.staging.rollback]
redeploy = ["sh", "-c", "echo '{{\"version\":\"'$HOLDPOINT_FROM_VERSION'\"}}' > deployed.json"]
{of_rollback}
"#,
            programs.display(),
            self.app.url("/version")
        );
        self.shop.write("holdpoint.toml", configuration);
    }

    /// Takes 1.4.0 through the gate, and deploys it; returns the release.
    fn deploy(&self) -> String {
        let gate = ["gate", "--environment", STAGING, "--release", "1.4.0", "--commit", COMMIT];
        self.shop.holdpoint.run(gate).expect(0);
        self.shop.write("deployed.json", r#"{"version":"1.4.0"}"#);
        self.shop.manifest().0["id"].as_str().unwrap().to_owned()
    }

    fn plan(&self, id: &str, more: &[&str], code: u8) -> Value {
        let fixed = ["rollback", "--environment", STAGING, "--id", id, "--plan", "--format", "json"];
        self.shop.holdpoint.run([&fixed, more].concat()).expect(code).json()
    }

    fn roll_back(&self, id: &str, way: &str) -> Output {
        let fixed = ["rollback", "--environment", STAGING, "--id", id, "--yes", STAGING, "--wait", "0s", "--way", way];
        self.shop.holdpoint.run(fixed)
    }
}

#[test]
fn a_migrated_database_is_taken_back_by_each_way() {
    let server = Postgres::start();
    server.create("shop", TABLES);
    let app = App::new(&server.url("shop"), &programs_15());
    let id = app.deploy();
    assert_eq!(app.plan(&id, &[], 0)["plan"]["ways"][0]["way"], "code-only");
    server.psql("shop", MIGRATED);
    let plan = app.plan(&id, &["--way", "code-only"], 17);
    assert_eq!(plan["plan"]["ways"][0]["way"], "full-restore");
    assert!(
        plan["plan"]["findings"].to_string().contains("its schema is 42, and the older version runs on 41"),
        "{plan:#}"
    );
    let plan = app.plan(&id, &[], 0);
    let lost = &plan["plan"]["lost"][0];
    assert_eq!(lost["more_rows"], 3, "{lost:#}");
    assert!(lost["tables"].to_string().contains(r#"{"now":4,"table":"public.orders","then":2}"#), "{lost:#}");

    let program = format!("exec '{}/psql' -v ON_ERROR_STOP=1 \"$DATABASE_URL\" -c \"{DOWN}\"", programs_15().display());
    let program = serde_json::json!(["sh", "-c", program]);
    app.configure(&programs_15(), "", &format!("down_migration = {program}"));
    assert_eq!(app.plan(&id, &[], 0)["plan"]["ways"][0]["way"], "down-migration");
    app.roll_back(&id, "down-migration").expect(0);
    assert_eq!(server.psql("shop", "SELECT count(*) FROM orders").trim(), "4", "what was written since stays");

    app.shop.holdpoint.run(["thaw", "--environment", STAGING, "--reason", "once more"]).expect(0);
    app.shop.write("deployed.json", r#"{"version":"1.4.0"}"#);
    server.psql(
        "shop",
        "ALTER TABLE orders ADD COLUMN note text; INSERT INTO flyway_schema_history VALUES (2, '42', true)",
    );
    app.roll_back(&id, "full-restore").expect(0);
    assert_eq!(server.psql("shop", "SELECT count(*) FROM orders").trim(), "2");
    assert_eq!(server.psql("shop", "SELECT max(version) FROM flyway_schema_history").trim(), "41");
    assert_eq!(server.left().trim(), "", "sessions are left");
    app.shop.assert_nothing_left();
}

#[test]
fn a_server_that_is_older_than_the_dump_is_not_restored_into() {
    let (newer, older) = (Postgres::start_16(), Postgres::start());
    newer.create("shop", TABLES);
    older.create("shop", "CREATE TABLE kept (id integer)");
    let mut app = App::new(&newer.url("shop"), &programs_16());
    let id = app.deploy();
    app.shop = app.shop.env("DATABASE_URL", older.url("shop"));
    let system = older.psql("shop", "SELECT system_identifier FROM pg_control_system()");
    // Somebody said that this is the right one.
    let expected = format!("expect = {{ identity = \"postgres {}/shop\" }}", system.trim());
    app.configure(&programs_15(), &expected, "");
    let output = app.roll_back(&id, "full-restore").expect(17);
    assert!(output.stdout.contains("[server-older]"), "{}", output.stdout);
    output.says(&["the server is older than the one that was dumped", "nothing was changed"]).refuses_in_words();
    assert!(!app.shop.place(STAGING).join("freeze.json").exists());
    assert_eq!(older.psql("shop", "SELECT to_regclass('kept') IS NOT NULL").trim(), "t");
    assert_eq!((older.left().trim(), newer.left().trim()), ("", ""), "sessions are left");
}
