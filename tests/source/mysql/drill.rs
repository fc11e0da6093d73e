//! Places for drills: a throw-away server, and a scratch database of a server that is named.

use super::fill;
use crate::support::captured::{Captured, Place, assert_same};
use crate::support::mariadb::MariaDb;
use holdpoint::error::ErrorCode;

const TOLD: [&str; 7] = ["tables", "rows", "views", "triggers", "routines", "events", "schema_version"];

fn settings(url: &str) -> String {
    // TOML's literal string: the password has a backslash.
    format!("kind = \"mariadb\"\nurl = '{url}'")
}

/// Fills the database with some of everything.
fn furnish(server: &MariaDb) {
    fill(server);
    server.feed(
        "USE shop; CREATE VIEW cheap AS SELECT * FROM orders WHERE total < 10;\n\
         CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);\n\
         INSERT INTO schema_migrations VALUES (42, false);\n\
         CREATE EVENT tidy ON SCHEDULE EVERY 1 SECOND DO DELETE FROM orders LIMIT 1;\n\
         CREATE FUNCTION one() RETURNS int DETERMINISTIC RETURN 1;\n\
         CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.total = 1;\n",
    );
}

#[test]
fn a_dump_comes_up_in_a_server_of_its_own_which_leaves_nothing() {
    let server = MariaDb::start();
    furnish(&server);
    server.sql("CREATE DATABASE other; CREATE TABLE other.things (n int); INSERT INTO other.things VALUES (1), (2)");
    for database in ["shop", ""] {
        let captured = Captured::of(&settings(&server.url(database)));
        let told = captured.source.look(&captured.context).unwrap().unwrap();
        assert_same(&told, &captured.content, &TOLD);
        let place = Place::new();
        let mut isolated = captured.source.isolate(&captured.context, &place.isolation(None)).unwrap();
        assert!(isolated.description().contains("MariaDB"), "{}", isolated.description());
        captured.restore(&*isolated).unwrap();
        isolated.start(&captured.context).unwrap();
        assert_same(&isolated.look(&captured.context).unwrap(), &captured.content, &TOLD);
        let ask = |question: &str| isolated.ask(&captured.context, question);
        assert_eq!(ask("SELECT id, total FROM shop.orders WHERE id < 3 ORDER BY id").unwrap(), "1|1.00\n2|2.00");
        assert_eq!(ask("SELECT @@skip_networking, @@event_scheduler").unwrap(), "1|OFF");
        let error = ask("SELECT nothing").unwrap_err();
        assert_eq!(error.code(), ErrorCode::RestoreFailed);
        assert!(error.chain().contains("Unknown column 'nothing'"), "{}", error.chain());
        isolated.remove(&captured.context).unwrap();
        place.assert_nothing_left();
    }
    assert_eq!(server.sessions(), [""; 0]);
}

#[test]
fn a_server_that_dies_leaves_nothing() {
    let server = MariaDb::start();
    fill(&server);
    let captured = Captured::of(&settings(&server.url("shop")));
    let place = Place::new();
    let isolated = captured.source.isolate(&captured.context, &place.isolation(None)).unwrap();
    place.kill_server();
    assert!(captured.restore(&*isolated).is_err());
    let error = isolated.look(&captured.context).unwrap_err();
    assert!(error.chain().contains("the throw-away MySQL server"), "{}", error.chain());
    isolated.remove(&captured.context).unwrap();
    place.assert_nothing_left();
}

#[test]
fn a_scratch_database_of_a_server_that_is_named_is_dropped() {
    let server = MariaDb::start();
    furnish(&server);
    let captured = Captured::of(&settings(&server.url("shop")));
    let (other, place) = (MariaDb::start(), Place::new());
    let given = place.isolation(Some(other.url("")));
    let isolated = captured.source.isolate(&captured.context, &given).unwrap();
    captured.restore(&*isolated).unwrap();
    assert_same(&isolated.look(&captured.context).unwrap(), &captured.content, &TOLD);
    assert_eq!(isolated.ask(&captured.context, "SELECT COUNT(*) FROM orders").unwrap(), "1000");
    let scratch =
        "SELECT GROUP_CONCAT(schema_name) FROM information_schema.schemata WHERE schema_name LIKE 'holdpoint%'";
    assert!(other.sql(scratch).starts_with("holdpoint_drill_"));
    isolated.remove(&captured.context).unwrap();
    assert_eq!(other.sql(scratch).trim(), "NULL");
    // What a killed run has left goes with the next drill; what is not proved to be dead stays.
    let mut dead = serde_json::to_value(holdpoint::process::Identity::current()).unwrap();
    dead["started"] = 1.into();
    other.sql(&format!("CREATE DATABASE holdpoint_drill_0000000000000001 COMMENT 'holdpoint drill {dead}'"));
    other.sql("CREATE DATABASE holdpoint_drill_0000000000000002");
    drop(captured.source.isolate(&captured.context, &given).unwrap());
    assert_eq!(other.sql(scratch).trim(), "holdpoint_drill_0000000000000002");
    // Databases by their own names would be those of that server.
    let captured = Captured::of(&settings(&server.url("")));
    let error = captured.source.isolate(&captured.context, &given).map(drop).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Usage);
}
