//! The ways back: weighed, recommended, and gone.

use super::{HOOKS, NEW, OLD, World};
use crate::gate::shop::until;
use rustix::process::Signal;
use serde_json::Value;

/// The schema of 1.3.0, as golang-migrate keeps it.
const MIGRATIONS: &str = "CREATE TABLE schema_migrations (version INTEGER, dirty INTEGER); \
    INSERT INTO schema_migrations VALUES (41, 0)";

/// Takes the schema from 42 to what it is told.
const DOWN: &str = r#"
echo "down to $HOLDPOINT_SCHEMA_VERSION_ORDERS" >> log
exec sqlite3 orders.db "ALTER TABLE orders DROP COLUMN note; UPDATE schema_migrations SET version = $HOLDPOINT_SCHEMA_VERSION_ORDERS"
"#;

/// An application with a known schema, and 1.4.0 deployed; returns the release.
fn deployed(hooks: &str) -> (World, String) {
    let world = World::new(hooks);
    world.sql(MIGRATIONS);
    world.shop.write("down.sh", DOWN);
    let id = world.pass("1.4.0", NEW);
    world.deployed(&[1, 2, 3], "1.4.0", NEW);
    (world, id)
}

/// What 1.4.0's migration does, and a row that it wrote.
const MIGRATED: &str = "ALTER TABLE orders ADD COLUMN note TEXT; UPDATE schema_migrations SET version = 42; \
    INSERT INTO orders VALUES (3, 30, 'new')";

fn with(extra: &str) -> String {
    format!("{HOOKS}{extra}")
}

fn plan(world: &World, id: &str, more: &[&str], code: u8) -> Value {
    let fixed = ["rollback", "--id", id, "--plan", "--format", "json"];
    world.run(&[&fixed, more].concat()).expect(code).json()
}

fn way<'p>(plan: &'p Value, name: &str) -> &'p Value {
    plan["plan"]["ways"].as_array().unwrap().iter().find(|way| way["way"] == name).unwrap()
}

fn recommended(plan: &Value) -> &str {
    let ways: Vec<_> =
        plan["plan"]["ways"].as_array().unwrap().iter().filter(|way| way["recommended"] == true).collect();
    assert_eq!(ways.len(), 1, "{plan:#}");
    assert_eq!(ways[0], &plan["plan"]["ways"][0], "the recommended one comes first");
    ways[0]["way"].as_str().unwrap()
}

#[test]
fn while_the_schema_is_unchanged_the_code_alone_goes_back_and_nothing_is_lost() {
    let (world, id) = deployed(HOOKS);
    world.sql("INSERT INTO orders VALUES (3, 30)");
    world.shop.write("uploads/mug.txt", "another mug\n");
    let planned = plan(&world, &id, &[], 0);
    assert_eq!(planned["plan"]["way"], "full-restore");
    assert_eq!(recommended(&planned), "code-only");
    let code = way(&planned, "code-only");
    assert!(code["loses"].is_null(), "{code:#}");
    assert!(code["reasons"][0].as_str().unwrap().contains("it loses nothing"), "{code:#}");
    assert!(code["command"].as_str().unwrap().contains("--way code-only --yes staging"), "{code:#}");
    let lost = planned["plan"]["lost"].as_array().unwrap().iter().find(|lost| lost["source"] == "orders").unwrap();
    assert_eq!((&lost["more_rows"], &lost["tables"][0]["now"]), (&Value::from(1), &Value::from(3)), "{lost:#}");
    assert_eq!(way(&planned, "full-restore")["loses"]["rows"], 1);
    let files = planned["plan"]["lost"].as_array().unwrap().iter().find(|lost| lost["source"] == "uploads").unwrap();
    assert_eq!(files["files_differ"], 1, "{files:#}");
    let text = world.run(&["rollback", "--id", &id, "--plan"]).expect(0).stdout;
    for part in [
        "recommended  code-only: the schema is one that the older version runs on, so it loses nothing",
        "1 more row now than at the gate (rows that were changed are not counted); orders 2 → 3",
        "ways back\n   code-only   recommended\n",
        "   roll-forward\n",
        "   point-in-time   cannot be gone\n      why not   no source keeps the log",
        "no program is configured that takes the schema back",
        "leaves    what the newer version wrote into orders (sqlite), uploads (files)",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }

    world.roll_back(&id, &["--way", "code-only"]).expect(0);
    let (rows, files) = world.data();
    assert_eq!(rows, [(1, 10), (2, 20), (3, 30)], "the data stays");
    assert!(files.contains(&("uploads/mug.txt".to_owned(), "another mug\n".to_owned())), "{files:?}");
    assert_eq!(world.log(), ["stop staging", &format!("deploy 1.3.0 {OLD} for {id}"), "start 1.3.0 after 1.4.0"]);
    let done = |step: &str| [format!("{step}: started"), format!("{step}: done")];
    let steps = ["safety snapshot", "before 1", "verify orders", "redeploy", "after 1", "reconcile"];
    assert_eq!(world.steps(&id), steps.map(done).concat());
    let began = world.events(&id).into_iter().find(|event| event["event"] == "rollback_began").unwrap();
    assert_eq!(began["way"], "code-only");
    assert!(world.place("freeze.json").exists());
    world.shop.assert_nothing_left();
}

#[test]
fn a_schema_that_the_older_version_does_not_run_on_refuses_the_code_alone() {
    let (world, id) = deployed(HOOKS);
    world.sql(MIGRATED);
    let planned = plan(&world, &id, &["--way", "code-only"], 17);
    assert_eq!(recommended(&planned), "full-restore");
    let why = &way(&planned, "code-only")["why_not"][0];
    assert_eq!(why, "orders: its schema is 42, and the older version runs on 41", "{planned:#}");
    let output = world.roll_back(&id, &["--way", "code-only"]).expect(17);
    assert!(output.stdout.contains("[schema-not-accepted]"), "{}", output.stdout);
    assert!(!world.place("freeze.json").exists(), "nothing was changed");
    assert_eq!(world.log(), [""; 0]);

    // Somebody knows better.
    let config = world.shop.read("holdpoint.toml");
    world.shop.write("holdpoint.toml", format!("{config}\naccepts_schema = {{ orders = [\"42\"] }}\n"));
    assert_eq!(recommended(&plan(&world, &id, &["--way", "code-only"], 0)), "code-only");
    // A migration that broke off is not the version that it says.
    world.sql("UPDATE schema_migrations SET dirty = 1");
    let output = world.roll_back(&id, &["--way", "code-only"]).expect(17);
    assert!(output.stdout.contains("[migration-unfinished]"), "{}", output.stdout);
    // Restoring it all needs no leave.
    world.roll_back(&id, &[]).expect(0);
    assert_eq!(world.data().0, [(1, 10), (2, 20)]);
}

#[test]
fn a_migration_that_still_runs_while_the_code_goes_back_is_seen_before_the_older_version_is_deployed() {
    let migrates = "before = [[\"sqlite3\", \"orders.db\", \"UPDATE schema_migrations SET version = 42\"]]\nredeploy = [\"sh\", \"deploy.sh\"]\n";
    let (world, id) = deployed(migrates);
    let output = world.roll_back(&id, &["--way", "code-only"]).expect(17);
    output.says(&["the rollback stopped at `verify orders`", "its schema is 42", "what still migrates"]);
    assert_eq!(world.log(), [""; 0], "nothing was deployed on it");
}

#[test]
fn a_schema_that_nobody_knows_refuses_the_code_alone() {
    let world = World::new(HOOKS);
    let id = world.pass("1.4.0", NEW);
    world.deployed(&[1, 2, 3], "1.4.0", NEW);
    let output = world.roll_back(&id, &["--way", "code-only"]).expect(17);
    assert!(output.stdout.contains("[schema-unknown]"), "{}", output.stdout);
    assert!(output.stdout.contains("hint: give the source schema_version_query"), "{}", output.stdout);
    output.says(&[&format!("next: holdpoint show {id} --environment staging")]).refuses_in_words();
    world.shop.write("orders.db", "this was a database\n");
    let planned = plan(&world, &id, &[], 0);
    assert!(way(&planned, "code-only")["why_not"][0].as_str().unwrap().contains("nothing tells which version"));
    assert_eq!(recommended(&planned), "full-restore");
    assert!(planned["plan"]["lost"][0]["not_counted"].is_string(), "{planned:#}");
}

#[test]
fn where_no_source_tells_a_schema_the_code_alone_goes_back_under_a_warning() {
    let world = World::new(HOOKS);
    let config = world.shop.read("holdpoint.toml");
    let (before, rest) = config.split_once("[[source]]\nname = \"orders\"").unwrap();
    let rest = &rest[rest.find("[environment").unwrap()..];
    world.shop.write("holdpoint.toml", format!("{before}{rest}"));
    let id = world.pass("1.4.0", NEW);
    world.deployed(&[1, 2, 3], "1.4.0", NEW);
    let planned = plan(&world, &id, &["--way", "code-only"], 0);
    let codes: Vec<_> = planned["plan"]["findings"].as_array().unwrap().iter().map(|one| &one["code"]).collect();
    assert!(codes.contains(&&Value::from("schema-unknown")), "{codes:?}");
    let reason = way(&planned, "code-only")["reasons"][0].as_str().unwrap();
    assert!(reason.contains("no source tells a schema") && !reason.contains("the schema is one"), "{reason}");
}

#[test]
fn a_program_takes_the_schema_back_and_what_was_written_since_stays() {
    let (world, id) = deployed(&with("down_migration = [\"sh\", \"down.sh\"]\n"));
    world.sql(MIGRATED);
    let planned = plan(&world, &id, &[], 0);
    assert_eq!(recommended(&planned), "down-migration");
    assert_eq!(way(&planned, "down-migration")["loses"]["dropped"], true);
    world.roll_back(&id, &["--way", "down-migration"]).expect(0);
    assert_eq!(world.data().0, [(1, 10), (2, 20), (3, 30)]);
    assert!(world.log().contains(&"down to 41".to_owned()));
    let done = |step: &str| [format!("{step}: started"), format!("{step}: done")];
    let steps = ["safety snapshot", "before 1", "down-migration", "verify orders", "redeploy", "after 1", "reconcile"];
    assert_eq!(world.steps(&id), steps.map(done).concat());
}

#[test]
fn a_migration_that_did_not_take_the_schema_back_is_found_and_gone_on_with() {
    let (world, id) = deployed(&with("down_migration = [\"sh\", \"-c\", \"test -e mended && sh down.sh || :\"]\n"));
    world.sql(MIGRATED);
    let output = world.roll_back(&id, &["--way", "down-migration"]).expect(17);
    output
        .says(&["the rollback stopped at `verify orders`", "its schema is 42", "--way down-migration --yes staging"])
        .refuses_in_words();
    assert!(world.log().iter().all(|line| !line.starts_with("deploy")), "nothing was deployed on the wrong schema");

    // Another way cannot go on with it, and none needs to be named.
    let output = world.roll_back(&id, &["--way", "full-restore"]).expect(17);
    assert!(output.stdout.contains("[way-impossible]"), "{}", output.stdout);
    output.says(&["a rollback by down-migration began at", "nothing was changed"]);
    world.sql("ALTER TABLE orders DROP COLUMN note; UPDATE schema_migrations SET version = 41");
    world.roll_back(&id, &[]).expect(0);
    assert_eq!(world.data().0, [(1, 10), (2, 20), (3, 30)]);
    let began = world.events(&id).into_iter().filter(|event| event["event"] == "rollback_began").count();
    assert_eq!(began, 1, "it was gone on with");
}

#[test]
fn once_somebody_thawed_another_way_begins_anew() {
    let (world, id) = deployed(&with("down_migration = [\"false\"]\n"));
    world.sql(MIGRATED);
    world.roll_back(&id, &["--way", "down-migration"]).expect(17).says(&["the rollback stopped at `down-migration"]);
    world.run(&["thaw", "--reason", "the migration cannot go back"]).expect(0);
    world.deployed(&[1, 2, 3], "1.4.0", NEW);
    world.roll_back(&id, &["--way", "full-restore"]).expect(0);
    assert_eq!(world.data().0, [(1, 10), (2, 20)]);
    assert_eq!(world.steps(&id).iter().filter(|step| *step == "safety snapshot: done").count(), 2);
}

#[test]
fn the_configuration_says_what_may_be_lost_and_what_is_preferred() {
    for (extra, expected, because) in [
        ("", "full-restore", "which no max_loss forbids"),
        ("max_loss = \"0s\"", "roll-forward", "loses nothing that was written since"),
        ("max_loss = \"0s\"\ndown_migration = [\"true\"]", "roll-forward", "loses nothing that was written since"),
        ("max_loss = \"1d\"", "full-restore", "within max_loss 1day"),
        ("prefer = [\"roll-forward\"]", "roll-forward", "loses nothing"),
        ("down_migration = [\"true\"]\nprefer = [\"full-restore\"]", "full-restore", "no max_loss forbids"),
    ] {
        let (world, id) = deployed(&with(extra));
        world.sql(MIGRATED);
        let planned = plan(&world, &id, &[], 0);
        assert_eq!(recommended(&planned), expected, "{extra}");
        let reason = way(&planned, expected)["reasons"][0].as_str().unwrap();
        assert!(reason.contains(because), "{extra}: {reason}");
        if extra.contains("0s") {
            let against = way(&planned, "full-restore")["reasons"][0].as_str().unwrap();
            assert!(against.contains("more than max_loss 0s"), "{against}");
        }
    }
}

#[test]
fn ways_for_people_are_not_executed_and_need_one_that_is_believed() {
    let (world, id) = deployed(HOOKS);
    for way in ["roll-forward", "point-in-time", "backwards"] {
        world.roll_back(&id, &["--way", way]).expect(2);
    }
    world.deployed(&[1, 2, 3], "1.5.0", "3333333333333333333333333333333333333333");
    let planned = plan(&world, &id, &["--way", "code-only"], 15);
    let ways = planned["plan"]["ways"].as_array().unwrap();
    assert!(ways.iter().all(|way| way["recommended"] == false), "{planned:#}");
    assert!(!world.place("freeze.json").exists());
}

#[test]
fn a_program_that_a_killed_rollback_left_running_is_waited_for_by_a_person() {
    let waits = "before = [[\"sh\", \"-c\", \"echo stop >> log; test -e quick || exec sleep 600\"]]\nredeploy = [\"sh\", \"deploy.sh\"]\n";
    let (world, id) = deployed(waits);
    let mut first = world.start(&id);
    until(&mut first, "its hook", || world.shop.path("log").exists());
    first.signal(Signal::KILL);
    drop(first.wait());
    world.shop.write("quick", "");
    let output = world.roll_back(&id, &[]).expect(17);
    output.says(&["its program still runs", "(sleep)", "kill PID"]).refuses_in_words();
    assert_eq!(world.log(), ["stop"], "it was not started a second time");
    for process in world.shop.processes() {
        let pid = process.trim_start_matches("/proc/").split(':').next().unwrap().parse().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        // Whoever reaps it does so at once: it is not our child.
        while world.shop.processes().contains(&process) {
            std::thread::yield_now();
        }
    }
    world.roll_back(&id, &[]).expect(0);
    assert_eq!(world.data().0, [(1, 10), (2, 20)]);
}
