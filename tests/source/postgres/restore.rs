//! Restores into what is there: refused, or replaced as a whole.

use super::{SCHEMA, everything, restore, shop, shop_with, wrappers};
use crate::gate::shop::until;
use crate::support::postgres::Postgres;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

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

#[test]
fn whoever_is_killed_while_one_database_takes_the_place_of_the_other_leaves_one_that_is_open() {
    let server = Postgres::start();
    server.create("shop", "CREATE TABLE orders AS SELECT i AS id FROM generate_series(1, 10) i");
    let shop = shop(&server.url("shop"), "");
    shop.gate(&[]).expect(0);
    let (expected, before) = (everything(&server, "shop"), databases(&server));
    server.psql("shop", "DELETE FROM orders");

    // A session that cannot end holds the restore at this very moment.
    let session = server.hold("shop");
    let pid = server.psql("postgres", "SELECT pid FROM pg_stat_activity WHERE datname = 'shop'");
    let backend = Pid::from_raw(pid.parse().unwrap()).unwrap();
    kill_process(backend, Signal::STOP).unwrap();
    let mut running = shop.holdpoint.start(["restore", "orders", "-e", "staging", "--force"]);
    let renaming =
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'BEGIN; ALTER DATABASE%' AND state = 'active'";
    until(&mut running, "the swap", || server.psql("postgres", renaming) == "1");
    running.signal(Signal::KILL);
    drop(running.wait());
    let open = "SELECT datallowconn, datconnlimit FROM pg_database WHERE datname = 'shop'";
    assert_eq!(server.psql("postgres", open), "t|-1");
    kill_process(backend, Signal::CONT).unwrap();
    drop(session);
    while !server.left().is_empty() {}
    // The server may have gone on with what it was told.
    let rows = server.psql("shop", "SELECT count(*) FROM orders");
    assert!(rows == "0" || rows == "10", "{rows}");

    // One that made place and was not dropped goes with the next restore.
    server.psql("postgres", "CREATE DATABASE \"holdpoint-0123456789abcdef-old\"");
    restore(&shop, &["--force"]).expect(0);
    assert_eq!((everything(&server, "shop"), databases(&server)), (expected, before));
}

/// Lets `pg_restore` of a directory say that it began, and wait as long as `wait` is there; a first part of its input, if
/// it has one, reaches the server before.
fn waits_halfway(programs: &Path, shop: &Path) {
    wrappers(programs, "exec \"$BIN/pg_dump\" \"$@\"");
    let script = format!(
        "#!/bin/sh\nBIN=/usr/lib/postgresql/15/bin\ncase $1 in --version) exec $BIN/pg_restore --version;; esac\n\
         if [ ! -e {0}/wait ]; then exec $BIN/pg_restore \"$@\"; fi\n\
         case \"$*\" in\n*--format=custom*) {{ head -c 60000; echo > {0}/begun; sleep 1000; }} | $BIN/pg_restore \"$@\";;\n\
         *) echo > {0}/begun; sleep 1000;;\nesac\n",
        shop.display()
    );
    fs::write(programs.join("pg_restore"), script).unwrap();
    fs::set_permissions(programs.join("pg_restore"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_new_database_is_there_once_it_is_whole_and_not_before() {
    let server = Postgres::start();
    server
        .create("shop", "CREATE TABLE orders AS SELECT i AS id, md5(i::text) AS note FROM generate_series(1, 20000) i");
    let expected = everything(&server, "shop");
    let before = databases(&server);
    for settings in ["", "jobs = 2"] {
        let shop = shop_with(&server.url("shop"), Path::new("bin"), settings);
        waits_halfway(&shop.path("bin"), &shop.path(""));
        shop.gate(&[]).expect(0);
        server.psql("postgres", "CREATE DATABASE empty");
        let nothing = everything(&server, "empty");
        // It is made; and into one that is there and empty.
        for name in ["look", "empty"] {
            let url = server.url(name);
            let arguments = ["restore", "orders", "-e", "staging", "--target", &url];
            for (signal, code) in [(Signal::KILL, None), (Signal::TERM, Some(143))] {
                shop.write("wait", "");
                let mut running = shop.holdpoint.start(arguments);
                until(&mut running, "the restore", || shop.path("begun").exists());
                running.signal(signal);
                let ended = running.wait();
                assert_eq!(ended.code, code, "{}", ended.stderr);
                // Its programs and their sessions end with it.
                while !server.left().is_empty() {}
                fs::remove_file(shop.path("begun")).unwrap();
                if name == "empty" {
                    assert_eq!(everything(&server, "empty"), nothing, "a part of it is there");
                }
                let left = databases(&server).replace("empty ", "");
                // Of the round before.
                let is_whole = |other: &str| other == "look" && name == "empty";
                let left = left.split(' ').filter(|name| !name.starts_with("holdpoint-") && !is_whole(name));
                let left = left.collect::<Vec<_>>().join(" ");
                assert_eq!(left, before, "what is not whole bears the name of a run at most");
            }
            // Whoever is there only because of a kill goes with the next one.
            fs::remove_file(shop.path("wait")).unwrap();
            shop.holdpoint.run(arguments).expect(0);
            assert_eq!(everything(&server, name), expected);
            shop.holdpoint.run(arguments).expect(17).says(&["is not empty", "--force"]);
        }
        assert_eq!(databases(&server), format!("empty look {before}"));
        server.psql("postgres", "DROP DATABASE empty");
        server.psql("postgres", "DROP DATABASE look");
    }
}

#[test]
fn an_archive_goes_to_standard_output_as_it_was_captured() {
    let server = Postgres::start();
    server.create("shop", SCHEMA);
    let shop = shop(&server.url("shop"), "");
    shop.gate(&[]).expect(0);
    let target = shop.beside("files");
    restore(&shop, &["--target", target.to_str().unwrap()]).expect(0);
    let out = shop.beside("out.dump");
    let mut command = shop.holdpoint.command(["restore", "orders", "-e", "staging", "--target", "-"]);
    let output = command.stdout(fs::File::create(&out).unwrap()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("not part of it: globals.sql"), "{said}");
    assert!(fs::read(&out).unwrap() == fs::read(target.join("orders.dump")).unwrap());
    let roles = ["restore", "orders", "-e", "staging", "--path", "globals.sql", "--target", "-"];
    let output = shop.holdpoint.command(roles).output().unwrap();
    assert!(output.stdout == fs::read(target.join("globals.sql")).unwrap());
    // As a person would: without a file between.
    server.psql("postgres", "CREATE DATABASE piped");
    let mut command = shop.holdpoint.command(["restore", "orders", "-e", "staging", "--target", "-"]);
    let mut pouring = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut taking = server.client("pg_restore", "piped");
    let taken =
        taking.args(["--exit-on-error", "--dbname=piped"]).stdin(pouring.stdout.take().unwrap()).output().unwrap();
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
    assert!(pouring.wait().unwrap().success());
    assert_eq!(everything(&server, "piped"), everything(&server, "shop"));
}
