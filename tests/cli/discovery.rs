//! Databases that leave traces and have no source.

use crate::support::holdpoint::Output;
use crate::support::shop::{COMMIT, Shop};

const IN_ENVIRONMENT: &str = "postgres://shop:hunter2@db.example/shop";

fn traces() -> Shop {
    let shop = Shop::with(|holdpoint| holdpoint.env("DATABASE_URL", IN_ENVIRONMENT));
    shop.write("compose.yml", "services:\n  cache:\n    image: redis:7\n  web:\n    image: shop\n");
    shop.write("migrations/001.sql", "CREATE TABLE orders ();\n");
    shop
}

fn staging(shop: &Shop, exit: u8, arguments: &[&str]) -> Output {
    shop.run(&[arguments, &["-e", "staging"]].concat()).expect(exit)
}

/// Counts the databases without a source that a JSON document warns of.
fn undeclared(document: &serde_json::Value) -> usize {
    let findings = document["findings"].as_array().unwrap();
    let ours = findings.iter().filter(|finding| finding["code"] == "database-undeclared");
    ours.inspect(|finding| assert_eq!(finding["level"], "warning")).count()
}

#[test]
fn plan_doctor_and_gate_tell_of_databases_without_a_source() {
    let shop = traces();
    let release = ["uploads", "--release", "1.4.0", "--commit", COMMIT, "--first"];
    let plan = staging(&shop, 0, &[&["plan", "--format", "json"], &release[..]].concat());
    assert_eq!(undeclared(&plan.json()), 3, "{}", plan.stdout);
    assert!(!plan.stdout.contains("hunter2"));
    let gate = staging(&shop, 0, &[&["gate"], &release[..]].concat());
    for trace in
        ["DATABASE_URL tells of postgres", "the service cache in compose.yml (image redis:7)", "the migrations in"]
    {
        assert!(gate.stdout.contains(trace), "{}", gate.stdout);
    }
    let doctor = staging(&shop, 0, &["doctor", "uploads", "--first"]);
    assert!(doctor.stdout.contains("the environment variable DATABASE_URL"), "{}", doctor.stdout);

    shop.configure("[discovery]\nignore = [\"cache\", \"DATABASE_URL\", \"migrations\"]\n");
    assert_eq!(undeclared(&staging(&shop, 0, &[&["plan", "--format", "json"], &release[..]].concat()).json()), 0);
}

#[test]
fn init_writes_sources_for_the_traces() {
    let shop = traces();
    staging(&shop, 0, &["init"]);
    let written = std::fs::read_to_string(shop.path().join("holdpoint.toml")).unwrap();
    assert!(!written.contains("hunter2"), "{written}");
    let read: toml::Table = written.parse().unwrap();
    let database = &read["source"][0];
    assert_eq!((database["name"].as_str(), database["kind"].as_str()), (Some("database"), Some("postgres")));
    assert_eq!(database["url"]["env"].as_str(), Some("DATABASE_URL"));
    assert!(
        written.contains("# kind = \"redis\"") && written.contains("the service cache in compose.yml"),
        "{written}"
    );
    // What it wrote is a configuration; that server does not exist.
    staging(&shop, 10, &["doctor"]);
}
