//! The whole way: deployed, found broken, rolled back, thawed.

use super::{HOOKS, NEW, OLD, World};
use serde_json::Value;

#[test]
fn a_release_is_undone_and_deploying_goes_on_once_somebody_thaws() {
    let world = World::new(HOOKS);
    let id = world.deploy();
    let before = world.data();

    let plan = world.run(&["rollback", "--id", &id, "--plan"]).expect(0);
    for text in [
        "roll back shop → staging   1.4.0 → 1.3.0",
        "all 3 instances run 1.4.0",
        "LOST         what was written since 20",
        " 1 save the present state",
        " 3 restore orders (sqlite), by dba@acme.example",
        " 5 verify orders (sqlite): compare what it holds with the manifest",
        " 7 deploy 1.3.0 again: sh deploy.sh",
        " 9 see that 1.3.0 runs",
        "not reverted: ",
    ] {
        assert!(plan.stdout.contains(text), "{text:?} in\n{}", plan.stdout);
    }
    let json = world.run(&["rollback", "--id", &id, "--plan", "--format", "json"]).expect(0).json();
    assert_eq!((json["verdict"].as_str(), json["rolled_back"].as_bool()), (Some("pass"), Some(false)));
    assert_eq!(json["plan"]["steps"].as_array().unwrap().len(), 9);
    world.run(&["rollback", "--id", &id]).expect(2).says(&["--yes staging"]);
    world.run(&["rollback", "--id", &id, "--yes", "production"]).expect(2).refuses_in_words();
    assert_eq!((world.data(), world.log()), (before, vec![]), "so far nothing was changed");
    assert!(!world.place("freeze.json").exists());

    let output = world.roll_back(&id, &[]).expect(0);
    assert!(output.stdout.contains("rolled back: 1.4.0 is undone"), "{}", output.stdout);
    world.assert_undone();
    let deployed = format!("deploy 1.3.0 {OLD} for {id}");
    assert_eq!(world.log(), ["stop staging", &deployed, "start 1.3.0 after 1.4.0"]);
    let done = |step: &str| [format!("{step}: started"), format!("{step}: done")];
    let steps = [
        "safety snapshot",
        "before 1",
        "restore orders",
        "restore uploads",
        "verify orders",
        "verify uploads",
        "redeploy",
        "after 1",
        "reconcile",
    ];
    assert_eq!(world.steps(&id), steps.map(done).concat());
    let events: Vec<_> = world.events(&id).iter().map(|event| event["event"].clone()).collect();
    for kind in ["frozen", "rollback_began", "rolled_back"] {
        assert_eq!(events.iter().filter(|event| **event == kind).count(), 1, "{kind} in {events:?}");
    }

    // What 1.4.0 had written can be looked at.
    let saved = world.events(&id).iter().find_map(|event| Some(event["saved"].as_str()?.to_owned())).unwrap();
    let look = world.shop.beside("look").display().to_string();
    world.run(&["restore", "uploads", "--id", &saved, "--target", &look]).expect(0);
    let kept = world.shop.beside("look").join(world.shop.path("uploads/new/plate.txt").strip_prefix("/").unwrap());
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "a plate\n");

    let gate = |code| world.run(&["gate", "--release", "1.4.1", "--commit", NEW]).expect(code);
    gate(14);
    world.run(&["rollback", "--id", &id, "--plan"]).expect(15).says(&["nothing was changed"]);
    world.run(&["thaw", "--reason", "1.4.0 is undone"]).expect(0);
    gate(0);
    let compared = world.shop.manifest().source("uploads")["change"]["release"].clone();
    assert_eq!(compared, id.as_str(), "nothing is compared with the state that was saved before the rollback");
    let page: Value = world.run(&["show", &id, "--format", "json"]).expect(0).json();
    assert!(page.to_string().contains("rolled_back"), "{page:#}");
}

#[test]
fn a_deployment_that_came_half_way_is_undone() {
    let world = World::new(HOOKS);
    let id = world.pass("1.4.0", NEW);
    world.migrate();
    world.deployed(&[1, 2], "1.4.0", NEW);
    world.roll_back(&id, &[]).expect(0);
    world.assert_undone();
}

#[test]
fn a_deployment_that_only_migrated_is_undone_while_it_is_under_way() {
    let world = World::new(HOOKS);
    let id = world.pass("1.4.0", NEW);
    world.migrate();
    world.roll_back(&id, &[]).expect(0);
    world.assert_undone();
}

#[test]
fn an_application_that_is_down_is_undone_by_what_was_admitted_last() {
    let world = World::new(HOOKS);
    let id = world.deploy();
    world.down();
    world.roll_back(&id, &[]).expect(0);
    world.assert_undone();
}

#[test]
fn what_cannot_be_saved_is_overwritten_only_if_somebody_says_so() {
    let world = World::new(HOOKS);
    let id = world.deploy();
    world.shop.write("orders.db", "this was a database\n");
    let output = world.roll_back(&id, &[]).expect(17);
    output.says(&["the present state could not be saved", "--no-safety-snapshot REASON"]).refuses_in_words();
    assert_eq!(world.shop.read("orders.db"), "this was a database\n");
    assert_eq!(world.log(), [""; 0], "nothing was stopped");
    world.roll_back(&id, &["--no-safety-snapshot", "the database is broken"]).expect(0);
    let (rows, files) = world.data();
    assert_eq!(rows, [(1, 10), (2, 20)]);
    assert!(files.iter().any(|(name, _)| name == "uploads/new/plate.txt"), "what was not saved is not removed");
}
