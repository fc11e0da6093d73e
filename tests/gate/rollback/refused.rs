//! What must not be rolled back.

use super::{HOOKS, NEW, World};
use crate::support::ledger::release_folder;
use std::fs;

/// Fails unless a rollback was refused before anything was changed.
#[track_caller]
fn assert_untouched(world: &World) {
    assert!(world.data().1.iter().any(|(name, _)| name == "uploads/new/plate.txt"), "files were restored");
    assert_eq!(world.log(), [""; 0], "hooks ran");
    assert!(!world.place("freeze.json").exists(), "the environment was frozen");
    world.shop.assert_nothing_left();
}

#[test]
fn a_manifest_that_does_not_describe_what_runs() {
    let world = World::new(HOOKS);
    let older = world.deploy();
    world.deployed(&[1, 2, 3], "1.5.0", "3333333333333333333333333333333333333333");
    let output = world.roll_back(&older, &[]).expect(15);
    output.says(&["does not describe what is running", "1.5.0"]).refuses_in_words();
    assert_untouched(&world);
    // Two of three run what it describes, and the third a stranger: that is no partial rollout of it.
    world.deployed(&[1, 2], "1.4.0", NEW);
    world.roll_back(&older, &[]).expect(15);
    assert_untouched(&world);
    world.roll_back(&older, &["--force", ""]).expect(2);
    let output = world.roll_back(&older, &["--force", "instance 3 is a test of 1.5.0"]).expect(0);
    assert!(output.stdout.contains("instance 3 is a test of 1.5.0"), "{}", output.stdout);
    world.assert_undone();
}

#[test]
fn another_release_than_the_last_one_while_nothing_answers() {
    let world = World::new(HOOKS);
    let first = world.deploy();
    let second = world.pass("1.5.0", "3333333333333333333333333333333333333333");
    world.down();
    world.roll_back(&first, &[]).expect(15).says(&["1.5.0", "was admitted last"]);
    assert_untouched(&world);
    world.run(&["rollback", "--id", &second, "--plan"]).expect(0);
}

#[test]
fn a_manifest_that_is_for_something_else_or_says_that_it_did_not_pass() {
    let world = World::new(HOOKS);
    let id = world.deploy();
    let other = ["rollback", "--id", &id, "--application", "other", "--plan"];
    assert_ne!(world.run(&other).code, Some(0));
    world.shop.holdpoint.run(["snapshot", "--environment", "staging"]).expect(0);
    let snapshot = world.shop.manifest().0["id"].as_str().unwrap().to_owned();
    world.roll_back(&snapshot, &[]).expect(16).says(&["undoes no release"]);
    world.roll_back("20990101", &[]).expect(2);
    assert_untouched(&world);
}

#[test]
fn a_manifest_that_was_altered_or_that_nobody_vouches_for() {
    let world = World::new(HOOKS);
    let id = world.deploy();
    let file = world.shop.path("holdpoint-manifest.json");
    let by_file = |code| {
        let file = file.display().to_string();
        world.run(&["rollback", "--manifest", &file, "--yes", "staging", "--wait", "0s"]).expect(code)
    };
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, good.replace("dba@acme.example", "eve@acme.example")).unwrap();
    by_file(16).says(&["is not the manifest"]).refuses_in_words();
    fs::write(&file, &good).unwrap();
    let signers = fs::read(world.keys.allowed()).unwrap();
    let stranger = world.keys.make("stranger");
    world.keys.allow(&format!("eve@acme.example {stranger}\n"));
    by_file(16).says(&["not among the allowed signers"]).refuses_in_words();
    fs::write(world.keys.allowed(), signers).unwrap();
    // In the ledger as well as in the file: then the signature tells.
    let stored = world.place(&release_folder(&id)).join("manifest.json");
    fs::write(&stored, good.replace("dba@acme.example", "eve@acme.example")).unwrap();
    world.roll_back(&id, &[]).expect(16).says(&["altered"]);
    assert_untouched(&world);
    fs::write(&stored, &good).unwrap();
    by_file(0);
    world.assert_undone();
}

#[test]
fn a_database_that_is_not_the_one_that_was_captured() {
    let world = World::new(HOOKS);
    let id = world.deploy();
    let config = world.shop.read("holdpoint.toml").replace("\"orders.db\"", "\"other.db\"");
    world.shop.write("holdpoint.toml", config).write("other.db", "");
    let output = world.roll_back(&id, &[]).expect(17);
    output.says(&["other.db", "nothing was changed"]).refuses_in_words();
    assert!(output.stdout.contains("[wrong-target]"), "{}", output.stdout);
    assert_untouched(&world);
}

#[test]
fn an_environment_that_another_run_holds() {
    let world = World::new("before = [[\"sh\", \"-c\", \"echo stop >> log; exec sleep 600\"]]");
    let id = world.deploy();
    let mut first = world.start(&id);
    crate::gate::shop::until(&mut first, "its hook", || world.shop.path("log").exists());
    world.roll_back(&id, &[]).expect(14).refuses_in_words();
    first.signal(rustix::process::Signal::TERM);
    first.wait().expect(143).refuses_in_words();
    world.shop.assert_nothing_left();
}

#[test]
fn a_release_whose_rollback_would_meet_the_unfinished_one_of_another() {
    let world = World::new("before = [[\"test\", \"-e\", \"mended\"]]\nredeploy = [\"sh\", \"deploy.sh\"]");
    let older = world.deploy();
    let newer = "3333333333333333333333333333333333333333";
    let id = world.pass("1.5.0", newer);
    world.deployed(&[1, 2, 3], "1.5.0", newer);
    world.run(&["reconcile", "--id", &id]).expect(0);
    world.roll_back(&id, &[]).expect(17);
    let output = world.roll_back(&older, &["--force", "both are bad"]).expect(14);
    output.says(&[&format!("the rollback of {id} is not done"), "holdpoint thaw"]).refuses_in_words();
    // What did not begin is begun by all that was said, and nothing of it was recorded.
    output.says(&["--force 'both are bad'"]);
    assert!(!world.events(&older).iter().any(|event| event["event"] == "rollback_began"));
    world.shop.write("mended", "");
    world.roll_back(&id, &[]).expect(0);
    let answer = world.shop.read("instance-2.json");
    assert!(answer.contains("1.4.0"), "{answer}");
}

#[test]
fn a_freeze_that_would_end_while_data_is_half_restored_becomes_one_that_does_not() {
    let world = World::new(HOOKS);
    let id = world.deploy();
    world.run(&["freeze", "--reason", "holidays", "--until", "2099-01-02T00:00:00Z"]).expect(0);
    world.roll_back(&id, &[]).expect(0);
    world.assert_undone();
    let freeze: serde_json::Value = serde_json::from_slice(&fs::read(world.place("freeze.json")).unwrap()).unwrap();
    assert!(freeze.get("until").is_none(), "{freeze:#}");
    let events = world.events(&id);
    let frozen = events.iter().rfind(|event| event["event"] == "frozen").unwrap();
    for reason in [&freeze["reason"], &frozen["reason"]] {
        let reason = reason.as_str().unwrap();
        assert!(
            reason.starts_with("rollback of 1.4.0") && reason.ends_with("until 2099-01-02T00:00:00Z: holidays"),
            "{reason}"
        );
    }
}
