//! Drills that pass, and what becomes of their record.

use super::{World, findings};
use crate::gate::shop::names;
use serde_json::Value;
use std::fs;

const CHECKS: &str = r#"
[[drill.check]]
name = "orders are there"
source = "orders"
sql = "SELECT count(*) FROM orders"
min = 1

[[drill.check]]
name = "the newest order"
source = "orders"
sql = "SELECT id, total FROM orders ORDER BY id DESC LIMIT 1"
expect = "2|20"

[[drill.check]]
name = "a file of the uploads"
source = "uploads"
command = ["sh", "-c", "find $HOLDPOINT_DRILL_DIRECTORY -name cup.txt | xargs cat"]
expect = "a cup"

[[drill.check]]
name = "all of it together"
command = ["sh", "-c", "cat $HOLDPOINT_DRILL_FILE_SETTINGS; ls $HOLDPOINT_DRILL_DIRECTORY_UPLOADS $HOLDPOINT_DRILL_DIRECTORY_ORDERS; env"]
matches = '(?s)a=1.*orders\.db'

[[drill.check]]
name = "not here"
command = ["false"]
environments = ["production"]
"#;

#[test]
fn everything_is_restored_checked_measured_signed_and_shown() {
    let world = World::new(CHECKS);
    let id = world.gate();
    let before = world.shop.manifest().0;
    assert!(before["measured"].get("last_drill").is_none(), "{}", before["measured"]);
    let document = world.drill(0, &[]);
    let drill = &document["drills"][0]["drill"];
    assert_eq!(
        (&drill["release"], &drill["result"], &drill["key"]),
        (&id.clone().into(), &"passed".into(), &"daily".into())
    );
    assert_eq!(findings(&document, "refusal"), [""; 0]);
    let sources = drill["sources"].as_array().unwrap();
    let told: Vec<_> =
        sources.iter().map(|source| (source["name"].as_str().unwrap(), source["result"].as_str().unwrap())).collect();
    assert_eq!(told, [("orders", "passed"), ("uploads", "passed"), ("settings", "passed")]);
    assert_eq!(sources[0]["content"]["rows"]["orders"], 2);
    assert!(sources.iter().all(|source| source["seconds"].as_f64().unwrap() > 0.0));
    assert!(sources.iter().all(|source| source["place"].as_str().unwrap().contains("apart from")), "{sources:#?}");
    let checks = drill["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 4, "one is for another environment");
    assert!(checks.iter().all(|check| check["result"] == "passed"), "{checks:#?}");
    assert_eq!((&checks[0]["answer"], &checks[1]["answer"]), (&"2".into(), &"2|20".into()));
    assert!((0.0..3600.0).contains(&drill["data_age_seconds"].as_f64().unwrap()));
    assert_eq!((&drill["rto"], &drill["rpo"]), (&3600.into(), &86400.into()));

    // The record is what was printed, signed over its very bytes.
    let recorded = world.recorded(&id);
    let [event] = recorded.as_slice() else { panic!("one drill") };
    assert_eq!(&event["drill"], drill);
    let name = document["drills"][0]["event"].as_str().unwrap();
    assert!(world.keys.verifies(&world.beside(&id, &format!("events/{name}.json"))));
    let page = fs::read_to_string(world.beside(&id, "manifest.html")).unwrap();
    assert!(page.contains("It was restored in a drill on") && page.contains("Drilled by"), "{page}");
    let shown = world.run(&["show", &id]).expect(0).stdout;
    assert!(shown.contains("drilled by"), "{shown}");

    // The next gate knows, and estimates by it.
    world.gate();
    let after = world.shop.manifest().0;
    assert_eq!(after["measured"]["last_drill"], event["at"]);
    assert_eq!(after["measured"]["last_drill_seconds"], drill["seconds"]);
    let steps = after["rollback"]["steps"].as_array().unwrap();
    let estimate =
        |name: &str| steps.iter().find(|step| step["source"] == name).unwrap()["estimate_seconds"].as_f64().unwrap();
    let took = |at: usize| sources[at]["seconds"].as_f64().unwrap();
    assert!((estimate("orders") - took(0)).abs() < 1e-6 && (estimate("uploads") - took(1)).abs() < 1e-6, "{steps:#?}");
}

#[test]
fn a_record_that_nobody_vouches_for_is_not_believed() {
    let world = World::new("");
    let id = world.gate();
    let document = world.drill(0, &[]);
    let name = document["drills"][0]["event"].as_str().unwrap();
    let path = world.beside(&id, &format!("events/{name}.json"));
    let good = fs::read_to_string(&path).unwrap();
    let told = |world: &World| {
        world.gate();
        let manifest = world.shop.manifest();
        let known = manifest.0["measured"].get("last_drill").is_some();
        (known, manifest.codes("warning").contains(&"ledger-damaged"))
    };
    for wrong in [good.replace("\"seconds\": ", "\"seconds\": 0"), "{".to_owned()] {
        fs::write(&path, wrong).unwrap();
        assert_eq!(told(&world), (false, true));
    }
    fs::write(&path, &good).unwrap();
    let signature = path.with_extension("json.sig");
    let signed = fs::read(&signature).unwrap();
    fs::remove_file(&signature).unwrap();
    assert_eq!(told(&world), (false, true));
    fs::write(&signature, signed).unwrap();
    assert_eq!(told(&world), (true, false));
}

#[test]
fn every_environment_one_after_another_and_the_worst_counts() {
    let world = World::new(CHECKS);
    let staging = world.gate();
    let shop = &world.shop;
    shop.holdpoint.run(crate::gate::shop::arguments("gate", "production", "1.4.0", &[])).expect(0);
    let refused = crate::gate::shop::arguments("gate", "review/x", "1.4.0", &["missing"]);
    shop.holdpoint.run(refused).expect(10);
    let output = shop.holdpoint.run(["drill", "--all-environments", "--format", "json"]).expect(18);
    output.says(&["review/x has no release that passed", "(not drilled: review/x)"]).refuses_in_words();
    let document = output.json();
    let drills = document["drills"].as_array().unwrap();
    let told: Vec<(&str, u64)> = drills
        .iter()
        .map(|drill| (drill["environment"].as_str().unwrap(), drill["exit_code"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, [("production", 18), ("review/x", 0), ("staging", 0)]);
    assert!(drills[1]["skipped"].is_string() && drills[0]["event"].is_string());
    assert_eq!(world.recorded(&staging).len(), 1);
    world.assert_nothing_left();
}

#[test]
fn where_nothing_was_drilled_nothing_passed() {
    let world = World::new("");
    world.shop.gate(&["missing"]).expect(10);
    let output = world.shop.holdpoint.run(["drill", "--all-environments", "--format", "json"]).expect(16);
    output.says(&["no environment has a release that passed", "(not drilled: staging)"]).refuses_in_words();
    assert_eq!(output.json()["verdict"], "refuse");
}

#[test]
fn a_named_release_and_one_that_must_not_be_drilled() {
    let world = World::new("");
    let first = world.gate();
    world.sql("INSERT INTO orders VALUES (3, 30)");
    let second = world.gate();
    assert_ne!(first, second);
    let rows = |document: &Value| document["drills"][0]["drill"]["sources"][0]["content"]["rows"]["orders"].clone();
    assert_eq!(rows(&world.drill(0, &["--id", &first])), 2);
    assert_eq!(rows(&world.drill(0, &["--manifest", "holdpoint-manifest.json"])), 3);
    world.run(&["drill", "--id", "2099"]).expect(2);
    let nowhere = world.shop.holdpoint.run(["drill", "--environment", "nowhere"]).expect(16);
    nowhere.says(&["nowhere has no release that passed"]).refuses_in_words();
    // A manifest that was altered, in the ledger as well.
    let path = world.beside(&second, "manifest.json");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replace("\"shop\"", "\"shop\" ")).unwrap();
    let document = world.drill(16, &["--id", &second]);
    assert!(findings(&document, "refusal")[0].starts_with("signature-invalid"), "{document:#}");
    assert_eq!(document["drills"][0]["drill"]["sources"][0]["result"], "not_tried");
    assert_eq!(names(&world.shop.beside("tmp")), [""; 0]);
}
