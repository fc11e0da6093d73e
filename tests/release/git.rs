//! The release is what git has checked out, unless somebody says otherwise.

use crate::support::environment::{command, must};
use crate::support::git::Repository;
use crate::support::shop::Shop;

const GATE: [&str; 5] = ["gate", "-e", "staging", "--first", "uploads"];

#[test]
fn version_and_commit_are_those_of_the_tag_at_head() {
    let shop = Shop::new();
    let git = Repository::new(shop.path());
    git.commit("Open the shop");
    git.tag("v1.3.0");
    let commit = git.commit("Sell lamps");
    git.tag("v1.4.0").tag("nightly");
    git.git(&["remote", "add", "origin", "https://ada:secret@git.example.test/shop.git"]);
    shop.run(&GATE).expect(0);
    let manifest = shop.manifest();
    let to = &manifest["release"]["to"];
    assert_eq!((&to["version"], &to["commit"], &to["ref"]), (&"v1.4.0".into(), &commit.into(), &"main".into()));
    assert_eq!(manifest["pipeline"]["repository"], "https://git.example.test/shop.git");
    assert!(manifest["id"].as_str().unwrap().contains("-v1.4.0-"), "{}", manifest["id"]);
}

#[test]
fn flags_win_over_variables_and_variables_over_git() {
    let shop = Shop::with(|holdpoint| holdpoint.env("HOLDPOINT_RELEASE", "1.5.0").env("HOLDPOINT_COMMIT", ""));
    let git = Repository::new(shop.path());
    let first = git.commit("Open the shop");
    git.commit("Sell lamps");
    git.tag("v1.4.0");
    shop.run(&GATE).expect(0);
    assert_eq!(shop.manifest()["release"]["to"]["version"], "1.5.0");
    shop.run(&[&GATE[..], &["--release", "1.6.0", "--commit", &first[..10]]].concat()).expect(0);
    let to = &shop.manifest()["release"]["to"];
    assert_eq!((&to["version"], &to["commit"], &to["ref"]), (&"1.6.0".into(), &first.into(), &serde_json::Value::Null));
}

#[test]
fn a_commit_checked_out_by_itself_has_no_branch() {
    let shop = Shop::new();
    let git = Repository::new(shop.path());
    let commit = git.commit("Open the shop");
    git.tag("v1.4.0").git(&["checkout", "--quiet", "--detach"]);
    git.git(&["branch", "--delete", "--force", "main"]);
    shop.run(&GATE).expect(0);
    let to = &shop.manifest()["release"]["to"];
    assert_eq!(
        (&to["version"], &to["commit"], &to["ref"]),
        (&"v1.4.0".into(), &commit.into(), &serde_json::Value::Null)
    );
}

#[test]
fn a_shallow_clone_knows_its_head_and_says_what_it_lacks() {
    let origin = Shop::new();
    let git = Repository::new(origin.path());
    let old = git.commit("Open the shop");
    git.write("lamps", "3").commit("Sell lamps");
    git.tag("v1.4.0");
    let shop = Shop::new();
    std::fs::remove_dir_all(shop.path()).unwrap();
    let url = format!("file://{}", origin.path().display());
    let mut clone = command("git", shop.holdpoint().home());
    must(clone.args(["clone", "--quiet", "--depth", "1", "--branch", "v1.4.0", &url]).arg(shop.path()));
    shop.run(&GATE).expect(0);
    assert_eq!(shop.manifest()["release"]["to"]["commit"], git.head().as_str());
    let missing = [&GATE[..], &["--commit", &old]].concat();
    shop.run(&missing).expect(2).says(&["git does not know the commit", "this is a shallow clone: fetch the commit"]);
}

#[test]
fn a_ci_commit_that_is_not_head_is_a_finding() {
    let shop = Shop::new();
    let git = Repository::new(shop.path());
    let built = git.commit("Open the shop");
    let head = git.commit("Sell lamps");
    let store = shop.beside("store");
    let gate = |commit: &str| {
        let mut gate = shop.holdpoint().command(GATE);
        gate.args(["--release", "1.4.0", "--store"]).arg(&store).env("HOLDPOINT_PASSWORD", "correct horse");
        gate.env("GITHUB_ACTIONS", "true").env("GITHUB_SHA", commit).env("GITHUB_WORKSPACE", shop.path());
        must(&mut gate);
        shop.manifest()
    };
    let manifest = gate(&built);
    let codes = |manifest: &serde_json::Value| {
        let findings = manifest["decision"]["findings"].as_array().unwrap().clone();
        findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(codes(&manifest).contains(&"commit-not-head".to_owned()), "{manifest:#}");
    assert_eq!(manifest["release"]["to"]["commit"], built.as_str(), "the CI system knows what it deploys");
    assert_eq!(manifest["pipeline"]["system"], "github");
    let manifest = gate(&head);
    assert!(!codes(&manifest).contains(&"commit-not-head".to_owned()), "{manifest:#}");
}

#[test]
fn tags_without_an_order_must_be_chosen_from() {
    let shop = Shop::new();
    shop.configure("versioning = \"opaque\"\n");
    let git = Repository::new(shop.path());
    git.commit("Open the shop");
    git.tag("blue");
    shop.run(&GATE).expect(0);
    assert_eq!(shop.manifest()["release"]["to"]["version"], "blue");
    git.tag("green");
    shop.run(&GATE).expect(2).says(&["several tags", "blue, green", "--release VERSION"]).refuses_in_words();
}
