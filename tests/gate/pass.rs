//! What a gate that passes leaves: snapshots that restic accepts, a manifest that is true, a way back that works.

use super::shop::{Manifest, STAGING, Shop, arguments, names, shell, until};
use crate::support::environment::must;
use crate::support::ledger::release_folder;
use crate::support::shop::assert_valid;
use crate::support::tree;
use rusqlite::Connection;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// More than the directories on the way to a source take in the store, in bytes.
const DIRECTORIES: u64 = 2000;

fn digest(path: &Path) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(fs::read(path).unwrap())))
}

/// Returns where the ledger keeps a manifest.
fn recorded(shop: &Shop, manifest: &Manifest) -> PathBuf {
    let id = manifest.0["id"].as_str().unwrap();
    shop.place(STAGING).join(release_folder(id)).join("manifest.json")
}

#[test]
fn the_first_an_unchanged_and_a_changed_gate_pass() {
    let shop = Shop::new();
    let mut random = vec![0; 100_000];
    getrandom::fill(&mut random).unwrap();
    shop.write("data/random", &random);
    let restic = |shop: &Shop| shop.restic(STAGING);
    let mut manifests = Vec::new();
    for version in ["1.4.0", "1.4.1", "1.5.0"] {
        if version == "1.5.0" {
            shop.write("data/orders.csv", "id,total\n1,10\n2,20\n").write("data/new", "new");
        }
        shop.holdpoint.run(arguments("gate", STAGING, version, &["data"])).expect(0);
        restic(&shop).check();
        let tag = format!("version={version}");
        let listed: Value = serde_json::from_str(&restic(&shop).run(&["snapshots", "--json", "--tag", &tag])).unwrap();
        let manifest = shop.manifest();
        assert_eq!(listed.as_array().unwrap().len(), 1, "{version}");
        assert_eq!(listed[0]["id"], manifest.source("data")["snapshot"]["id"]);
        assert_eq!(listed[0]["paths"][0], shop.path("data").to_str().unwrap());
        let target = shop.beside(version);
        restic(&shop).restore(listed[0]["id"].as_str().unwrap(), &target);
        let below = shop.path("data");
        tree::assert_same(&below, &target.join(below.strip_prefix("/").unwrap()));
        assert_eq!(digest(&recorded(&shop, &manifest)), digest(&shop.path("holdpoint-manifest.json")));
        shop.assert_nothing_left();
        manifests.push(manifest);
    }
    let [first, unchanged, changed] = manifests.try_into().unwrap();
    // The manifest of the first run changed the directory above.
    assert!(first.bytes_added() > 100_000 && unchanged.bytes_added() < DIRECTORIES && changed.bytes_added() < 10_000);
    assert!(changed.bytes_added() > unchanged.bytes_added());
    assert!(first.0["previous"].is_null());
    for (manifest, before) in [(&unchanged, &first), (&changed, &unchanged)] {
        assert_eq!(manifest.0["previous"]["id"], before.0["id"]);
        assert_eq!(manifest.0["previous"]["digest"], digest(&recorded(&shop, before)));
        assert_eq!(manifest.source("data")["change"]["release"], before.0["id"]);
    }
    assert_eq!(changed.source("data")["verification"]["mode"], "new");
}

#[test]
fn the_manifest_is_what_its_schema_says() {
    let shop = Shop::with("[environment.staging]\ntier = \"critical\"\nrpo = \"1h\"\n");
    shop.gate(&["data"]).expect(0);
    let passed = shop.manifest();
    assert_valid("manifest", &passed.0);
    assert_eq!(passed.state(), "passed");
    assert_eq!(passed.0["decision"]["result"], "pass");
    assert_eq!(passed.codes("refusal"), [""; 0]);
    assert_eq!(passed.0["environment"], serde_json::json!({ "name": STAGING, "tier": "critical" }));
    assert_eq!(
        (&passed.0["objectives"]["rpo"], &passed.0["release"]["from"]["probe"]),
        (&3600.into(), &"first".into())
    );
    let source = passed.source("data");
    assert_eq!(
        (&source["kind"], &source["outcome"], &source["items"]),
        (&"files".into(), &"verified".into(), &4.into())
    );
    assert_eq!(source["bytes"], 14 + 7);
    let tree = source["snapshot"]["tree"].as_str().unwrap();
    assert_eq!(source["verification"]["digest"], format!("sha256:{tree}"));
    let tags = ["application=shop", "environment=staging", "version=1.4.0", "source=data"];
    assert!(tags.iter().all(|tag| source["snapshot"]["tags"].as_array().unwrap().contains(&(*tag).into())));
    // The record of a run that was refused before it held the lease is one too.
    shop.gate(&["missing"]).expect(10);
    assert_valid("manifest", &shop.manifest().0);
}

/// A configuration with a source of every kind and a whole way back.
fn all_kinds() -> String {
    format!(
        r#"
[[source]]
name = "notes"
kind = "command"
command = {dump}
restore = {load}
restore_order = 2

[[source]]
name = "orders"
kind = "sqlite"
path = "shop.db"
owner = "dba@acme.example"
restore_order = 1

[[source]]
name = "uploads"
kind = "files"
paths = ["data"]
restore_order = 3

[environment.staging.deployed]
kind = "file"
path = "deployed"

[environment.staging.rollback]
before = [{before}]
redeploy = {redeploy}
after = [{after}]
"#,
        dump = shell("cat notes"),
        load = shell("cat > notes"),
        before = shell("echo stopped >> steps"),
        redeploy = shell("echo 1.3.0 > deployed; echo deployed >> steps"),
        after = shell("echo 'it'\\''s started' >> steps"),
    )
}

fn total(shop: &Shop) -> i64 {
    let connection = Connection::open(shop.path("shop.db")).unwrap();
    connection.query_row("SELECT sum(total) FROM orders", [], |row| row.get(0)).unwrap()
}

#[test]
fn the_way_back_of_the_manifest_works_as_printed() {
    let shop = Shop::with(&all_kinds());
    let connection = Connection::open(shop.path("shop.db")).unwrap();
    connection.execute_batch("CREATE TABLE orders (total); INSERT INTO orders VALUES (40), (2)").unwrap();
    shop.write("notes", "the first note\n").write("deployed", "1.3.0\n");
    let release = ["gate", "-e", STAGING, "--release", "1.4.0", "--commit", super::shop::COMMIT];
    shop.holdpoint.run(release).expect(0);
    shop.restic(STAGING).check();
    let manifest = shop.manifest();
    let sources: Vec<_> =
        manifest.0["sources"].as_array().unwrap().iter().map(|source| source["name"].as_str().unwrap()).collect();
    assert_eq!(sources, ["orders", "notes", "uploads"]);
    assert_eq!(manifest.source("orders")["content"]["integrity_check"], "ok");
    assert_eq!(manifest.source("orders")["owner"], "dba@acme.example");
    assert_eq!(manifest.source("notes")["bytes"], 15);
    assert_eq!(manifest.0["release"]["from"]["version"], "1.3.0");
    assert_eq!(shop.restic(STAGING).snapshots().len(), 3);

    // The new release spoils everything.
    connection.execute_batch("DELETE FROM orders").unwrap();
    drop(connection);
    shop.write("notes", "spoilt").write("data/orders.csv", "spoilt").write("deployed", "1.4.0\n");
    fs::remove_dir_all(shop.path("data/uploads")).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_holdpoint")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let steps = manifest.0["rollback"]["steps"].as_array().unwrap();
    for step in steps {
        let command = step["command"].as_str().unwrap();
        let mut sh = crate::support::environment::command("sh", shop.holdpoint.home());
        must(sh.current_dir(shop.path("")).env("PATH", &path).args(["-c", command]));
    }
    assert_eq!(steps.len(), 7);
    assert_eq!(total(&shop), 42);
    assert_eq!(shop.read("notes"), "the first note\n");
    assert_eq!(
        (shop.read("data/orders.csv"), shop.read("data/uploads/logo.txt")),
        ("id,total\n1,10\n".into(), "a logo\n".into())
    );
    assert_eq!(shop.read("steps"), "stopped\ndeployed\nit's started\n");
    shop.restic(STAGING).check();
}

#[test]
fn a_way_back_names_the_configuration_that_is_not_found_without() {
    let shop = Shop::new();
    shop.write(
        "conf/shop.toml",
        format!(
            "[[source]]\nname = \"notes\"\nkind = \"command\"\ncommand = {}\nrestore = {}\ndirectory = \"..\"\n",
            shell("cat notes"),
            shell("cat > notes"),
        ),
    );
    shop.write("notes", "before").gate(&["--config", "conf/shop.toml"]).expect(0);
    shop.write("notes", "after");
    let manifest = shop.manifest();
    let steps = manifest.0["rollback"]["steps"].as_array().unwrap();
    let command = steps[0]["command"].as_str().unwrap();
    assert!(command.starts_with("holdpoint restore notes --config "), "{command}");
    let arguments = shlex::split(command).unwrap();
    shop.holdpoint.run(&arguments[1..]).expect(0);
    assert_eq!(shop.read("notes"), "before");
}

#[test]
fn two_gates_in_different_environments_pass_side_by_side() {
    let shop = Shop::new();
    let pairs = [(STAGING, "review/x"), ("review/x", STAGING)];
    let file = |environment: &str| environment.replace('/', "-");
    for (own, other) in pairs {
        let script =
            format!("touch {}.in; while ! test -e {}.in; do sleep 0.02; done; echo data", file(own), file(other));
        let config = format!("[[source]]\nname = \"orders\"\nkind = \"command\"\ncommand = {}\n", shell(&script));
        shop.write(&format!("{}.toml", file(own)), config);
    }
    let runs = pairs.map(|(own, _)| {
        let (config, manifest) = (format!("{}.toml", file(own)), format!("{}.json", file(own)));
        let more = ["--config", &config, "--manifest-out", &manifest, "data"];
        shop.holdpoint.start(arguments("gate", own, "1.4.0", &more))
    });
    for run in runs {
        run.wait().expect(0);
    }
    shop.restic(STAGING).check();
    shop.restic("review%2Fx").check();
    for (own, _) in pairs {
        assert_eq!(Manifest::read(&shop.path(&format!("{}.json", file(own)))).state(), "passed");
    }
    shop.assert_nothing_left();
}

#[test]
fn snapshot_captures_outside_of_a_deploy() {
    let shop = Shop::new();
    shop.holdpoint.run(arguments("snapshot", STAGING, "1.4.0", &["data"])).expect(0);
    let snapshot = shop.manifest();
    assert_eq!(snapshot.source("data")["outcome"], "verified");
    assert!(!snapshot.codes("warning").contains(&"unsigned"));
    shop.restic(STAGING).check();
    // It counts: the gate after it stores nothing again.
    shop.gate(&["data"]).expect(0);
    assert!(shop.manifest().bytes_added() < DIRECTORIES);
    assert_eq!(shop.restic(STAGING).snapshots().len(), 2);
    shop.assert_nothing_left();
}

#[test]
fn the_page_is_written_where_it_is_asked_for_and_into_the_ledger() {
    let shop = Shop::new();
    shop.gate(&["data", "--html-out", "out/page.html", "--manifest-out", "out/manifest.json"]).expect(0);
    let manifest = Manifest::read(&shop.path("out/manifest.json"));
    let page = shop.read("out/page.html");
    assert!(page.contains(manifest.0["id"].as_str().unwrap()) && page.contains("holdpoint restore data"));
    assert_eq!(fs::read_to_string(recorded(&shop, &manifest).with_extension("html")).unwrap(), page);
    assert_eq!(names(&shop.path("out")), ["manifest.json", "page.html"]);
    // A run that is refused has a page too.
    shop.gate(&["missing", "--html-out", "refused.html"]).expect(10);
    assert!(shop.read("refused.html").contains("missing does not exist"));
}

#[test]
fn a_busy_writer_does_not_keep_the_copy_from_being_whole() {
    let shop = Shop::with("[[source]]\nname = \"orders\"\nkind = \"sqlite\"\npath = \"shop.db\"\n");
    let writer = Connection::open(shop.path("shop.db")).unwrap();
    let schema = "PRAGMA journal_mode = WAL; CREATE TABLE one (n INTEGER); CREATE TABLE two (n INTEGER)";
    writer.execute_batch(schema).unwrap();
    let mut run = shop.start(&[]);
    let mut written = 0;
    // Both tables change in one transaction, so no state of the database has them differ.
    while !run.ended() {
        let batch = "BEGIN; INSERT INTO one VALUES (1); INSERT INTO two VALUES (1); COMMIT";
        writer.execute_batch(batch).unwrap();
        written += 1;
    }
    run.wait().expect(0);
    let target = shop.beside("restored");
    let target_flag = target.to_str().unwrap();
    shop.holdpoint.run(["restore", "orders", "-e", STAGING, "--target", target_flag]).expect(0);
    let copy = Connection::open(target.join("shop.db")).unwrap();
    let count = |table: &str| -> i64 {
        copy.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("one"), count("two"));
    assert!(count("one") <= written);
    shop.restic(STAGING).check();
}

#[test]
fn an_interrupted_gate_goes_on_from_what_it_stored() {
    let shop = Shop::new();
    let mut random = vec![0; 40 << 20];
    getrandom::fill(&mut random).unwrap();
    shop.write("data/random", &random);
    fs::File::create(shop.path("data/zz-endless")).unwrap().set_len(1 << 40).unwrap();
    let mut run = shop.start(&["data"]);
    let packs = shop.place(STAGING).join("repository/data");
    until(&mut run, "a pack was stored", || !names(&packs).is_empty());
    run.signal(rustix::process::Signal::INT);
    run.wait().expect(130);
    shop.assert_nothing_left();
    shop.restic(STAGING).check();
    fs::remove_file(shop.path("data/zz-endless")).unwrap();
    shop.gate(&["data"]).expect(0);
    // At least one pack is not stored again.
    assert!(shop.manifest().bytes_added() < 36 << 20, "{}", shop.manifest().bytes_added());
    shop.restic(STAGING).check();
}
