//! A rollback of a release whose sources were not captured for it: older snapshots stood in.

use super::{HOOKS, NEW, World};
use serde_json::Value;
use std::fs;

/// A shop whose database and files may stand in for an hour, and the release that captured them.
fn captured() -> (World, String) {
    let world = World::new(HOOKS);
    let configuration = world.shop.read("holdpoint.toml");
    let policy = "\n[policy]\nbuiltin_raise = false\n[policy.minor]\nreuse_within = \"1h\"\n";
    world.shop.write("holdpoint.toml", configuration + policy);
    let captured = world.gate("1.4.0", NEW);
    (world, captured)
}

#[test]
fn what_stood_in_is_admitted_rolled_back_to_and_says_from_when_it_is() {
    let (world, captured) = captured();
    let started = |manifest: &Value| {
        manifest["sources"]
            .as_array()
            .unwrap()
            .iter()
            .map(|source| source["started_at"].clone())
            .min_by_key(Value::to_string)
    };
    let oldest = started(&world.shop.manifest().0).unwrap();
    let id = world.deploy();
    let manifest: Value =
        serde_json::from_slice(&fs::read(world.shop.path("holdpoint-manifest.json")).unwrap()).unwrap();
    for source in manifest["sources"].as_array().unwrap() {
        assert_eq!(
            (&source["outcome"], &source["stand_in"]["release"]),
            (&"stood_in".into(), &captured.clone().into())
        );
    }
    assert!(!manifest["rollback"]["commands"].is_null());
    let plan = world.run(&["rollback", "--id", &id, "--plan", "--format", "json"]).expect(0).json();
    assert!(plan.to_string().contains(oldest.as_str().unwrap()), "{oldest} in {plan:#}");
    world.roll_back(&id, &[]).expect(0);
    world.assert_undone();
}

#[test]
fn a_pass_whose_older_snapshot_is_gone_admits_nobody() {
    let (world, captured) = captured();
    world.gate("1.4.0", NEW);
    let manifest = world.shop.manifest();
    let snapshot = manifest.source("orders")["snapshot"]["id"].as_str().unwrap();
    world.shop.restic(super::STAGING).run(&["forget", snapshot]);
    let output = world.run(&["admit", "--release", "1.4.0", "--commit", NEW]).expect(16);
    output.refuses_in_words();
    assert!(output.stdout.contains("[snapshot-gone]") && output.stdout.contains(&captured), "{}", output.stdout);
}
