//! The store is gone: everything comes back from the copy.

use super::super::shop::STAGING;
use super::{part, restic, shop};
use crate::support::ledger::release_folder;
use crate::support::tree;
use std::fs;

#[test]
fn everything_comes_back_from_the_copy() {
    let shop = shop("copy", true);
    for version in ["1", "2", "3"] {
        shop.write("data/version", version);
        shop.gate(&["data"]).expect(0);
    }
    let id = shop.manifest().0["id"].as_str().unwrap().to_owned();
    let page = fs::read_to_string(part(&shop, "store").join(release_folder(&id)).join("manifest.html"));
    let copy = shop.beside("copy").display().to_string();
    assert!(page.unwrap().contains(&format!("--store {copy}")), "the page does not name the copy");
    fs::remove_dir_all(shop.beside("store")).unwrap();

    let on_copy = |arguments: &[&str]| {
        let common = ["-e", STAGING, "--store", &copy];
        shop.holdpoint.run(arguments.iter().chain(&common))
    };
    let listed = on_copy(&["releases", "--format", "json"]).expect(0).json();
    let releases = listed["releases"].as_array().unwrap();
    assert_eq!(releases.len(), 3);
    for pair in releases.windows(2) {
        assert_eq!(pair[0]["manifest"]["previous"]["id"], pair[1]["id"]);
        let shown = on_copy(&["show", pair[1]["id"].as_str().unwrap(), "--format", "json"]).expect(0).json();
        assert_eq!(pair[0]["manifest"]["previous"]["digest"], shown["digest"], "the chain is broken");
    }
    let shown = on_copy(&["show", &id]).expect(0).stdout;
    assert!(shown.contains(&format!("--store {copy}")), "{shown}");
    on_copy(&["check", "--read-data"]).expect(0);
    let snapshot = releases[0]["manifest"]["sources"][0]["snapshot"]["id"].as_str().unwrap();
    assert!(on_copy(&["ls", "--source", "data"]).expect(0).stdout.contains("orders.csv"));

    let (ours, theirs) = (shop.beside("ours"), shop.beside("theirs"));
    on_copy(&["restore", "data", "--target", &ours.display().to_string()]).expect(0);
    restic(&shop, "copy").restore(snapshot, &theirs);
    let inside = shop.path("data").strip_prefix("/").unwrap().to_owned();
    tree::assert_same(&shop.path("data"), &ours.join(&inside));
    tree::assert_same(&shop.path("data"), &theirs.join(&inside));

    // The copy becomes the store: gates go on in it, once the configuration does not call it a copy any more.
    on_copy(&["gate", "--release", "2.0.0", "--commit", super::super::shop::COMMIT, "--first", "data"]).expect(10);
    shop.write("holdpoint.toml", "");
    on_copy(&["gate", "--release", "2.0.0", "--commit", super::super::shop::COMMIT, "--first", "data"]).expect(0);
    assert_eq!(shop.manifest().0["previous"]["id"].as_str().map(|id| id.contains("1.4.0")), Some(true));
    restic(&shop, "copy").check();
}

/// A copy of the embedded store opens with the embedded store's key.
#[test]
fn a_copy_of_the_embedded_store_opens_with_its_key() {
    let shop = super::super::shop::Shop::new();
    let copy = shop.beside("copy").display().to_string();
    shop.write("holdpoint.toml", format!("[store.copies.offsite]\nlocation = {copy:?}\nrequired = true\n"));
    shop.gate(&["data"]).expect(0);
    let key = shop.beside("key").display().to_string();
    fs::rename(shop.path(".holdpoint/key"), &key).unwrap();
    fs::remove_dir_all(shop.path(".holdpoint")).unwrap();
    let shop = shop.env("HOLDPOINT_PASSWORD_FILE", key);
    let target = shop.beside("target");
    let arguments = ["restore", "data", "-e", STAGING, "--store", &copy, "--target", &target.display().to_string()];
    shop.holdpoint.run(arguments).expect(0);
    tree::assert_same(&shop.path("data"), &target.join(shop.path("data").strip_prefix("/").unwrap()));
}
