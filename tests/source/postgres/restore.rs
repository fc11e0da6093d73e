//! Restores into what is there: refused, or replaced as a whole.

use super::{SCHEMA, everything, restore, shop, wrappers};
use crate::gate::shop::until;
use crate::support::postgres::Postgres;
use rustix::process::Signal;
use std::fs;

#[test]
fn a_database_is_replaced_as_a_whole_or_not_at_all() {
    let server = Postgres::start();
    server.create("shop", SCHEMA);
    server.psql("postgres", "CREATE ROLE owner_of_shop; CREATE ROLE reader");
    server.psql(
        "shop",
        "ALTER TABLE orders OWNER TO owner_of_shop; ALTER DATABASE shop SET search_path TO \"Lager Süd\", public",
    );
    server.psql("postgres", "GRANT CREATE ON DATABASE shop TO reader; ALTER DATABASE shop SET work_mem TO '8MB'");
    let shop = shop(&server.url("shop"), "");
    shop.gate(&[]).expect(0);
    let expected = everything(&server, "shop");

    // What came after the snapshot.
    server.psql(
        "shop",
        "CREATE TABLE public.later (id int); DELETE FROM public.orders; SELECT nextval('public.customers_id_seq')",
    );
    let damaged = everything(&server, "shop");
    restore(&shop, &[]).expect(17).says(&["is not empty", "table public.customers", "--force"]);
    assert_eq!(everything(&server, "shop"), damaged);

    // A restore that fails leaves the database as it is.
    server.psql("postgres", "REASSIGN OWNED BY owner_of_shop TO postgres");
    server.psql("shop", "REASSIGN OWNED BY owner_of_shop TO postgres");
    server.psql("postgres", "DROP ROLE owner_of_shop");
    restore(&shop, &["--force"]).expect(17).says(&["owner_of_shop", "globals.sql"]);
    assert_eq!(everything(&server, "shop"), damaged);
    server.psql("postgres", "CREATE ROLE owner_of_shop");

    // Somebody is in the database all the time.
    let mut idle = server.client("psql", "shop").args(["-c", "SELECT pg_sleep(1000)"]).spawn().unwrap();
    restore(&shop, &["--force"]).expect(0);
    assert!(!idle.wait().unwrap().success());
    assert_eq!(everything(&server, "shop"), expected);
    assert_eq!(server.psql("shop", "SELECT tableowner FROM pg_tables WHERE tablename = 'orders'"), "owner_of_shop");
    assert_eq!(server.psql("shop", "SHOW search_path; SHOW work_mem"), "\"Lager Süd\", public\n8MB");
    assert_eq!(server.psql("shop", "SELECT has_database_privilege('reader', 'shop', 'CREATE')"), "t");
    assert_eq!(databases(&server), "postgres shop template0 template1");

    // Files, with the roles among them.
    let target = shop.beside("files");
    restore(&shop, &["--target", target.to_str().unwrap()]).expect(0);
    assert!(target.join("orders.dump").is_file() && target.join("globals.sql").is_file());
}

/// Returns the names of all databases of a server.
fn databases(server: &Postgres) -> String {
    server.psql("postgres", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")
}

#[test]
fn a_restore_that_breaks_off_leaves_the_old_database_and_no_other() {
    let server = Postgres::start();
    server
        .create("shop", "CREATE TABLE orders AS SELECT i AS id, md5(i::text) AS note FROM generate_series(1, 50000) i");
    server.psql("shop", "CREATE INDEX ON orders (note)");
    let shop = shop(&server.url("shop"), "");
    shop.gate(&[]).expect(0);
    server.psql("shop", "DELETE FROM orders WHERE id > 10");
    let (before, databases_before) = (everything(&server, "shop"), databases(&server));
    let assert_as_before = || {
        assert_eq!(everything(&server, "shop"), before);
        assert_eq!(databases(&server), databases_before);
        assert_eq!(server.left(), "");
        shop.assert_nothing_left();
    };

    // The server runs out of space in the middle, as far as it may use it for the index.
    server.psql(
        "postgres",
        "ALTER ROLE postgres SET temp_file_limit = '64kB'; ALTER ROLE postgres SET maintenance_work_mem = '1MB'",
    );
    restore(&shop, &["--force"]).expect(17).says(&["temp_file_limit"]);
    assert_as_before();
    server.psql("postgres", "ALTER ROLE postgres RESET ALL");

    // The run is ended while the server makes the new database: somebody holds the template for that long.
    let hold = "BEGIN; COMMENT ON DATABASE template0 IS 'held'; SELECT pg_sleep(1000)";
    let mut holder = server.client("psql", "postgres").args(["-c", hold]).spawn().unwrap();
    while !server.psql("postgres", "SELECT query FROM pg_stat_activity WHERE wait_event = 'PgSleep'").contains("held") {
    }
    let mut running = shop.holdpoint.start(["restore", "orders", "--environment", "staging", "--force"]);
    until(&mut running, "the new database", || server.left().contains("CREATE DATABASE"));
    running.signal(Signal::TERM);
    running.wait().expect(143);
    server
        .psql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; COMMENT%'");
    assert!(!holder.wait().unwrap().success());
    assert_as_before();

    // The run is ended in the middle.
    let programs = shop.path("bin");
    wrappers(&programs, "");
    let script = "#!/bin/sh\ncase $1 in --version) exec /usr/lib/postgresql/15/bin/pg_restore --version;; esac\n\
        exec /usr/lib/postgresql/15/bin/psql -c 'SELECT pg_sleep(1000)'\n";
    fs::write(programs.join("pg_restore"), script).unwrap();
    let text = shop.read("holdpoint.toml");
    let line = text.lines().find(|line| line.starts_with("programs")).unwrap();
    shop.write("holdpoint.toml", text.replace(line, &format!("programs = \"{}\"", programs.display())));
    let arguments = ["restore", "orders", "--environment", "staging", "--force"];
    let mut running = shop.holdpoint.start(arguments);
    until(&mut running, "the restore", || server.left().contains("pg_sleep"));
    running.signal(Signal::TERM);
    running.wait().expect(143);
    assert_as_before();
}
