//! Drills that find what was planted: each fault by its own code, everything cleaned up, and recorded.

use super::{World, assert_only, findings};
use crate::gate::shop::names;
use crate::support::wait;
use std::fs;

#[test]
fn a_missing_pack() {
    let world = World::new("");
    world.gate();
    let data = world.place("repository/data");
    let packs = names(&data)
        .into_iter()
        .flat_map(|folder| names(&data.join(&folder)).into_iter().map(move |name| format!("{folder}/{name}")));
    // Trees are in a pack of their own; whichever is gone, something cannot be restored.
    let largest = packs.max_by_key(|name| fs::metadata(data.join(name)).unwrap().len()).unwrap();
    fs::remove_file(data.join(largest)).unwrap();
    let document = world.drill(18, &[]);
    let refusals = findings(&document, "refusal");
    assert!(
        !refusals.is_empty() && refusals.iter().all(|found| found.starts_with("drill-restore-failed")),
        "{refusals:#?}"
    );
    assert!(document["drills"][0]["event"].is_string());
}

#[test]
fn a_table_that_was_emptied_before_the_first_gate() {
    let world = World::checking("source = \"orders\"\nsql = \"SELECT count(*) FROM orders\"\nmin = 1");
    world.sql("DELETE FROM orders");
    let id = world.gate();
    assert_only(&world.drill(18, &[]), "drill-check-failed", "the answer is \"0\", and should be at least 1");
    let recorded = world.recorded(&id);
    let [event] = recorded.as_slice() else { panic!("one drill") };
    assert_eq!(
        (&event["drill"]["result"], &event["drill"]["checks"][0]["result"]),
        (&"failed".into(), &"failed".into())
    );
    // Whoever goes on all the same is told, until a drill passes.
    world.sql("INSERT INTO orders VALUES (1, 10)");
    world.gate();
    let manifest = world.shop.manifest();
    assert!(manifest.message("drill-check-failed").contains(&id), "{}", manifest.0["decision"]);
    world.drill(0, &[]);
    world.gate();
    assert!(!world.shop.manifest().codes("warning").contains(&"drill-check-failed"));
}

#[test]
fn a_check_whose_answer_changed() {
    let world = World::checking("source = \"orders\"\nsql = \"SELECT sum(total) FROM orders\"\nexpect = \"30\"");
    world.gate();
    world.drill(0, &[]);
    world.sql("UPDATE orders SET total = 21 WHERE id = 2");
    world.gate();
    assert_only(&world.drill(18, &[]), "drill-check-failed", "the answer is \"31\", and should be \"30\"");
}

#[test]
fn a_check_that_fails_takes_too_long_or_asks_nonsense() {
    for (check, words) in [
        ("command = [\"sh\", \"-c\", \"echo no such thing >&2; exit 3\"]", "no such thing"),
        ("command = [\"sleep\", \"600\"]\ntimeout = \"100ms\"", "sleep"),
        ("command = [\"no-such-program\"]", "cannot find the program no-such-program"),
        ("source = \"orders\"\nsql = \"SELECT nonsense\"\nmin = 1", "nonsense"),
    ] {
        let world = World::checking(check);
        world.gate();
        assert_only(&world.drill(18, &[]), "drill-check-failed", words);
    }
}

#[test]
fn content_that_is_not_what_the_manifest_says() {
    let world = World::new("");
    let id = world.gate();
    let path = world.beside(&id, "manifest.json");
    let altered = fs::read_to_string(&path).unwrap().replace("\"orders\": 2", "\"orders\": 3");
    fs::write(&path, altered).unwrap();
    world.keys.sign("release", "holdpoint@manifest", &path);
    let document = world.drill(18, &[]);
    assert_only(&document, "drill-content-differs", "orders has 2 rows, and had 3");
}

#[test]
fn a_drill_that_proves_nothing_does_not_pass() {
    // Only what is not required, and none of it can be restored.
    let world = World::checking("command = [\"true\"]");
    let config = world.shop.read("holdpoint.toml").replace("kind = ", "required = false\nkind = ");
    world.shop.write("holdpoint.toml", &config);
    world.gate();
    fs::remove_dir_all(world.place("repository/data")).unwrap();
    let document = world.drill(18, &[]);
    assert_only(&document, "drill-restore-failed", "nothing is proved");
    assert!(findings(&document, "warning").iter().any(|found| found.contains("the check `the check` was not asked")));

    // A release of some sources says nothing of the others.
    let world = World::new("");
    world.gate();
    let more = "[[source]]\nname = \"invoices\"\nkind = \"files\"\npaths = [\"invoices\"]\n";
    world.shop.write("holdpoint.toml", format!("{}{more}", world.shop.read("holdpoint.toml")));
    let warnings = findings(&world.drill(0, &[]), "warning");
    assert!(warnings.iter().any(|found| found.contains("this release does not")), "{warnings:#?}");
}

#[test]
fn a_check_of_everything_is_missed_where_something_is_missing() {
    let world = World::checking("command = [\"true\"]");
    let config = world.shop.read("holdpoint.toml");
    let optional = config.replace("kind = \"command\"", "required = false\nkind = \"command\"");
    world.shop.write("holdpoint.toml", &optional);
    world.gate();
    world.shop.write("holdpoint.toml", optional.replace("name = \"settings\"", "name = \"renamed\""));
    let document = world.drill(18, &[]);
    assert_only(&document, "drill-check-failed", "it looks at all sources, and settings");
    assert_eq!(document["drills"][0]["drill"]["checks"][0]["result"], "not_tried");
}

#[test]
fn links_that_lead_back_to_the_origin() {
    let world = World::new("");
    std::os::unix::fs::symlink(world.shop.path("uploads/mug.txt"), world.shop.path("uploads/newest")).unwrap();
    world.gate();
    let warnings = findings(&world.drill(0, &[]), "warning");
    let [only, command] = warnings.as_slice() else { panic!("{warnings:#?}") };
    assert!(command.starts_with("drill-content-differs: not compared"), "{command}");
    assert!(only.starts_with("drill-not-isolated: 1 symbolic links") && only.ends_with("uploads/newest"), "{only}");
}

#[test]
fn a_promise_that_is_not_held() {
    let world = World::new("");
    let config = world.shop.read("holdpoint.toml");
    world.shop.write("holdpoint.toml", config.replace("rto = \"1h\"", "rto = \"1ms\""));
    let id = world.gate();
    assert_only(&world.drill(18, &[]), "drill-rto-missed", "rto is 0 s");
    world.shop.write("holdpoint.toml", config.replace("rpo = \"1d\"", "rpo = \"1s\""));
    wait::for_moment(jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1));
    assert_only(&world.drill(18, &[]), "drill-rpo-missed", "rpo is 1 s");
    // Who names an old release knows that it is old.
    let document = world.drill(0, &["--id", &id]);
    assert!(findings(&document, "warning").iter().any(|found| found.starts_with("drill-rpo-missed")));
}

#[test]
fn a_place_that_is_not_isolated() {
    let world = World::new("");
    world.gate();
    let inside = world.shop.path("uploads/tmp");
    fs::create_dir(&inside).unwrap();
    let mut drill = world.shop.holdpoint.command(["drill", "--environment", "staging", "--format", "json"]);
    let output = drill.env("TMPDIR", &inside).output().unwrap();
    assert_eq!(output.status.code(), Some(18));
    let document = serde_json::from_slice(&output.stdout).unwrap();
    let refusals = findings(&document, "refusal");
    assert_eq!(refusals.len(), 3, "{refusals:#?}");
    assert!(
        refusals.iter().all(|found| found.starts_with("drill-not-isolated") && found.contains("uploads")),
        "{refusals:#?}"
    );
    assert_eq!(names(&inside), [""; 0]);
    world.assert_nothing_left();
}

#[test]
fn a_process_that_a_check_leaves_behind() {
    let world = World::checking(
        "source = \"uploads\"\ncommand = [\"sh\", \"-c\", \"setsid sh -c 'echo > left; exec sleep 600' >/dev/null 2>&1 & \
         until test -e left; do :; done\"]",
    );
    world.gate();
    let document = world.drill(0, &[]);
    let warnings = findings(&document, "warning");
    assert!(
        warnings.iter().any(|found| found.starts_with("drill-left-behind") && found.contains("had to be ended")),
        "{warnings:#?}"
    );
}
