//! What a database holds now, told in the words of the manifest.

use super::SCHEMA;
use crate::support::captured::{Captured, assert_same};
use crate::support::postgres::{Postgres, programs_15};

/// Settings of a source whose database is at a URL.
pub(super) fn settings(url: &str, more: &str) -> String {
    format!("kind = \"postgres\"\nurl = \"{url}\"\nprograms = \"{}\"\n{more}", programs_15().display())
}

const TOLD: [&str; 8] =
    ["tables", "rows", "sequences", "extensions", "large_objects", "encoding", "roles", "schema_version"];

#[test]
fn a_database_is_told_as_its_dump_would_be() {
    let server = Postgres::shared();
    server.create("looked_at", SCHEMA);
    // A table of an extension that is dumped in part, unlogged rows, and names that need quotes.
    server.psql(
        "looked_at",
        "CREATE UNLOGGED TABLE scratch AS SELECT generate_series(1, 7) AS n; CREATE TABLE \"Q\"\"uote.d\" (n int); \
         INSERT INTO \"Q\"\"uote.d\" VALUES (1); CREATE TABLE child () INHERITS (scratch); \
         INSERT INTO child VALUES (8); CREATE TABLE config (n int); INSERT INTO config VALUES (1), (2), (3); \
         ALTER EXTENSION hstore ADD TABLE config; \
         UPDATE pg_extension SET extconfig = ARRAY['config'::regclass::oid], extcondition = ARRAY['WHERE n > 1'] \
          WHERE extname = 'hstore'",
    );
    let captured = Captured::of(&settings(&server.socket_url("looked_at"), ""));
    let looked = captured.source.look(&captured.context).unwrap().unwrap();
    assert_same(&looked, &captured.content, &TOLD);
    assert_eq!(looked["rows"]["public.config"], 2);
    server.psql("looked_at", "DELETE FROM orders WHERE id <= 10; UPDATE alembic_version SET version_num = 'next'");
    let looked = captured.source.look(&captured.context).unwrap().unwrap();
    assert_eq!((&looked["rows"]["public.orders"], &looked["schema_version"]), (&2990.into(), &"next".into()));
    assert_eq!(captured.source.clean_up(&captured.context).unwrap(), [""; 0]);
    assert_eq!(server.left_in("looked_at"), "");
}

#[test]
fn whoever_may_not_count_is_told_so() {
    let server = Postgres::shared();
    server.create("closed", "CREATE TABLE secrets (n int)");
    server.psql("closed", "CREATE ROLE peeper LOGIN PASSWORD 'x'");
    let prepared = Captured::prepared(&settings(&server.url_of("peeper", "x", "closed"), ""));
    let error = prepared.source.look(&prepared.context).unwrap_err();
    assert!(error.chain().contains("permission denied for table secrets"), "{}", error.chain());
    let prepared =
        Captured::prepared(&settings(&server.socket_url("closed"), "schema_version_query = \"SELECT 'v7'\""));
    assert_eq!(prepared.source.look(&prepared.context).unwrap().unwrap()["schema_version"], "v7");
    let prepared = Captured::prepared(&settings(&server.socket_url("absent"), ""));
    let error = prepared.source.look(&prepared.context).unwrap_err();
    assert!(error.chain().contains("there is no database absent"), "{}", error.chain());
    assert_eq!(server.left_in("closed"), "");
}

#[test]
fn counting_ends_with_the_run() {
    let server = Postgres::shared();
    server.create("slow", "CREATE TABLE rows (n int); INSERT INTO rows VALUES (1)");
    let query = "schema_version_query = \"SELECT pg_sleep(600)::text\"";
    let prepared = Captured::prepared(&settings(&server.socket_url("slow"), query));
    let cancel = prepared.context.cancel.clone();
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| prepared.source.look(&prepared.context).unwrap_err());
        while !server.left_in("slow").contains("pg_sleep") {}
        cancel.cancel(holdpoint::cancel::Reason::Interrupt);
        assert_eq!(looking.join().unwrap().code(), holdpoint::error::ErrorCode::Interrupted);
    });
    assert_eq!(server.left_in("slow"), "");
}
