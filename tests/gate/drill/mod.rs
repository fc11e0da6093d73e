//! `drill`, of an application with a database, files and the output of a program.

mod ended;
mod escrow;
mod faults;
mod passed;
mod postgres;
mod store;

use crate::gate::shop::{STAGING, Shop, names};
use crate::support::holdpoint::Output;
use crate::support::ledger::release_folder;
use crate::support::signing::Keys;
use rusqlite::Connection;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// The sources of every test, with `{checks}` behind them.
const SOURCES: &str = r#"
application = "shop"

[[source]]
name = "orders"
kind = "sqlite"
path = "orders.db"
restore_order = 1

[[source]]
name = "uploads"
kind = "files"
paths = ["uploads"]
restore_order = 2

[[source]]
name = "settings"
kind = "command"
command = ["cat", "settings.ini"]
restore_order = 3

[environment.staging]
rto = "1h"
rpo = "1d"
"#;

/// An application that can be drilled.
struct World {
    shop: Shop,
    keys: Keys,
}

impl World {
    /// Makes an application with two orders and a few files; `more` is the end of its configuration.
    fn new(more: &str) -> Self {
        let keys = Keys::new();
        let shop = Shop::with(&format!("{SOURCES}{more}"))
            .env("HOLDPOINT_SIGNING_KEY", keys.text("release"))
            .env("HOLDPOINT_ALLOWED_SIGNERS", keys.text("allowed_signers"));
        shop.write("uploads/mug.txt", "a mug\n").write("uploads/old/cup.txt", "a cup\n").write("settings.ini", "a=1\n");
        let world = Self { shop, keys };
        world.sql("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER); CREATE TABLE carts (id INTEGER);");
        world.sql("INSERT INTO orders VALUES (1, 10), (2, 20); INSERT INTO carts VALUES (1);");
        world
    }

    /// Makes one whose configuration has this check.
    fn checking(check: &str) -> Self {
        Self::new(&format!("[[drill.check]]\nname = \"the check\"\n{check}\n"))
    }

    /// Runs SQL on the database of the application.
    fn sql(&self, sql: &str) {
        Connection::open(self.shop.path("orders.db")).unwrap().execute_batch(sql).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.shop.holdpoint.run([arguments, &["--environment", STAGING]].concat())
    }

    /// Runs the gate, which must pass; returns the release.
    fn gate(&self) -> String {
        self.shop.gate(&[]).expect(0);
        self.shop.manifest().0["id"].as_str().unwrap().to_owned()
    }

    /// Runs a drill; returns its JSON document.
    #[track_caller]
    fn drill(&self, exit: u8, more: &[&str]) -> Value {
        let output = self.run(&[&["drill", "--format", "json"], more].concat()).expect(exit);
        if exit != 0 {
            output.refuses_in_words();
        }
        let document = output.json();
        assert_eq!((&document["command"], &document["exit_code"]), (&"drill".into(), &exit.into()));
        self.assert_nothing_left();
        document
    }

    /// Fails if anything of a drill is left, or if it touched the origin.
    #[track_caller]
    fn assert_nothing_left(&self) {
        self.shop.assert_nothing_left();
        assert_eq!(self.shop.read("uploads/mug.txt"), "a mug\n");
        let orders = names(&self.shop.path("")).into_iter().filter(|name| name.starts_with("orders.db"));
        assert_eq!(orders.collect::<Vec<_>>(), ["orders.db"]);
    }

    fn place(&self, name: &str) -> PathBuf {
        self.shop.place(STAGING).join(name)
    }

    /// Returns a file beside the manifest of a release.
    fn beside(&self, id: &str, name: &str) -> PathBuf {
        self.place(&release_folder(id)).join(name)
    }

    /// Returns the drills that are recorded of a release, oldest first.
    fn recorded(&self, id: &str) -> Vec<Value> {
        let folder = self.beside(id, "events");
        let events = names(&folder).into_iter().filter(|name| name.ends_with(".json"));
        let read = |name: String| serde_json::from_slice::<Value>(&fs::read(folder.join(name)).unwrap()).unwrap();
        let mut drills: Vec<Value> = events.map(read).filter(|event| event["event"] == "drilled").collect();
        drills.sort_by_key(|event| event["at"].as_str().unwrap().to_owned());
        drills
    }
}

/// Returns the findings of a level in the first drill of a document, as `code: message`.
fn findings(document: &Value, level: &str) -> Vec<String> {
    let findings = document["drills"][0]["drill"]["findings"].as_array().unwrap().iter();
    let text =
        |finding: &Value| format!("{}: {}", finding["code"].as_str().unwrap(), finding["message"].as_str().unwrap());
    findings.filter(|finding| finding["level"] == level).map(text).collect()
}

/// Fails unless the only refusal has this code, and a message with these words.
#[track_caller]
fn assert_only(document: &Value, code: &str, words: &str) {
    let refusals = findings(document, "refusal");
    assert!(
        matches!(refusals.as_slice(), [only] if only.starts_with(&format!("{code}: ")) && only.contains(words)),
        "{refusals:#?}"
    );
    assert_eq!(document["drills"][0]["drill"]["result"], "failed");
    assert!(document["drills"][0]["event"].is_string(), "it is recorded: {document:#}");
}
