//! The manifest of a pass in the copies: taken by all that must have it before it is one, and a record only afterwards.

use super::super::shop::{STAGING, names};
use super::{kept, part, shop};
use crate::support::ledger::release_folder;
use holdpoint::cancel::Cancel;
use holdpoint::config::Config;
use holdpoint::gate::copies::{CopyStore, step};
use holdpoint::gate::place::{Naming, Place, Secret};
use holdpoint::ledger::Ledger;
use holdpoint::ledger::manifest::parse;
use holdpoint::model::finding::{FindingCode, Level};
use holdpoint::model::manifest::{CopyState, Manifest};
use holdpoint::model::progress::Silent;
use holdpoint::model::release_id::ReleaseId;
use std::fs;
use std::path::Path;

fn place(store: &Path) -> Place {
    let naming = Naming {
        store: Some(store.display().to_string()),
        application: "shop".to_owned(),
        environment: "staging".to_owned(),
        top: store.to_owned(),
        ci_workspace: None,
        password: Some(Secret(super::SECRET.to_owned())),
    };
    Place::find(&naming, &Config::default(), &Cancel::new()).unwrap()
}

fn manifest(shop: &super::Shop) -> Manifest {
    parse(shop.read("holdpoint-manifest.json").as_bytes(), "the manifest").unwrap()
}

#[test]
fn a_pass_that_is_only_announced_is_no_record_in_any_copy() {
    let shop = shop("copy", false);
    shop.gate(&["data"]).expect(0);
    let manifest = manifest(&shop);
    let copy = |name: &str, required| CopyStore {
        name: name.to_owned(),
        required,
        place: place(&shop.beside(name)),
        cancel: Cancel::new(),
    };
    let copies = [copy("one", true), copy("optional", false), copy("two", true)];
    let has = |name: &str| !kept(&part(&shop, name)).is_empty();
    let pending = |name: &str| part(&shop, name).join("copy/pending.json");
    step::announce(&copies, &manifest).unwrap();
    for name in ["one", "two"] {
        assert_eq!(fs::read(pending(name)).unwrap(), manifest.to_json().unwrap());
        assert!(!has(name) && Ledger::new(place(&shop.beside(name)).ledger_storage()).list(10).unwrap().is_empty());
    }
    assert!(names(&shop.beside("optional")).is_empty());
    step::withdraw(&copies);
    assert!(!pending("one").exists() && !pending("two").exists());
    // The second one takes nothing.
    fs::remove_dir_all(shop.beside("two")).unwrap();
    fs::write(shop.beside("two"), "a file").unwrap();
    let (name, finding) = step::announce(&copies, &manifest).unwrap_err();
    assert_eq!((name.as_str(), finding.code, finding.level), ("two", FindingCode::CopyFailed, Level::Refusal));
    assert!(!has("one"), "a pass that is none stayed in a copy");
    // Nor does it say whether it let go of what it has.
    step::withdraw(&copies);
    let mut records: Vec<_> = copies.iter().map(step::not_copied).collect();
    step::mark_failed(&mut records, &name, &finding);
    assert_eq!(records[2].state, CopyState::Failed);
}

/// The last that can go wrong: the ledger does not take the record, after every copy took its manifest.
#[test]
fn a_pass_that_the_ledger_does_not_take_is_in_no_copy() {
    let shop = shop("copy", true);
    fs::create_dir_all(part(&shop, "store")).unwrap();
    fs::write(part(&shop, "store").join("releases"), "a file").unwrap();
    shop.gate(&["data"]).expect(10).refuses_in_words();
    shop.manifest().assert_refused("refused", &["record-failed"]);
    // Everything else was in time.
    assert_eq!(super::record(&shop)["state"], "verified");
    assert!(!part(&shop, "copy").join("releases").exists() && !part(&shop, "copy").join("head.json").exists());
    assert_eq!(names(&part(&shop, "copy").join("copy")), ["completed.json"]);
    fs::remove_file(part(&shop, "store").join("releases")).unwrap();
    shop.gate(&["data"]).expect(0);
    super::assert_same(&shop);
    assert_eq!(names(&part(&shop, "copy").join("copy")), ["completed.json"]);
}

/// A run that is given up or killed before the ledger has its record leaves what it announced. Nobody takes it for a record.
#[test]
fn what_was_announced_and_never_recorded_does_not_count_and_is_in_nobodys_way() {
    let shop = shop("copy", true);
    shop.gate(&["data"]).expect(0);
    let mut announced = manifest(&shop);
    announced.id = ReleaseId::parse("20991231T235959Z-9.9.9-ffffffff").unwrap();
    let pending = part(&shop, "copy").join("copy/pending.json");
    fs::write(&pending, announced.to_json().unwrap()).unwrap();
    let copy = shop.beside("copy").display().to_string();
    let listed = shop.holdpoint.run(["releases", "-e", STAGING, "--store", &copy, "--format", "json"]).expect(0).json();
    assert_eq!(listed["releases"].as_array().unwrap().len(), 1, "{listed:#}");
    shop.holdpoint.run(["check", "-e", STAGING, "--store", &copy]).expect(0);
    shop.holdpoint.run(["show", announced.id.as_str(), "-e", STAGING, "--store", &copy]).expect(2);
    shop.gate(&["data"]).expect(0);
    super::assert_same(&shop);
    assert!(!pending.exists());
}

/// A manifest in a copy that was never whole does not say that those before it are there.
#[test]
fn a_gate_brings_all_releases_to_a_copy_that_was_never_whole() {
    let shop = shop("copy", true);
    let configuration = shop.read("holdpoint.toml");
    shop.write("holdpoint.toml", "");
    for version in ["1", "2", "3"] {
        shop.write("data/version", version);
        shop.gate(&["data"]).expect(0);
    }
    let id = manifest(&shop).id.to_string();
    let folder = release_folder(&id);
    fs::create_dir_all(part(&shop, "copy").join(&folder)).unwrap();
    let at = |store| part(&shop, store).join(&folder).join("manifest.json");
    fs::copy(at("store"), at("copy")).unwrap();
    shop.write("holdpoint.toml", configuration);
    shop.gate(&["data"]).expect(0);
    super::assert_same(&shop);
}

#[test]
fn the_record_goes_to_every_copy_that_was_brought_up_to_date() {
    let shop = shop("copy", false);
    shop.gate(&["data"]).expect(0);
    let mut manifest = manifest(&shop);
    let copy = |name: &str| CopyStore {
        name: name.to_owned(),
        required: false,
        place: place(&shop.beside(name)),
        cancel: Cancel::new(),
    };
    let copies = [copy("failed"), copy("whole")];
    manifest.store.copies = copies.iter().map(step::not_copied).collect();
    manifest.store.copies[0].state = CopyState::Failed;
    manifest.store.copies[1].state = CopyState::Verified;
    let ledgers = step::record_everywhere(&place(&shop.beside("store")), &copies, &manifest, &Silent, &Cancel::new());
    assert_eq!(ledgers.len(), 1);
    assert_eq!(ledgers[0].newest().unwrap().map(|stored| stored.manifest.id), Some(manifest.id.clone()));
    assert!(part(&shop, "whole").join("head.json").exists() && names(&shop.beside("failed")).is_empty());
}
