//! Places for drills: a throw-away server, and a scratch database of a server that is named.

use super::SCHEMA;
use super::look::settings;
use crate::support::captured::{Captured, Place, assert_same};
use crate::support::postgres::Postgres;
use holdpoint::cancel::Reason;
use holdpoint::error::ErrorCode;
use holdpoint::source::Target;

const TOLD: [&str; 7] = ["tables", "rows", "sequences", "extensions", "large_objects", "encoding", "schema_version"];
/// Owners, grantees and a policy whose roles no other server has.
const ROLES: &str = "CREATE ROLE \"Käthe\"; CREATE ROLE reader; ALTER TABLE orders OWNER TO \"Käthe\"; \
    GRANT SELECT ON orders TO reader; ALTER DEFAULT PRIVILEGES FOR ROLE \"Käthe\" GRANT SELECT ON TABLES TO reader; \
    CREATE POLICY p ON orders TO reader USING (true)";

#[test]
fn a_dump_comes_up_in_a_server_of_its_own_which_leaves_nothing() {
    let server = Postgres::start();
    server.create("shop", SCHEMA);
    server.psql("shop", ROLES);
    for more in ["", "jobs = 2"] {
        let captured = Captured::of(&settings(&server.socket_url("shop"), more));
        let place = Place::new();
        let mut isolated = captured.source.isolate(&captured.context, &place.isolation(None)).unwrap();
        assert!(isolated.description().starts_with("PostgreSQL 15."), "{}", isolated.description());
        assert!(isolated.identity().unwrap().ends_with("/shop"), "{:?}", isolated.identity());
        assert_ne!(isolated.identity(), captured.source.facts().identity);
        captured.restore(&*isolated).unwrap();
        isolated.start(&captured.context).unwrap();
        assert_same(&isolated.look(&captured.context).unwrap(), &captured.content, &TOLD);
        let ask = |question: &str| isolated.ask(&captured.context, question);
        assert_eq!(ask("SELECT 1, NULL, 'a' UNION ALL SELECT 2, 'x', 'b' ORDER BY 1").unwrap(), "1||a\n2|x|b");
        assert_eq!(ask("BEGIN; DELETE FROM customers; SELECT count(*) FROM customers; ROLLBACK").unwrap(), "0");
        assert_eq!(ask("SELECT tableowner FROM pg_tables WHERE tablename = 'orders'").unwrap(), "Käthe");
        assert_eq!(ask("SHOW listen_addresses").unwrap(), "");
        let error = ask("SELECT nothing").unwrap_err();
        assert_eq!(error.code(), ErrorCode::RestoreFailed);
        assert!(error.chain().contains("column \"nothing\" does not exist"), "{}", error.chain());
        let variables = isolated.variables();
        let psql = server.outside("psql", &variables, &["-XAtc", "SELECT count(*) FROM orders"]);
        assert_eq!(psql, "3000");
        let url = &variables.iter().find(|(name, _)| name == "HOLDPOINT_DRILL_URL").unwrap().1;
        assert_eq!(server.outside("psql", &[], &["-XAtd", url, "-c", "SELECT current_user"]), "holdpoint");
        isolated.remove(&captured.context).unwrap();
        place.assert_nothing_left();
    }
    assert_eq!(server.left(), "");
}

#[test]
fn a_server_that_dies_or_is_not_wanted_any_more_leaves_nothing() {
    let server = Postgres::shared();
    server.create("fragile", "CREATE TABLE t (n int)");
    let captured = Captured::of(&settings(&server.socket_url("fragile"), ""));
    // Killed in the middle of a drill.
    let place = Place::new();
    let isolated = captured.source.isolate(&captured.context, &place.isolation(None)).unwrap();
    captured.restore(&*isolated).unwrap();
    place.kill_server();
    let error = isolated.look(&captured.context).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RestoreFailed);
    assert!(error.chain().contains("the throw-away PostgreSQL server"), "{}", error.chain());
    isolated.remove(&captured.context).unwrap();
    place.assert_nothing_left();
    // Dropped without being removed.
    let place = Place::new();
    drop(captured.source.isolate(&captured.context, &place.isolation(None)).unwrap());
    place.assert_no_process();
    // Cancelled while it starts.
    let prepared = Captured::prepared(&settings(&server.socket_url("fragile"), ""));
    let place = Place::new();
    std::thread::scope(|scope| {
        let making = scope.spawn(|| prepared.source.isolate(&prepared.context, &place.isolation(None)).map(drop));
        place.wait_for_process();
        prepared.context.cancel.cancel(Reason::Interrupt);
        assert_eq!(making.join().unwrap().unwrap_err().code(), ErrorCode::Interrupted);
    });
    place.assert_no_process();
}

#[test]
fn without_programs_or_extensions_it_is_said_what_to_install() {
    let server = Postgres::shared();
    server.create("bare", "CREATE TABLE t (n int); CREATE EXTENSION citext");
    let captured = Captured::of(&settings(&server.socket_url("bare"), ""));
    // An extension that the server of the drill has not.
    let stored = captured.stored.replaced("it.dump", b"citext", b"absent");
    let place = Place::new();
    let isolated = captured.source.isolate(&captured.context, &place.isolation(None)).unwrap();
    let error = captured.source.restore(&captured.context, &stored, &isolated.target(), false).unwrap_err();
    assert!(error.message().contains("lacks extensions that the database has: absent"), "{}", error.chain());
    assert!(error.hints()[0].contains("postgresql-15-NAME"), "{:?}", error.hints());
    isolated.remove(&captured.context).unwrap();
    place.assert_nothing_left();
    // A directory with an `initdb` that fails.
    let programs = captured.folder().join("programs");
    for (name, says) in [("initdb", "no space left"), ("postgres", "")] {
        crate::support::captured::script(&programs.join(name), &format!("echo {says} >&2; exit 1"));
    }
    let text = format!("kind = \"postgres\"\nurl = \"postgres://u@db/x\"\nprograms = \"{}\"", programs.display());
    let prepared = Captured::prepared(&text);
    let place = Place::new();
    let error = prepared.source.isolate(&prepared.context, &place.isolation(None)).map(drop).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RestoreFailed);
    assert!(error.chain().ends_with("initdb exited 1: no space left"), "{}", error.chain());
    place.assert_no_process();
}

#[test]
fn a_scratch_database_of_a_server_that_is_named_is_dropped_whatever_happens() {
    let server = Postgres::start();
    server.create("shop", SCHEMA);
    server.psql("shop", ROLES);
    // What names a role that the other server lacks cannot be made there.
    server.psql("shop", "DROP POLICY p ON orders");
    let captured = Captured::of(&settings(&server.socket_url("shop"), ""));
    let other = Postgres::start();
    let scratch = || other.psql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdpoint%'");
    let place = Place::new();
    let given = place.isolation(Some(other.url("postgres")));
    let isolated = captured.source.isolate(&captured.context, &given).unwrap();
    let Target::Url(url) = isolated.target() else { panic!("no database") };
    let name = url.rsplit('/').next().unwrap().to_owned();
    assert!(name.starts_with("holdpoint_drill_") && name.len() == 32, "{name}");
    captured.restore(&*isolated).unwrap();
    assert_same(&isolated.look(&captured.context).unwrap(), &captured.content, &TOLD);
    // Neither roles nor sessions are left; a session of a check's own is ended.
    let session = other.hold(&name);
    isolated.remove(&captured.context).unwrap();
    drop(session);
    assert_eq!((scratch().as_str(), other.left().as_str()), ("0", ""));
    assert_eq!(other.psql("postgres", "SELECT count(*) FROM pg_roles WHERE rolname IN ('Käthe', 'reader')"), "0");
    place.assert_nothing_left();
    // What a killed run has left goes with the next drill; what is not proved to be dead stays.
    let comment = |name: &str, comment: &str| {
        other.psql("postgres", &format!("CREATE DATABASE {name}"));
        other.psql("postgres", &format!("COMMENT ON DATABASE {name} IS 'holdpoint drill {comment}'"));
    };
    let living = serde_json::to_value(holdpoint::process::Identity::current()).unwrap();
    let mut dead = living.clone();
    dead["started"] = 1.into();
    comment("holdpoint_drill_0000000000000001", &dead.to_string());
    comment("holdpoint_drill_0000000000000002", &living.to_string());
    comment("holdpoint_drill_0000000000000003", "{}");
    drop(captured.source.isolate(&captured.context, &given).unwrap());
    let names = "SELECT string_agg(right(datname, 1), '' ORDER BY 1) FROM pg_database WHERE datname LIKE 'holdpoint%'";
    assert_eq!(other.psql("postgres", names), "23");
    // Whoever may not make databases is told so.
    other.psql("postgres", "CREATE ROLE guest LOGIN PASSWORD 'x'");
    let given = place.isolation(Some(other.url_of("guest", "x", "postgres")));
    let error = captured.source.isolate(&captured.context, &given).map(drop).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RestoreFailed);
    assert!(error.message().contains("the user guest may not make databases"), "{}", error.chain());
    assert_eq!(other.left(), "");
}
