//! Bad input gets a clear message, its cause, the next step and the right exit code, and leaves nothing half-done.

use crate::support::git::Repository;
use crate::support::holdpoint::Output;
use crate::support::shop::{COMMIT, Shop, assert_valid};

/// Asserts that a run fails in words on stderr and in one document on stdout, and that it wrote nothing.
#[track_caller]
fn fails(shop: &Shop, arguments: &[&str], exit: u8, code: &str, says: &[&str]) -> Output {
    let before = shop.files();
    let text = shop.run(arguments).expect(exit);
    assert_eq!(text.stdout, "", "stdout carries the result only");
    text.says(says).says(&["error: ", "hint: "]).refuses_in_words();
    let json = shop.run(&[arguments, &["--format", "json"]].concat()).expect(exit);
    json.says(says).refuses_in_words();
    let document = json.json();
    assert_valid("verdict", &document);
    assert_eq!(
        (&document["exit_code"], &document["error"]["code"], &document["verdict"]),
        (&exit.into(), &code.into(), &"none".into()),
    );
    assert!(!document["error"]["hints"].as_array().unwrap().is_empty(), "{document}");
    assert_eq!(shop.files(), before, "something was left behind");
    text
}

const STAGING: [&str; 3] = ["gate", "-e", "staging"];

fn gate<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&STAGING, more].concat()
}

#[test]
fn a_release_that_nobody_names() {
    let shop = Shop::new();
    let git = Repository::new(shop.path());
    git.commit("Open the shop");
    let says = ["the version to deploy is unknown", "no tag at HEAD", "--release VERSION", "git tag v1.4.0"];
    fails(&shop, &gate(&["uploads"]), 2, "release-unknown", &says);
    fails(&shop, &["plan", "-e", "staging", "uploads"], 2, "release-unknown", &says);
}

#[test]
fn a_version_that_is_none() {
    let shop = Shop::new();
    for wrong in ["1.4", "latest", "1.4.0.0", "", "1.4.0 rc", "01.4.0", "ünï", "../../etc"] {
        fails(&shop, &gate(&["--release", wrong, "--commit", COMMIT, "uploads"]), 2, "release-unknown", &["--release"]);
    }
    let from = gate(&["--release", "1.4.0", "--commit", COMMIT, "--from", "old", "uploads"]);
    fails(&shop, &from, 2, "release-unknown", &["--from: `old` is not a semantic version"]);
    let newline = gate(&["--release", "1.4.0\n2", "--commit", COMMIT, "uploads"]);
    fails(&shop, &newline, 2, "release-unknown", &["line breaks"]);
}

#[test]
fn a_commit_that_git_does_not_know() {
    let shop = Shop::new();
    Repository::new(shop.path()).commit("Open the shop");
    let unknown = gate(&["--release", "1.4.0", "--commit", COMMIT, "uploads"]);
    fails(&shop, &unknown, 2, "commit-unknown", &["git does not know the commit 3f9c2ab"]);
    for wrong in ["main", "HEAD", "abc", ""] {
        let arguments = gate(&["--release", "1.4.0", "--commit", wrong, "uploads"]);
        fails(&shop, &arguments, 2, "commit-unknown", &["is not a commit", "git rev-parse"]);
    }
}

#[test]
fn no_git_working_tree_needs_a_commit() {
    let shop = Shop::new();
    let without = gate(&["--release", "1.4.0", "uploads"]);
    fails(&shop, &without, 2, "commit-unknown", &["this is not a git working tree", "--commit SHA"]);
    shop.gate("1.4.0", &["--first", "uploads"]).expect(0);
}

#[test]
fn an_empty_working_tree_has_no_commit() {
    let shop = Shop::new();
    Repository::new(shop.path());
    fails(&shop, &gate(&["--release", "1.4.0", "uploads"]), 2, "commit-unknown", &["there is no commit in"]);
}

#[test]
fn nothing_to_capture() {
    let shop = Shop::new();
    let nothing = gate(&["--release", "1.4.0", "--commit", COMMIT]);
    fails(&shop, &nothing, 2, "usage", &["nothing to capture", "[[source]]"]);
    for root in ["/", "//", "/..", "/tmp/.."] {
        // A plan, for a gate that took this would store the machine.
        let plan = ["plan", "-e", "staging", "--release", "1.4.0", "--commit", COMMIT, root];
        fails(&shop, &plan, 2, "usage", &["is the whole machine"]);
    }
    let empty = gate(&["--release", "1.4.0", "--commit", COMMIT, ""]);
    fails(&shop, &empty, 2, "usage", &["empty path", "is a variable of the pipeline unset?"]);
    shop.configure("[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = []\n");
    fails(&shop, &nothing, 2, "config", &["holdpoint.toml:4:9: `paths`"]);
    shop.configure("[[source]]\nname = \"uploads\"\nkind = \"files\"\npaths = [\"\"]\n");
    fails(&shop, &nothing, 2, "config", &["holdpoint.toml:4:"]);
}

#[test]
fn a_path_that_is_missing_refuses_and_is_recorded() {
    let shop = Shop::new();
    let output = shop.gate("1.4.0", &["--first", "uploads", "atachments"]).expect(10);
    output.says(&["refused: atachments: ", "does not exist", "next: holdpoint "]).refuses_in_words();
    let manifest = shop.manifest();
    assert_eq!((&manifest["state"], &manifest["decision"]["exit_code"]), (&"refused".into(), &10.into()));
    assert_eq!(manifest["decision"]["findings"][0]["code"], "path-missing");
    assert_valid("manifest", &manifest);
    let json = shop.gate("1.4.0", &["--first", "uploads", "atachments", "--format", "json"]).expect(10).json();
    assert_valid("verdict", &json);
    assert_eq!((&json["verdict"], &json["findings"][0]["source"]), (&"refuse".into(), &"atachments".into()));
    assert!(!shop.repository("staging").exists(), "nothing is stored for a gate that cannot pass");
}

#[test]
fn a_configuration_with_five_mistakes_shows_all_of_them() {
    let shop = Shop::new();
    shop.configure(
        "aplication = \"shop\"\n[gate]\ntimeout = \"soon\"\n[[source]]\nname = \"a\"\nkind = \"filez\"\n[[source]]\nname = \"b\"\n\
         kind = \"files\"\npaths = 7\n[environment.production]\nrpo = -1\n",
    );
    let says = [
        "holdpoint.toml has 5 mistakes",
        "holdpoint.toml:1:1: ",
        "did you mean `application`",
        "holdpoint.toml:3:11: ",
        "holdpoint.toml:6:8: ",
        "holdpoint.toml:10:9: ",
        "holdpoint.toml:12:7: ",
    ];
    let output = fails(&shop, &gate(&["--release", "1.4.0", "uploads"]), 2, "config", &says);
    let shown = output.stderr.lines().filter(|line| line.starts_with("holdpoint.toml:")).count();
    assert_eq!(shown, 5, "{}", output.stderr);
    for command in ["doctor", "plan", "snapshot", "reconcile", "releases", "check", "ls"] {
        fails(&shop, &[command, "-e", "staging"], 2, "config", &says);
    }
}

#[test]
fn a_configuration_that_is_not_there_or_not_text() {
    let shop = Shop::new();
    let named = gate(&["--release", "1.4.0", "--config", "other.toml"]);
    fails(&shop, &named, 2, "config", &["cannot read the configuration other.toml", "holdpoint init"]);
    shop.write("holdpoint.toml", b"application = \"\xff\"\n");
    fails(&shop, &gate(&["--release", "1.4.0"]), 2, "config", &["holdpoint.toml:1:16: the file is not UTF-8"]);
}

#[test]
fn a_command_line_that_does_not_parse() {
    let shop = Shop::new();
    fails(
        &shop,
        &gate(&["--relase", "1.4.0"]),
        2,
        "usage",
        &["'--relase'", "hint: a similar argument exists: '--release'"],
    );
    fails(&shop, &gate(&["--timeout", "soon"]), 2, "usage", &["--timeout"]);
    fails(
        &shop,
        &gate(&["--timeout", "0s", "--release", "1.4.0", "--commit", COMMIT, "uploads"]),
        2,
        "usage",
        &["--timeout"],
    );
    fails(&shop, &gate(&["--first", "--from", "1.0.0"]), 2, "usage", &["--from"]);
    fails(&shop, &["gte"], 2, "usage", &["unrecognized subcommand 'gte'", "'gate'", "next: holdpoint --help"]);
    fails(&shop, &[], 2, "usage", &["no command is given", "next: holdpoint --help"]);
    fails(&shop, &["restore"], 2, "usage", &["SOURCE"]);
    fails(&shop, &["show"], 2, "usage", &["<ID>", "next: holdpoint show --help"]);
    fails(&shop, &["schema", "verdct"], 2, "usage", &["'verdct'", "hint: a similar value exists: 'verdict'"]);
    let document = shop.run(&["--format", "json", "gate", "--relase"]).expect(2).json();
    assert_eq!(document["command"], "gate");
    let verbose = shop.run(&["gate", "-e", "staging", "-v", "--release", "new", "uploads"]).expect(2);
    verbose.says(&["configuration: none; working tree: none; CI system: none", "code: release-unknown"]);
    let document = shop.run(&["--format=json", "-e", "staging"]).expect(2).json();
    assert_eq!(document["command"], "holdpoint");
}

#[test]
fn an_environment_that_nobody_names() {
    let shop = Shop::new();
    shop.configure("[environment.staging]\n[environment.production]\n");
    let says = ["no environment is named", "the configuration knows production, staging"];
    for command in ["gate", "doctor", "plan", "snapshot", "reconcile", "releases", "check", "ls"] {
        fails(&shop, &[command], 2, "usage", &says);
    }
    fails(&shop, &["gate", "-e", ""], 2, "usage", &says);
}

#[test]
fn a_manifest_that_is_not_for_this() {
    let shop = Shop::new();
    shop.gate("1.4.0", &["--first", "uploads"]).expect(0);
    let bytes = std::fs::read(shop.path().join("holdpoint-manifest.json")).unwrap();
    shop.write("half.json", &bytes[..bytes.len() / 2]).write("empty.json", "").write("page.json", "<html>");
    let mut newer = shop.manifest();
    newer["schema_version"] = 2.into();
    shop.write("newer.json", newer.to_string());
    let mut unknown = shop.manifest();
    unknown["state"] = "perhaps".into();
    shop.write("unknown.json", unknown.to_string());
    for (file, says) in [
        ("half.json", "manifest half.json is truncated"),
        ("empty.json", "manifest empty.json is empty"),
        ("page.json", "manifest page.json is not JSON"),
        ("newer.json", "manifest newer.json has schema_version 2, newer than the 1"),
        ("unknown.json", "unknown variant `perhaps`"),
        ("missing.json", "missing.json: No such file"),
    ] {
        let of_file = ["-e", "staging", "--manifest", file];
        fails(&shop, &[&["reconcile", "--deployed", "1.4.0"], &of_file[..]].concat(), 16, "manifest-invalid", &[says]);
        fails(
            &shop,
            &[&["restore", "uploads", "--target", "out"], &of_file[..]].concat(),
            16,
            "manifest-invalid",
            &[says],
        );
    }
    for (flags, says) in [
        (["-e", "production", "--application", "shop"], "is for the environment staging, not for production"),
        (["-e", "staging", "--application", "office"], "is for the application shop, not for office"),
    ] {
        let manifest = ["--manifest", "holdpoint-manifest.json"];
        let reconcile = [&["reconcile", "--deployed", "1.4.0"], &flags[..], &manifest].concat();
        fails(&shop, &reconcile, 16, "manifest-invalid", &[says]);
        let restore = [&["restore", "uploads", "--target", "out"], &flags[..], &manifest].concat();
        fails(&shop, &restore, 16, "manifest-invalid", &[says]);
    }
    fails(
        &shop,
        &["reconcile", "-e", "production", "--deployed", "1.4.0"],
        16,
        "manifest-invalid",
        &["no release yet"],
    );
    assert!(!shop.path().join("out").exists());
}

#[test]
fn an_environment_with_a_slash_is_one_directory() {
    let shop = Shop::new();
    let gate = ["gate", "-e", "review/x", "--release", "1.4.0", "--commit", COMMIT, "--first", "uploads"];
    shop.run(&gate).expect(0);
    assert!(shop.repository("review%2Fx").join("config").is_file());
    let snapshots = shop.restic("review%2Fx", &["snapshots", "--tag", "environment=review/x", "--json"]);
    let snapshots: serde_json::Value = serde_json::from_str(&snapshots).unwrap();
    assert_eq!(snapshots.as_array().unwrap().len(), 1);
    shop.run(&["releases", "-e", "review/x"]).expect(0);
    shop.run(&["check", "-e", "review/x", "--read-data"]).expect(0);
    for name in ["..", ".", "/", "a\nb", "%2F"] {
        let gate = ["gate", "-e", name, "--release", "1.4.0", "--commit", COMMIT, "--first", "uploads"];
        shop.run(&gate).expect(0);
    }
    assert!(!shop.path().join(".holdpoint/store/repository").exists(), "a name must not lead out of its directory");
    assert!(!shop.path().join(".holdpoint/store/shop/repository").exists());
}

#[test]
fn the_embedded_store_would_die_with_a_ci_runner() {
    let ci = Shop::with(|holdpoint| holdpoint.env("TEAMCITY_VERSION", "2026.1").env("BUILD_VCS_NUMBER", COMMIT));
    let arguments = gate(&["--release", "1.4.0", "--commit", COMMIT, "--first", "uploads"]);
    let says = ["would die with this CI runner", "--store LOCATION", "HOLDPOINT_PASSWORD"];
    fails(&ci, &arguments, 2, "usage", &says);

    let place = tempfile::TempDir::new().unwrap();
    let workspace = place.path().join("work");
    std::os::unix::fs::symlink(place.path(), &workspace).unwrap();
    let github = Shop::with(|holdpoint| {
        holdpoint.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", workspace.to_str().unwrap())
    });
    // The workspace is another directory: whoever runs there has chosen where the store lives.
    github.run(&arguments).expect(0);
    let inside = Shop::with(|holdpoint| holdpoint.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", "."));
    fails(&inside, &arguments, 2, "usage", &says);
    let generic = Shop::with(|holdpoint| holdpoint.env("CI", "true"));
    generic.run(&arguments).expect(0);
    let named = Shop::with(|holdpoint| holdpoint.env("TEAMCITY_VERSION", "2026.1").password());
    let store = named.beside("store");
    named.run(&[&arguments[..], &["--store", store.to_str().unwrap()]].concat()).expect(0);
    assert!(store.join("shop/staging/repository/config").is_file() && !named.path().join(".holdpoint").exists());
}

#[test]
fn a_working_tree_of_another_user() {
    let shop = Shop::new();
    let commit = Repository::new(shop.path()).commit("Open the shop");
    let nobody = |path: &str| std::os::unix::fs::chown(shop.path().join(path), Some(65534), Some(65534));
    if nobody(".").and_then(|()| nobody(".git")).is_err() {
        return; // Only root can give files away.
    }
    let top = shop.path().canonicalize().unwrap();
    let hint = format!("git config --global --add safe.directory {}", top.display());
    let says = ["belongs to another user", hint.as_str()];
    for command in ["gate", "plan", "doctor"] {
        let arguments = [command, "-e", "staging", "--release", "1.4.0", "--first", "uploads"];
        fails(&shop, &arguments, 2, "commit-unknown", &says);
    }
    // What the hint says is what helps.
    let declared = format!("[safe]\n\tdirectory = {}\n", top.display());
    std::fs::write(shop.holdpoint().home().join(".gitconfig"), declared).unwrap();
    shop.run(&gate(&["--release", "1.4.0", "--first", "uploads"])).expect(0);
    assert_eq!(shop.manifest()["release"]["to"]["commit"], commit.as_str());
}

#[test]
fn a_store_that_cannot_be_opened() {
    let shop = Shop::new();
    let arguments = |store| gate(&["--release", "1.4.0", "--commit", COMMIT, "--first", "uploads", "--store", store]);
    fails(&shop, &arguments("elsewhere"), 2, "usage", &["no password for the store", "HOLDPOINT_PASSWORD_FILE"]);
    fails(&shop, &arguments("gopher://x/y"), 2, "usage", &["gopher://"]);
    fails(&shop, &["check", "-e", "staging"], 10, "no-repository", &["there is no repository at"]);
    fails(&shop, &["ls", "-e", "staging"], 10, "no-repository", &["there is no repository at"]);
    let restore = ["restore", "uploads", "-e", "staging", "--target", "out"];
    fails(&shop, &restore, 16, "manifest-invalid", &["no release yet"]);
    for (name, value, says) in [
        ("HOLDPOINT_PASSWORD_FILE", "/nowhere", "cannot read HOLDPOINT_PASSWORD_FILE"),
        ("HOLDPOINT_PASSWORD_COMMAND", "false", "HOLDPOINT_PASSWORD_COMMAND failed"),
        ("HOLDPOINT_PASSWORD_COMMAND", "/nowhere/vault", "HOLDPOINT_PASSWORD_COMMAND failed"),
        ("HOLDPOINT_PASSWORD_COMMAND", "true", "HOLDPOINT_PASSWORD_COMMAND gave an empty password"),
        ("HOLDPOINT_PASSWORD_COMMAND", "'", "unclosed quote"),
    ] {
        let shop = Shop::with(|holdpoint| holdpoint.env(name, value));
        fails(&shop, &arguments("elsewhere"), 2, "usage", &[says]);
    }
}
