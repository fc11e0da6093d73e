//! `rollback`, of an application that runs: a version that is deployed, found broken, and undone.

mod admitted;
mod elsewhere;
mod page;
mod postgres;
mod prompt;
mod refused;
mod resumed;
mod reused;
mod schema;
mod story;
mod told;
mod verify;
mod ways;
mod whole;

use crate::gate::shop::{STAGING, Shop, names};
use crate::support::environment::must;
use crate::support::holdpoint::{Output, Running};
use crate::support::ledger::release_folder;
use crate::support::postgres::Postgres;
use crate::support::signing::Keys;
use crate::support::version_server::{Answer, VersionServer};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// The commit of the older version.
const OLD: &str = "1111111111111111111111111111111111111111";
/// The commit of the newer version.
const NEW: &str = "2222222222222222222222222222222222222222";

/// What the hooks of most tests do: they stop the application, deploy the older version, and write down that they ran.
const HOOKS: &str = r#"
before = [["sh", "-c", "echo stop $HOLDPOINT_ENVIRONMENT >> log; rm -f instance-*.json"]]
redeploy = ["sh", "deploy.sh"]
after = [["sh", "-c", "echo start $HOLDPOINT_FROM_VERSION after $HOLDPOINT_TO_VERSION >> log"]]
"#;

/// Deploys what the rollback says on every instance.
const DEPLOY: &str = r#"
echo "deploy $HOLDPOINT_FROM_VERSION $HOLDPOINT_FROM_COMMIT for $HOLDPOINT_RELEASE_ID" >> log
for instance in 1 2 3; do
    printf '{"version":"%s","commit":"%s"}' "$HOLDPOINT_FROM_VERSION" "$HOLDPOINT_FROM_COMMIT" > "instance-$instance.json"
done
"#;

/// The rows of the database.
type Rows = Vec<(i64, i64)>;
/// Names and contents of files.
type Files = Vec<(String, String)>;

/// An application of three instances with a database and files; it answers what its files say.
struct World {
    shop: Shop,
    keys: Keys,
    instances: Vec<VersionServer>,
    /// The server of the database; without one it is a file.
    server: Option<Postgres>,
}

impl World {
    /// Deploys 1.3.0 by hand, with these hooks for rollbacks.
    fn new(hooks: &str) -> Self {
        let world = Self::of(hooks, "kind = \"sqlite\"\npath = \"orders.db\"", None);
        world.sql(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER); INSERT INTO orders VALUES (1, 10), (2, 20);",
        );
        world
    }

    /// The same, with its database, which `sql` fills, in a server of PostgreSQL; more `settings` are those of the source.
    fn with_postgres(hooks: &str, sql: &str, settings: &str) -> Self {
        let server = Postgres::start();
        server.create("shop", sql);
        let source = format!("kind = \"postgres\"\nurl = {{ env = \"DATABASE_URL\" }}\n{settings}");
        Self::of(hooks, &source, Some(server))
    }

    fn of(hooks: &str, database: &str, server: Option<Postgres>) -> Self {
        let keys = Keys::new();
        let shop = Shop::new()
            .env("HOLDPOINT_SIGNING_KEY", keys.text("release"))
            .env("HOLDPOINT_ALLOWED_SIGNERS", keys.text("allowed_signers"))
            .env("DATABASE_URL", server.as_ref().map(|server| server.url("shop")).unwrap_or_default());
        let instance = |number| VersionServer::start([Answer::File(shop.path(&format!("instance-{number}.json")))]);
        let instances: Vec<_> = [1, 2, 3].map(instance).into();
        let urls: Vec<_> = instances.iter().map(|instance| instance.url("/version")).collect();
        shop.write(
            "holdpoint.toml",
            format!(
                r#"
application = "shop"

[[source]]
name = "uploads"
kind = "files"
paths = ["uploads"]
exclude = ["*.tmp"]
restore_order = 2

[[source]]
name = "orders"
{database}
owner = "dba@acme.example"
restore_order = 1

[environment.staging.deployed]
kind = "http"
urls = {}
version = "/version"
commit = "/commit"

[environment.staging.rollback]
{hooks}
"#,
                json!(urls)
            ),
        );
        shop.write("deploy.sh", DEPLOY).write("uploads/mug.txt", "a mug\n").write("uploads/old/cup.txt", "a cup\n");
        let world = Self { shop, keys, instances, server };
        world.deployed(&[1, 2, 3], "1.3.0", OLD);
        world
    }

    /// Runs SQL on the database.
    fn sql(&self, sql: &str) {
        if let Some(server) = &self.server {
            server.psql("shop", sql);
            return;
        }
        Connection::open(self.shop.path("orders.db")).unwrap().execute_batch(sql).unwrap();
    }

    /// Lets instances run a version.
    fn deployed(&self, instances: &[u32], version: &str, commit: &str) {
        for instance in instances {
            self.shop.write(
                &format!("instance-{instance}.json"),
                json!({ "version": version, "commit": commit }).to_string(),
            );
        }
    }

    /// Stops the application.
    fn down(&self) {
        for instance in [1, 2, 3] {
            let _ = fs::remove_file(self.shop.path(&format!("instance-{instance}.json")));
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.shop.holdpoint.run([arguments, &["--environment", STAGING]].concat())
    }

    /// Runs the gate for a version, and lets the deploy step ask; returns the release.
    fn pass(&self, version: &str, commit: &str) -> String {
        let id = self.gate(version, commit);
        self.run(&["admit", "--release", version, "--commit", commit]).expect(0);
        id
    }

    fn gate(&self, version: &str, commit: &str) -> String {
        self.run(&["gate", "--release", version, "--commit", commit]).expect(0);
        self.shop.manifest().0["id"].as_str().unwrap().to_owned()
    }

    /// Does to the data what 1.4.0 does.
    fn migrate(&self) {
        self.sql("DROP TABLE orders; CREATE TABLE sales (id INTEGER); INSERT INTO sales VALUES (7);");
        fs::remove_file(self.shop.path("uploads/old/cup.txt")).unwrap();
        fs::remove_dir(self.shop.path("uploads/old")).unwrap();
        self.shop.write("uploads/mug.txt", "another mug\n").write("uploads/new/plate.txt", "a plate\n");
        self.shop.write("uploads/old", "not a directory any more\n").write("uploads/new/x.tmp", "left out\n");
    }

    /// Takes 1.4.0 all the way; returns the release.
    fn deploy(&self) -> String {
        let id = self.pass("1.4.0", NEW);
        self.migrate();
        self.deployed(&[1, 2, 3], "1.4.0", NEW);
        self.run(&["reconcile", "--id", &id]).expect(0);
        id
    }

    /// Returns the arguments of a rollback that nobody is asked about.
    fn arguments<'a>(id: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let fixed = ["rollback", "--environment", STAGING, "--id", id, "--yes", STAGING, "--wait", "0s"];
        [&fixed, more].concat()
    }

    fn roll_back(&self, id: &str, more: &[&str]) -> Output {
        self.shop.holdpoint.run(Self::arguments(id, more))
    }

    fn start(&self, id: &str) -> Running {
        self.shop.holdpoint.start(Self::arguments(id, &[]))
    }

    /// Returns everything that a rollback has to bring back.
    fn data(&self) -> (Rows, Files) {
        let select = "SELECT id, total FROM orders ORDER BY id";
        let rows = match &self.server {
            Some(server) if server.psql("shop", "SELECT to_regclass('orders') IS NOT NULL") == "t" => {
                let number = |text: &str| text.parse().unwrap();
                let rows = server.psql("shop", select);
                rows.lines()
                    .map(|row| row.split_once('|').unwrap())
                    .map(|(id, total)| (number(id), number(total)))
                    .collect()
            }
            Some(_) => Vec::new(),
            None => {
                let connection = Connection::open(self.shop.path("orders.db")).unwrap();
                let rows = connection.prepare(select).and_then(|mut query| {
                    query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<_>, _>>()
                });
                rows.unwrap_or_default()
            }
        };
        let mut files = Vec::new();
        for folder in ["uploads", "uploads/old", "uploads/new"] {
            for name in names(&self.shop.path(folder)) {
                let name = format!("{folder}/{name}");
                if self.shop.path(&name).is_file() {
                    files.push((name.clone(), self.shop.read(&name)));
                }
            }
        }
        (rows, files)
    }

    /// Returns all that is in the database, as its server dumps it.
    fn dump(&self) -> String {
        let mut dump = self.server.as_ref().unwrap().client("pg_dump", "shop");
        let text = must(dump.args(["--create", "--no-password"]));
        // Newer ones write a word of their own, another one each time.
        text.lines().filter(|line| !line.contains("restrict ")).collect::<Vec<_>>().join("\n")
    }

    /// Returns the names of all databases of the server.
    fn databases(&self) -> String {
        let names = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database";
        self.server.as_ref().unwrap().psql("postgres", names)
    }

    /// Fails unless the data is as it was before 1.4.0.
    #[track_caller]
    fn assert_undone(&self) {
        let (rows, files) = self.data();
        assert_eq!(rows, [(1, 10), (2, 20)]);
        let files: Vec<_> = files.iter().map(|(name, content)| (name.as_str(), content.as_str())).collect();
        let left_out = ("uploads/new/x.tmp", "left out\n");
        assert_eq!(files, [("uploads/mug.txt", "a mug\n"), ("uploads/old/cup.txt", "a cup\n"), left_out]);
        for instance in [1, 2, 3] {
            let answer: Value = serde_json::from_str(&self.shop.read(&format!("instance-{instance}.json"))).unwrap();
            assert_eq!(answer["version"], "1.3.0");
        }
        assert!(self.place("freeze.json").exists(), "the freeze is for a person to thaw");
        assert!(!self.place("claim.json").exists(), "the claim is closed");
        assert!(!self.place("rollback-pass.json").exists(), "the pass is withdrawn");
        self.shop.assert_nothing_left();
    }

    fn place(&self, name: &str) -> PathBuf {
        self.shop.place(STAGING).join(name)
    }

    /// Returns what the hooks wrote down, and forgets it.
    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.shop.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.shop.path("log"));
        log.lines().map(str::to_owned).collect()
    }

    /// Returns the events of a release, oldest first.
    fn events(&self, id: &str) -> Vec<Value> {
        let folder = self.place(&release_folder(id)).join("events");
        let read = |name: &String| serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap();
        let mut events: Vec<Value> = names(&folder).iter().map(read).collect();
        events.sort_by_key(|event| event["at"].as_str().unwrap().to_owned());
        events
    }

    /// Returns the steps of a release's rollback as they were recorded, such as `restore orders: done`.
    fn steps(&self, id: &str) -> Vec<String> {
        let events = self.events(id).into_iter().filter(|event| event["event"] == "rollback_step");
        let word = |value: &Value| value.as_str().unwrap().split(": ").next().unwrap().to_owned();
        events.map(|event| format!("{}: {}", word(&event["step"]), word(&event["state"]))).collect()
    }
}
