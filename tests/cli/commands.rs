//! Every command, on a small application.

use crate::support::shared::{self, Restic};
use crate::support::shop::{COMMIT, Shop, assert_valid};
use crate::support::{sample, tree};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const STAGING: [&str; 2] = ["--environment", "staging"];

/// Runs a command for `staging`.
fn staging(shop: &Shop, exit: u8, arguments: &[&str]) -> crate::support::holdpoint::Output {
    shop.run(&[arguments, &STAGING].concat()).expect(exit)
}

/// Makes a database with one order.
fn database(path: &Path) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("CREATE TABLE orders (item TEXT); INSERT INTO orders VALUES ('mug')").unwrap();
}

fn orders(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT item FROM orders").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Returns where a path of this machine lies in a restored tree.
fn below(target: &Path, path: &Path) -> PathBuf {
    target.join(path.strip_prefix("/").unwrap())
}

#[test]
fn init_writes_a_configuration_that_works_as_it_is() {
    let shop = Shop::new();
    database(&shop.path().join("db/orders.sqlite"));
    shop.write("notes.sqlite", "no database").write("node_modules/x.sqlite", "SQLite format 3\0");
    let output = staging(&shop, 0, &["init"]);
    assert!(output.stdout.starts_with("wrote holdpoint.toml\nthe repository is at "), "{}", output.stdout);
    assert!(output.stdout.contains("`holdpoint doctor -e staging`"), "{}", output.stdout);
    let written = std::fs::read_to_string(shop.path().join("holdpoint.toml")).unwrap();
    let read: toml::Table = written.parse().unwrap();
    let names: Vec<_> =
        read["source"].as_array().unwrap().iter().map(|source| source["name"].as_str().unwrap()).collect();
    assert_eq!((read["application"].as_str(), names), (Some("shop"), vec!["uploads", "orders"]));
    assert_valid("config", &serde_json::to_value(&read).unwrap());
    assert!(shop.restic("staging", &["snapshots", "--json"]).contains("[]"));
    let key = std::fs::metadata(shop.path().join(".holdpoint/key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    staging(&shop, 0, &["doctor"]);
    shop.gate("1.4.0", &["--first"]).expect(0);
    assert_eq!(shop.manifest()["sources"].as_array().unwrap().len(), 2);

    let before = shop.files();
    shop.run(&["init"]).expect(2).says(&["holdpoint.toml exists already", "--force"]).refuses_in_words();
    assert_eq!(shop.files(), before);
    shop.configure("application = \"other\"\n");
    let document = staging(&shop, 0, &["init", "--force", "--format", "json"]).json();
    assert_eq!((&document["command"], &document["exit_code"]), (&"init".into(), &0.into()));
    assert!(document["repository"].as_str().unwrap().ends_with("/staging/repository"), "{document}");
}

#[test]
fn doctor_looks_at_everything_and_changes_nothing() {
    let shop = Shop::new();
    let before = shop.files();
    let output = staging(&shop, 0, &["doctor", "uploads", "--first"]);
    for line in [
        "ok    release: the version to deploy is unknown",
        "ok    source uploads: files",
        "ok    store",
        "ok    repository",
        "ok    clock",
    ] {
        assert!(output.stdout.contains(line), "{line}\n{}", output.stdout);
    }
    let left: Vec<_> = shop.files().into_keys().filter(|path| path.is_file() && !before.contains_key(path)).collect();
    assert_eq!(left, [] as [PathBuf; 0], "doctor leaves no file behind");
    let document = staging(&shop, 0, &["doctor", "uploads", "--format", "json"]).json();
    assert_valid("verdict", &document);
    assert_eq!((&document["verdict"], &document["findings"][0]["code"]), (&"pass".into(), &"probe-missing".into()));

    let output = staging(&shop, 10, &["doctor", "uploads", "missing", "--first"]);
    assert!(output.stdout.contains("FAIL  source missing"), "{}", output.stdout);
    output.says(&["next: holdpoint "]).refuses_in_words();
    let document = staging(&shop, 10, &["doctor", "missing", "--format", "json"]).json();
    assert_valid("verdict", &document);
    staging(&shop, 2, &["doctor", "uploads", "--release", "new"]).says(&["`new` is not a semantic version"]);
}

#[test]
fn doctor_tries_the_store_and_its_password() {
    let shop = Shop::with(|holdpoint| holdpoint.password());
    let store = shop.beside("store");
    let at =
        |store: &Path| ["--first".to_owned(), "uploads".to_owned(), "--store".to_owned(), store.display().to_string()];
    let flags = at(&store);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    shop.gate("1.4.0", &flags).expect(0);
    staging(&shop, 0, &[&["doctor"], &flags[..]].concat());
    let mut other = shop.holdpoint().command([&["doctor"], &STAGING[..], &flags].concat());
    let output = other.env("HOLDPOINT_PASSWORD", "wrong").output().unwrap();
    assert_eq!(output.status.code(), Some(10));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("FAIL  repository") && stdout.contains("password"), "{stdout}");
    shop.write("file", "not a directory");
    let flags = at(&shop.path().join("file"));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let output = staging(&shop, 10, &[&["doctor"], &flags[..]].concat());
    assert!(output.stdout.contains("FAIL  store"), "{}", output.stdout);
    shop.gate("1.5.0", &flags).expect(10).refuses_in_words();
}

#[test]
fn plan_captures_nothing() {
    let shop = Shop::new();
    let plan = ["plan", "uploads", "--first", "--release", "1.4.0", "--commit", COMMIT];
    let before = shop.files();
    let output = staging(&shop, 0, &plan);
    assert!(
        output.stdout.contains("shop → staging") && output.stdout.contains("never captured before"),
        "{}",
        output.stdout
    );
    assert_eq!(shop.files(), before, "nothing is there before the first gate, and nothing after a plan");
    shop.gate("1.4.0", &["--first", "uploads"]).expect(0);
    let before = shop.files();
    let output = staging(&shop, 0, &plan);
    assert!(output.stdout.contains("23 B last time"), "{}", output.stdout);
    let document = staging(&shop, 0, &[&plan[..], &["--format", "json"]].concat()).json();
    assert_eq!((&document["verdict"], &document["sources"][0]["bytes_before"]), (&"pass".into(), &23.into()));
    let missing = ["plan", "missing", "--release", "1.4.0", "--commit", COMMIT];
    staging(&shop, 10, &missing).says(&["next: holdpoint "]).refuses_in_words();
    assert_eq!(shop.files(), before);
}

#[test]
fn snapshot_captures_outside_of_a_deploy() {
    let shop = Shop::new();
    staging(&shop, 0, &["snapshot", "uploads", "--release", "1.4.0", "--commit", COMMIT]);
    let document =
        staging(&shop, 0, &["snapshot", "uploads", "--release", "1.4.0", "--commit", COMMIT, "--format", "json"])
            .json();
    assert_valid("verdict", &document);
    assert_eq!(document["command"], "snapshot");
    let snapshots: Value = serde_json::from_str(&shop.restic("staging", &["snapshots", "--json"])).unwrap();
    assert_eq!(snapshots.as_array().unwrap().len(), 2);
}

#[test]
fn releases_and_show_tell_the_ledger() {
    let shop = Shop::new();
    let none = staging(&shop, 0, &["releases"]);
    assert_eq!(none.stdout, "no releases yet\n");
    shop.gate("1.4.0", &["--first", "uploads"]).expect(0);
    let first = shop.manifest()["id"].as_str().unwrap().to_owned();
    shop.gate("1.5.0", &["--from", "1.4.0", "uploads"]).expect(0);
    let second = shop.manifest()["id"].as_str().unwrap().to_owned();
    let list = staging(&shop, 0, &["releases"]).stdout;
    let (at_first, at_second) = (list.find(&first).unwrap(), list.find(&second).unwrap());
    // Within one second the identifier's random part decides.
    assert_eq!(at_second < at_first, second > first, "newest first\n{list}");
    let document = staging(&shop, 0, &["releases", "--format", "json", "-n", "1"]).json();
    let releases = document["releases"].as_array().unwrap();
    assert_eq!((releases.len(), &releases[0]["id"]), (1, &first.clone().max(second.clone()).into()));
    assert_valid("manifest", &releases[0]["manifest"]);

    let beginning = &first[..first.len() - 2];
    let text = staging(&shop, 0, &["show", beginning]).stdout;
    assert!(text.contains(&first) && text.contains("can we roll back now?"), "{text}");
    assert!(text.contains("holdpoint restore uploads --application shop --environment staging --store "), "{text}");
    let document = staging(&shop, 0, &["show", &second, "--format", "json"]).json();
    assert_eq!((&document["manifest"], &document["events"]), (&shop.manifest(), &json!([])));
    let page = staging(&shop, 0, &["show", &first, "--html"]).stdout;
    assert!(page.to_lowercase().starts_with("<!doctype html>") && page.contains(&first), "{page}");
    staging(&shop, 2, &["show", "2"])
        .says(&["is the start of 2 releases", "hint: give more characters"])
        .refuses_in_words();
    staging(&shop, 2, &["show", "1999"]).says(&["no release `1999`", "holdpoint releases"]).refuses_in_words();
}

#[test]
fn ls_lists_what_a_snapshot_holds() {
    let shop = Shop::new();
    database(&shop.path().join("orders.sqlite"));
    let sources = "[[source]]\nname = \"orders\"\nkind = \"sqlite\"\npath = \"orders.sqlite\"\n";
    shop.configure(&format!("{sources}[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"uploads\"]\n"));
    shop.gate("1.4.0", &["--first"]).expect(0);
    let uploads = shop.path().canonicalize().unwrap().join("uploads");
    let file = uploads.join("invoice.txt").display().to_string();
    let output = staging(&shop, 0, &["ls", "--source", "uploads"]);
    assert!(output.stdout.lines().any(|line| line == file), "{}", output.stdout);
    output.says(&["snapshot ", " of uploads, taken "]);
    let output = staging(&shop, 0, &["ls", "--source", "orders"]);
    assert_eq!(output.stdout, "/orders.sqlite\n");
    let one = staging(&shop, 0, &["ls", "--source", "uploads", "--long", &file]).stdout;
    assert!(one.starts_with("-0644 ") && one.contains(" 19 ") && one.trim_end().ends_with(&file), "{one}");
    let below = staging(&shop, 0, &["ls", "--source", "uploads", uploads.to_str().unwrap(), "--format", "json"]).json();
    let paths: Vec<_> = below["nodes"].as_array().unwrap().iter().map(|node| node["path"].as_str().unwrap()).collect();
    assert_eq!(paths, [file.as_str(), &file.replace("invoice.txt", "mug.png")]);
    staging(&shop, 2, &["ls", "/nowhere"]).says(&["the snapshot holds no /nowhere"]).refuses_in_words();
    staging(&shop, 2, &["ls", "--snapshot", "zzz"]).says(&["there is no snapshot `zzz`"]).refuses_in_words();
    staging(&shop, 2, &["ls", "--source", "mails"]).says(&["no source `mails`", "orders, uploads"]).refuses_in_words();
}

#[test]
fn check_finds_damage() {
    let shop = Shop::new();
    shop.write("uploads/noise", sample::noise(100_000, 7));
    shop.gate("1.4.0", &["--first", "uploads"]).expect(0);
    let output = staging(&shop, 0, &["check", "--read-data"]);
    assert!(output.stdout.ends_with("no problem was found\n"), "{}", output.stdout);
    let packs = std::fs::read_dir(shop.repository("staging").join("data")).unwrap();
    let packs =
        packs.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap()).map(|file| file.unwrap().path());
    let pack = packs.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[1000] ^= 1;
    std::fs::set_permissions(&pack, PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(&pack, bytes).unwrap();
    let output = staging(&shop, 12, &["check", "--read-data"]);
    assert!(output.stdout.contains("damaged "), "{}", output.stdout);
    output.refuses_in_words();
    let document = staging(&shop, 12, &["check", "--read-data", "--format", "json"]).json();
    assert_eq!(document["exit_code"], 12);
    assert!(!document["problems"].as_array().unwrap().is_empty(), "{document}");
    let restore = staging(&shop, 17, &["restore", "uploads", "--target", "out"]);
    restore.refuses_in_words();
}

#[test]
fn a_source_is_restored_beside_or_where_it_came_from() {
    let shop = Shop::new();
    shop.gate("1.4.0", &["--first", "uploads"]).expect(0);
    let (uploads, out) = (shop.path().canonicalize().unwrap().join("uploads"), shop.beside("out"));
    let target = ["restore", "uploads", "--target", out.to_str().unwrap()];
    let output = staging(&shop, 0, &target);
    assert!(output.stdout.starts_with("restored uploads (snapshot "), "{}", output.stdout);
    tree::assert_same(&uploads, &below(&out, &uploads));
    staging(&shop, 2, &target).says(&["is not empty", "--force"]).refuses_in_words();
    std::fs::write(below(&out, &uploads).join("invoice.txt"), "altered").unwrap();
    let document = staging(&shop, 0, &[&target[..], &["--force", "--format", "json"]].concat()).json();
    assert_eq!(
        (&document["source"], &document["files"], &document["bytes"]),
        (&"uploads".into(), &2.into(), &23.into())
    );
    tree::assert_same(&uploads, &below(&out, &uploads));

    shop.write("uploads/invoice.txt", "overwritten by the deploy");
    staging(&shop, 2, &["restore", "uploads"]).says(&["overwrites what is there", "--force"]).refuses_in_words();
    assert_eq!(std::fs::read(uploads.join("invoice.txt")).unwrap(), b"overwritten by the deploy");
    staging(&shop, 0, &["restore", "uploads", "--force", "--manifest", "holdpoint-manifest.json"]);
    tree::assert_same(&below(&out, &uploads), &uploads);
    staging(&shop, 2, &["restore", "mails"])
        .says(&["no source `mails`", "its sources are: uploads"])
        .refuses_in_words();
}

#[test]
fn a_database_is_put_back_in_its_place() {
    let shop = Shop::new();
    let path = shop.path().join("orders.sqlite");
    database(&path);
    shop.configure("[[source]]\nname = \"orders\"\nkind = \"sqlite\"\npath = \"orders.sqlite\"\n");
    shop.gate("1.4.0", &["--first"]).expect(0);
    Connection::open(&path).unwrap().execute("DELETE FROM orders", []).unwrap();
    staging(&shop, 17, &["restore", "orders"]).says(&["exists and is not empty", "--force"]).refuses_in_words();
    assert_eq!(orders(&path), [] as [&str; 0]);
    staging(&shop, 0, &["restore", "orders", "--force"]);
    assert_eq!(orders(&path), ["mug"]);
    staging(&shop, 0, &["restore", "orders", "--target", "out"]);
    assert_eq!(orders(&shop.path().join("out/orders.sqlite")), ["mug"]);
    std::fs::remove_file(&path).unwrap();
    staging(&shop, 0, &["restore", "orders"]);
    assert_eq!(orders(&path), ["mug"]);
}

#[test]
fn a_stream_goes_back_through_its_program() {
    let shop = Shop::new();
    shop.write("queue", "three messages\n");
    let source = |restore: &str| {
        format!("[[source]]\nname = \"queue\"\nkind = \"command\"\ncommand = [\"cat\", \"queue\"]\n{restore}\n")
    };
    shop.configure(&source("restore = [\"sh\", \"-c\", \"cat > restored\"]"));
    shop.gate("1.4.0", &["--first"]).expect(0);
    staging(&shop, 0, &["restore", "queue"]);
    assert_eq!(std::fs::read(shop.path().join("restored")).unwrap(), b"three messages\n");
    staging(&shop, 0, &["restore", "queue", "--target", "out"]);
    assert_eq!(std::fs::read(shop.path().join("out/queue")).unwrap(), b"three messages\n");
    shop.configure(&source("restore = [\"sh\", \"-c\", \"cat > /dev/null; exit 3\"]"));
    staging(&shop, 17, &["restore", "queue"]).says(&["3"]).refuses_in_words();
    shop.configure(&source(""));
    staging(&shop, 17, &["restore", "queue"]).says(&["no program that restores it", "--target DIR"]).refuses_in_words();
    shop.configure("");
    staging(&shop, 2, &["restore", "queue"]).says(&["no source `queue`", "--config FILE"]).refuses_in_words();
}

#[test]
fn a_repository_of_restic_is_read_as_it_is() {
    let shop = Shop::with(|holdpoint| holdpoint.env("HOLDPOINT_PASSWORD", shared::PASSWORD));
    let (folder, repository, out) = (shop.beside("sample"), shop.beside("repository"), shop.beside("out"));
    sample::build(&folder);
    std::fs::remove_file(folder.join(sample::LINK_TO_BYTES)).unwrap();
    let restic = Restic::at(&repository).init_by_restic();
    restic.backup(&folder);
    let bare = ["--repository", repository.to_str().unwrap()];
    let run = |exit, arguments: &[&str]| shop.run(&[arguments, &bare].concat()).expect(exit);
    let output = run(0, &["check", "--read-data"]);
    assert!(output.stdout.contains(": 1 snapshot, "), "{}", output.stdout);
    let listed = run(0, &["ls"]).stdout;
    let ours: Vec<_> = listed.lines().filter(|line| line.starts_with("/sample/folder/")).collect();
    let theirs = restic.command(&["ls", "latest"]).output().unwrap().stdout;
    let theirs = String::from_utf8_lossy(&theirs).into_owned();
    let theirs: Vec<_> = theirs.lines().filter(|line| line.starts_with("/sample/folder/")).collect();
    assert_eq!(ours, theirs);
    run(0, &["restore", "--snapshot", "latest", "--target", out.to_str().unwrap()]);
    tree::assert_same(&folder, &out.join("sample"));
    run(2, &["restore"]).says(&["--target DIR"]).refuses_in_words();
    run(2, &["restore", "--snapshot", "0000", "--target", "x"])
        .says(&["there is no snapshot `0000`"])
        .refuses_in_words();
    run(2, &["restore", "uploads"]).says(&["--repository"]).refuses_in_words();
    let s3 = ["check", "--repository", "s3://key:secret@bucket/prefix"];
    let output = shop.run(&s3).expect(2);
    output.refuses_in_words();
    assert!(!output.stderr.contains("secret"), "{}", output.stderr);
}

#[test]
fn a_password_comes_from_a_variable_a_file_or_a_program() {
    let shop = Shop::new();
    let repository = shop.beside("repository");
    let _restic = Restic::at(&repository).init();
    shop.write("password", format!("{}\n", shared::PASSWORD));
    let check = |variables: &[(&str, &str)]| {
        let mut command = shop.holdpoint().command(["check", "--repository", repository.to_str().unwrap()]);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(check(&[("HOLDPOINT_PASSWORD", shared::PASSWORD)]).0, 0);
    assert_eq!(check(&[("HOLDPOINT_PASSWORD_FILE", "password")]).0, 0);
    assert_eq!(check(&[("HOLDPOINT_PASSWORD_COMMAND", "cat 'password'")]).0, 0);
    let (code, stderr) = check(&[("HOLDPOINT_PASSWORD", "battery staple")]);
    assert_eq!(code, 10, "{stderr}");
    assert!(stderr.contains("password") && !stderr.contains("battery staple"), "{stderr}");
    let (code, stderr) = check(&[]);
    assert!(code == 2 && stderr.contains("no password for the repository"), "{stderr}");
    let key = std::fs::read_dir(repository.join("keys")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(key).unwrap();
    assert_ne!(check(&[("HOLDPOINT_PASSWORD", shared::PASSWORD)]).0, 0);
}

#[test]
fn the_schemas_describe_what_is_written_and_read() {
    let shop = Shop::new();
    for name in ["manifest", "config", "verdict"] {
        let schema = shop.run(&["schema", name]).expect(0).json();
        assert!(jsonschema::meta::is_valid(&schema), "{name}");
    }
    shop.gate("1.4.0", &["--first", "uploads"]).expect(0);
    assert_valid("manifest", &shop.manifest());
    let document = shop.gate("1.5.0", &["--from", "1.4.0", "uploads", "--format", "json"]).expect(0).json();
    assert_valid("verdict", &document);
    assert_valid("manifest", &shop.manifest());
    shop.gate("1.6.0", &["missing"]).expect(10);
    assert_valid("manifest", &shop.manifest());

    let page = include_str!("../../docs/configuration.md");
    let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let read: toml::Table = example.parse().unwrap();
    assert_valid("config", &serde_json::to_value(&read).unwrap());
    shop.configure(example);
    shop.run(&["releases", "-e", "production", "--store", "s"]).expect(2).says(&["no password"]);
}
