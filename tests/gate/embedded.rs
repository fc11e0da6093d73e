//! The embedded store and its key, and that no secret gets anywhere.

use super::shop::{STAGING, Shop, arguments, names, shell};
use crate::support::holdpoint::PASSWORD;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[test]
fn the_embedded_store_is_refused_where_it_dies_with_a_runner() {
    let shop = Shop::new();
    let workspace = fs::canonicalize(shop.path("")).unwrap().display().to_string();
    let shop = shop.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", workspace);
    let output = shop.gate(&["data"]).expect(2);
    output.says(&["would die with this CI runner", "hint: name a store that outlives the job", "do not deploy"]);
    assert!(!shop.path(".holdpoint").exists() && !shop.path("holdpoint-manifest.json").exists());
    let store = shop.beside("store").display().to_string();
    let shop = shop.env("HOLDPOINT_PASSWORD", PASSWORD);
    shop.gate(&["data", "--store", &store]).expect(0);
    assert!(!shop.path(".holdpoint").exists());
}

#[test]
fn the_key_and_the_store_are_never_part_of_a_snapshot() {
    let shop = Shop::new();
    for _ in 0..2 {
        shop.gate(&["."]).expect(0);
    }
    let listed = shop.restic(STAGING).run(&["ls", "latest"]);
    assert!(listed.contains("/shop/data/orders.csv"), "{listed}");
    assert!(!listed.contains(".holdpoint/") && !listed.contains("holdpoint-manifest.json"), "{listed}");
    // Nor where the key is named outright.
    let output = shop.gate(&[".holdpoint"]);
    assert_ne!(output.code, Some(0), "{}", output.stdout);
    let mode = fs::metadata(shop.path(".holdpoint/key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(shop.read(".holdpoint/.gitignore").lines().any(|line| line == "*"));
}

#[test]
fn a_store_named_in_another_way_is_the_embedded_one_all_the_same() {
    let shop = Shop::new();
    std::os::unix::fs::symlink(shop.path(""), shop.beside("link")).unwrap();
    shop.gate(&["data"]).expect(0);
    let linked = shop.beside("link/data").display().to_string();
    shop.gate(&[&linked]).expect(0);
    shop.gate(&["data", "--store", ".holdpoint/store"]).expect(0);
    assert_eq!(shop.restic(STAGING).snapshots().len(), 3);
}

/// Returns the files below a directory that hold one of `secrets` as they are.
fn leaks(directory: &Path, secrets: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for name in names(directory) {
        let path = directory.join(&name);
        if path.is_dir() {
            found.extend(leaks(&path, secrets));
        } else {
            let content = fs::read(&path).unwrap();
            let holds = |secret: &str| content.windows(secret.len()).any(|window| window == secret.as_bytes());
            found.extend(secrets.iter().filter(|secret| holds(secret)).map(|_| path.display().to_string()));
        }
    }
    found
}

#[test]
fn no_secret_is_in_the_record_the_pages_or_the_logs() {
    const TOKEN: &str = "s3cr3t-token-of-the-database";
    let script = "echo \"cannot log in with $DB_TOKEN\" >&2; test -e go && echo data";
    let config = format!(
        "[gate]\nretry = {{ attempts = 2, backoff = \"1ms\" }}\n[[source]]\nname = \"orders\"\nkind = \"command\"\n\
         command = {}\nenv = {{ DB_TOKEN = {{ env = \"DATABASE_TOKEN\" }} }}\n",
        shell(script)
    );
    let shop = Shop::with(&config).env("DATABASE_TOKEN", TOKEN).env("HOLDPOINT_PASSWORD", PASSWORD);
    let store = shop.beside("store");
    let store_flag = store.display().to_string();
    let more = ["--store", &store_flag, "--html-out", "page.html", "-v"];
    let secrets = [TOKEN, PASSWORD];
    let mut printed = Vec::new();
    for exit in [10, 0] {
        printed.push(shop.gate(&more).expect(exit));
        shop.write("go", "");
    }
    printed.push(shop.holdpoint.run(arguments("plan", STAGING, "1.4.0", &["--store", &store_flag])).expect(0));
    for command in ["releases", "show"] {
        let arguments = [command, "-e", STAGING, "--store", &store_flag, "--format", "json"];
        printed.push(shop.holdpoint.run(arguments));
    }
    assert!(printed[0].stderr.contains("cannot log in with"), "{}", printed[0].stderr);
    for output in printed {
        assert!(!secrets.iter().any(|secret| output.stdout.contains(secret)), "{}", output.stdout);
        assert!(!secrets.iter().any(|secret| output.stderr.contains(secret)), "{}", output.stderr);
    }
    assert_eq!(leaks(&shop.path(""), &secrets), [""; 0]);
    assert_eq!(leaks(&store, &secrets), [""; 0]);
    // The program that is run gets what it needs and nothing of the store's.
    let shop = Shop::with(&config.replace("test -e go", "env >&2; false"));
    let shop = shop.env("DATABASE_TOKEN", TOKEN).env("HOLDPOINT_PASSWORD", PASSWORD);
    let output = shop.gate(&["--store", &shop.beside("store").display().to_string()]).expect(10);
    assert!(!output.stderr.contains("HOLDPOINT_PASSWORD") && !output.stderr.contains(PASSWORD), "{}", output.stderr);
}

#[test]
fn the_key_of_the_embedded_store_is_missed_by_name() {
    let shop = Shop::new();
    shop.gate(&["data"]).expect(0);
    let key = shop.path(".holdpoint/key");
    fs::rename(&key, shop.beside("key")).unwrap();
    let output = shop.gate(&["data"]).expect(10);
    output.refuses_in_words().says(&[".holdpoint/key, cannot be read"]);
    shop.manifest().assert_refused("refused", &["store-failed"]);
    assert!(!key.exists(), "a new key was made for snapshots that it does not open");
    fs::rename(shop.beside("key"), &key).unwrap();
    shop.gate(&["data"]).expect(0);
    shop.assert_nothing_left();
}
