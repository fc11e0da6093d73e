//! The manifest of a pass in the copies: in all that must have it, or in none.

use super::super::shop::names;
use super::{kept, part, shop};
use holdpoint::cancel::Cancel;
use holdpoint::config::Config;
use holdpoint::gate::copies::{CopyStore, step};
use holdpoint::gate::place::{Naming, Place, Secret};
use holdpoint::ledger::manifest::parse;
use holdpoint::model::finding::{FindingCode, Level};
use holdpoint::model::manifest::{CopyState, Manifest};
use holdpoint::model::progress::Silent;
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
fn a_pass_that_one_required_copy_does_not_take_is_withdrawn_from_the_others() {
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
    let have = step::record_required(&copies, &manifest).unwrap();
    assert_eq!(have.iter().map(|copy| copy.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert!(has("one") && has("two") && !has("optional"));
    for copy in have {
        step::withdraw(copy, &manifest);
    }
    assert!(!has("one") && !has("two"));
    // The second one takes nothing.
    fs::remove_dir_all(shop.beside("two")).unwrap();
    fs::write(shop.beside("two"), "a file").unwrap();
    let (name, finding) = step::record_required(&copies, &manifest).unwrap_err();
    assert_eq!((name.as_str(), finding.code, finding.level), ("two", FindingCode::CopyFailed, Level::Refusal));
    assert!(!has("one"), "a pass that is none stayed in a copy");
    let mut records: Vec<_> = copies.iter().map(step::not_copied).collect();
    step::mark_failed(&mut records, &name, &finding);
    assert_eq!(records[2].state, CopyState::Failed);
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
    let folder = format!("releases/{}/{}/{}/{id}", &id[..4], &id[4..6], &id[6..8]);
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
