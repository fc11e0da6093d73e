//! What was restored is looked at anew before the older version is deployed on it.

use super::{HOOKS, NEW, World};

/// A source whose restore does to others what nobody should: it comes last, as whoever still writes might.
const MEDDLER: &str = r#"
[[source]]
name = "meddler"
kind = "command"
command = ["echo", "nothing"]
restore = ["sh", "-c", "cat > /dev/null; test ! -e meddle || . ./meddle"]
restore_order = 9
"#;

fn world(meddling: &str) -> (World, String) {
    let world = World::new(HOOKS);
    let config = world.shop.read("holdpoint.toml");
    world.shop.write("holdpoint.toml", config.replacen("[environment", &format!("{MEDDLER}\n[environment"), 1));
    let id = world.pass("1.4.0", NEW);
    world.migrate();
    world.deployed(&[1, 2, 3], "1.4.0", NEW);
    world.shop.write("meddle", meddling);
    (world, id)
}

/// Fails unless the difference of `source` stopped the rollback, and the next one, with nobody in its way, ends it.
fn finds(source: &str, meddling: &str, says: &str) {
    let (world, id) = world(meddling);
    let output = world.roll_back(&id, &[]).expect(17);
    output.says(&[&format!("the rollback stopped at `verify {source}`"), says, "restores it again"]).refuses_in_words();
    assert!(world.log().iter().all(|line| !line.starts_with("deploy")), "1.3.0 was deployed on it");
    let steps = world.steps(&id);
    let end = steps.iter().rposition(|step| *step == format!("restore {source}: failed"));
    let stands = end.is_some_and(|end| !steps[end..].contains(&format!("restore {source}: done")));
    assert!(stands, "what was restored counts as done: {steps:?}");

    std::fs::remove_file(world.shop.path("meddle")).unwrap();
    let output = world.roll_back(&id, &[]).expect(0);
    let warning = "warning: nothing was compared by `verify meddler`: its own program answers";
    assert!(output.stdout.contains(warning), "{}", output.stdout);
    world.assert_undone();
    let steps = world.steps(&id);
    let times = |name: &str| steps.iter().filter(|step| **step == format!("{name}: done")).count();
    assert_eq!((times(&format!("restore {source}")), times("restore meddler")), (2, 1), "{steps:?}");
}

#[test]
fn a_row_that_somebody_wrote_in_between_is_found() {
    finds(
        "orders",
        "sqlite3 orders.db 'INSERT INTO orders VALUES (9, 90)'",
        "orders is not as it was captured: orders has 3 rows, and had 2",
    );
}

#[test]
fn a_table_that_is_gone_is_found() {
    finds("orders", "sqlite3 orders.db 'DROP TABLE orders'", "orders is not there, and had 2 rows");
}

#[test]
fn a_file_that_somebody_wrote_in_between_is_found_whatever_its_time_says() {
    let meddling =
        "touch -r uploads/mug.txt stamp; printf 'a bug\\n' > uploads/mug.txt; touch -r stamp uploads/mug.txt";
    finds("uploads", meddling, "uploads/mug.txt (content)");
    finds("uploads", "rm uploads/old/cup.txt", "uploads/old/cup.txt (missing)");
}

#[test]
fn what_cannot_be_looked_at_is_no_difference_and_is_looked_at_again() {
    let (world, id) = world("mv orders.db orders.away");
    let output = world.roll_back(&id, &[]).expect(17);
    output.says(&["the rollback stopped at `verify orders`"]).refuses_in_words();
    assert!(!world.steps(&id).contains(&"restore orders: failed".to_owned()), "{:?}", world.steps(&id));
    std::fs::rename(world.shop.path("orders.away"), world.shop.path("orders.db")).unwrap();
    world.roll_back(&id, &[]).expect(0);
    world.assert_undone();
}
