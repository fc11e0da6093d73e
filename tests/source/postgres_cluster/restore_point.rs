//! Points in the log of a cluster: made by the gate, proved in the archive, and recovered to.

use super::{assert_balances, assert_finding, transfers};
use crate::support::environment::must;
use crate::support::holdpoint::Output;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::shop::Shop;
use crate::support::wait;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the server archives its log to, from its data directory.
const ARCHIVE: &str = "mkdir -p ../archive && cp %p ../archive/%f";

fn server() -> Postgres {
    let server = Postgres::start_with(&["archive_mode=on"]);
    archive_by(&server, ARCHIVE);
    server.create("bank", "CREATE TABLE notes (text text); INSERT INTO notes VALUES ('before')");
    server
}

fn archive(server: &Postgres) -> PathBuf {
    server.data().parent().unwrap().join("archive")
}

/// Prepares an application whose restore points count from `base`, with more settings.
fn shop(server: &Postgres, url: &str, base: &str, more: &str) -> Shop {
    let shop = Shop::with(|holdpoint| holdpoint.env("DATABASE_URL", url));
    configure(&shop, server, base, more);
    shop
}

fn configure(shop: &Shop, server: &Postgres, base: &str, more: &str) {
    let archive = archive(server);
    shop.configure(&format!(
        "[gate]\nretry = {{ attempts = 1 }}\n\n\
         [[source]]\nname = \"cluster\"\nkind = \"postgres\"\nurl = {{ env = \"DATABASE_URL\" }}\n\
         method = \"restore-point\"\nbase_backup = {{ {base} }}\n\
         restore_command = [\"cp\", \"{}/%f\", \"%p\"]\n{more}\n\n\
         [[source]]\nname = \"base\"\nkind = \"postgres\"\nurl = {{ env = \"DATABASE_URL\" }}\n\
         method = \"base-backup\"\ncapture = \"snapshot\"\n",
        archive.display()
    ));
}

fn gate(shop: &Shop, more: &[&str]) -> Output {
    shop.gate("1.4.0", &[&["--first"], more].concat())
}

fn snapshot(shop: &Shop) -> Output {
    shop.run(&["snapshot", "--environment", "staging", "--first"])
}

#[track_caller]
fn assert_refused(shop: &Shop, server: &Postgres, exit: u8, code: &str, says: &str) {
    gate(shop, &[]).expect(exit).refuses_in_words();
    assert_finding(shop, code, says);
    assert_eq!(server.left(), "");
}

/// Has the server archive its log by a command, from its data directory.
fn archive_by(server: &Postgres, command: &str) {
    server.psql("postgres", &format!("ALTER SYSTEM SET archive_command = '{command}'"));
    server.psql("postgres", "SELECT pg_reload_conf()");
    while server.psql("postgres", "SHOW archive_command") != command {}
}

#[test]
fn a_cluster_is_recovered_to_exactly_the_point() {
    let server = server();
    server.pgbench("bank", 1);
    let shop = shop(&server, &server.url("bank"), "source = \"base\"", "");
    assert_refused(&shop, &server, 10, "base-backup-missing", "no release that passed has a base-backup of base");
    let load = transfers(&server, "bank");
    snapshot(&shop).expect(0);
    let base = shop.manifest();
    assert_eq!((base["sources"].as_array().unwrap().len(), &base["sources"][0]["name"]), (1, &"base".into()));
    server.psql("bank", "INSERT INTO notes VALUES ('first')");
    gate(&shop, &[]).expect(0);
    let manifest = shop.manifest();
    drop(load);
    server.psql("bank", "INSERT INTO notes VALUES ('second'); DROP TABLE pgbench_history");
    gate(&shop, &[]).expect(0);
    server.psql("bank", "INSERT INTO notes VALUES ('third'); SELECT pg_switch_wal()");
    assert_eq!(server.left(), "");

    let source = &manifest["sources"][0];
    let content = &source["content"];
    assert_eq!((&source["name"], &source["method"]), (&"cluster".into(), &"restore-point".into()));
    assert_eq!(content["base_backup"]["snapshot"], base["sources"][0]["snapshot"]["id"]);
    assert_eq!((&content["base_backup"]["release"], &content["timeline"]), (&base["id"], &1.into()));
    let segment = archive(&server).join(content["wal_segment"].as_str().unwrap());
    assert!(segment.exists() && content["wal_lsn"].as_str().unwrap().contains('/'));
    let left: Vec<_> = manifest["decision"]["findings"].as_array().unwrap().iter().collect();
    assert!(left.iter().any(|finding| finding["code"] == "left-to-snapshot" && finding["level"] == "info"));
    assert!(!fs::read_to_string(shop.path().join("holdpoint-manifest.json")).unwrap().contains(PASSWORD));

    // Servers run as the owner of the directory that the data directory is made in.
    let target = server.data().parent().unwrap().join("restored");
    let at = target.to_str().unwrap();
    let id = manifest["id"].as_str().unwrap();
    let restore =
        |more: &[&str]| shop.run(&[&["restore", "cluster", "--environment", "staging", "--id", id], more].concat());
    restore(&[]).expect(17).says(&["which no running server can take"]);
    restore(&["--target", "-"]).expect(2).says(&["holds no data", "--target DIR"]);
    restore(&["--target", at]).expect(0);
    for absent in ["recovery.signal", "standby.signal", "postmaster.pid", "backup_label", "backup_manifest"] {
        assert!(!target.join(absent).exists(), "{absent}");
    }
    let archived = fs::read_dir(archive(&server)).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(
        archived.into_iter().all(|name| name.to_str().unwrap().starts_with("00000001")),
        "the archive is another's"
    );
    restore(&["--target", at]).expect(17).says(&["is not empty"]);
    let restored = Postgres::of(&target, &[]);
    assert_eq!(restored.psql("bank", "SELECT string_agg(text, ' ') FROM notes"), "before first");
    assert_eq!(restored.psql("bank", "SELECT pg_is_in_recovery()"), "f");
    assert_balances(&restored, "bank");

    // A segment between base backup and point is gone: nothing comes into place.
    let hidden = archive(&server).join("hidden");
    fs::rename(&segment, &hidden).unwrap();
    restore(&["--target", at]).expect(17).says(&["the recovery did not come to", "the archive still holds"]);
    let beside = fs::read_dir(target.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(beside.into_iter().all(|name| !name.to_str().unwrap().starts_with(".holdpoint")) && !target.exists());
}

#[test]
fn an_archive_that_fails_hangs_or_lies_refuses() {
    let server = server();
    let shop = shop(&server, &server.url("bank"), "source = \"base\"", "");
    snapshot(&shop).expect(0);
    archive_by(&server, "exit 1 # %p");
    assert_refused(&shop, &server, 10, "source-failed", "is not archived: the server tried");
    assert_refused(&shop, &server, 10, "preflight-failed", "could not be stored at");
    archive_by(&server, ARCHIVE);
    while server.psql("bank", "SELECT last_archived_time > last_failed_time FROM pg_stat_archiver") != "t" {}
    gate(&shop, &[]).expect(0);

    archive_by(&server, "true %p");
    assert_refused(&shop, &server, 10, "source-failed", "back from the archive");
    archive_by(&server, "cp ../archive/$(ls ../archive | head -n 1) ../archive/%f # %p");
    assert_refused(&shop, &server, 10, "source-failed", "is not what the server wrote");

    archive_by(&server, "sleep 1000 # %p");
    gate(&shop, &["--timeout", "3s"]).expect(11).refuses_in_words();
    assert_eq!(server.left(), "");
}

#[test]
fn what_a_point_leans_on_and_needs_is_asked_before() {
    let server = server();
    let shop = shop(&server, &server.url("bank"), "source = \"base\"", "base_backup_within = \"1s\"");
    snapshot(&shop).expect(0);
    let captured: jiff::Timestamp = shop.manifest()["created_at"].as_str().unwrap().parse().unwrap();
    wait::for_moment(captured + jiff::SignedDuration::from_secs(1));
    assert_refused(&shop, &server, 10, "base-backup-old", "old, and base_backup_within is 1s");
    configure(&shop, &server, "source = \"base\"", "");
    gate(&shop, &[]).expect(0);
    let planned = shop.run(&[
        "plan",
        "--environment",
        "staging",
        "--release",
        "1.4.0",
        "--first",
        "--commit",
        crate::support::shop::COMMIT,
    ]);
    assert!(planned.expect(0).stdout.contains("restore-point"));
    let snapshots = shop.repository("staging").join("snapshots");
    let id = shop.manifest()["sources"][0]["content"]["base_backup"]["snapshot"].as_str().unwrap().to_owned();
    fs::remove_file(snapshots.join(id)).unwrap();
    assert_refused(&shop, &server, 10, "base-backup-missing", "is not in the store any more");

    server.psql(
        "bank",
        "CREATE ROLE clerk LOGIN PASSWORD 'clerk'; REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC",
    );
    let clerk = self::shop(&server, &server.url_of("clerk", "clerk", "bank"), "source = \"base\"", "");
    gate(&clerk, &[]).expect(10);
    for function in ["pg_control_system()", "pg_create_restore_point(text)", "pg_switch_wal()"] {
        let statement = format!("GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO ");
        assert_finding(&clerk, "privilege-missing", &statement);
        server.psql("bank", &format!("{statement} clerk"));
    }
    server.psql("bank", "ALTER ROLE clerk REPLICATION");
    snapshot(&clerk).expect(0);
    gate(&clerk, &[]).expect(0);

    let plain = Postgres::shared();
    let shop = self::shop(plain, &plain.url("postgres"), "source = \"base\"", "");
    assert_refused(&shop, plain, 10, "preflight-failed", "archive_mode is off");
}

/// Returns a client of pgBackRest on the server's machine, as the server's user; `option` names its configuration.
fn pgbackrest(server: &Postgres, option: &str) -> Command {
    let program = Path::new("/usr/bin/pgbackrest");
    assert!(program.is_file(), "there is no pgBackRest: scripts/test installs it");
    let mut command = server.beside(program.to_str().unwrap());
    command.args([option, "--stanza=main"]);
    command
}

#[test]
fn a_point_counts_from_a_backup_of_pgbackrest() {
    let server = server();
    let folder = server.data().parent().unwrap().to_owned();
    let place = folder.display();
    let text = format!(
        "[global]\nrepo1-path={place}/repo\nlog-path={place}\nlock-path={place}/lock\nspool-path={place}/spool\n\
         log-level-console=off\nlog-level-file=off\n[main]\npg1-path={}\npg1-port={}\npg1-socket-path={place}\npg1-user=postgres\n",
        server.data().display(),
        server.port()
    );
    fs::write(folder.join("pgbackrest.conf"), text).unwrap();
    let option = format!("--config={place}/pgbackrest.conf");
    // As whoever keeps the backups would call it: the configuration is where pgBackRest looks for it.
    let programs = tempfile::tempdir().unwrap();
    let wrapper = programs.path().join("pgbackrest");
    fs::write(&wrapper, format!("#!/bin/sh\nexec /usr/bin/pgbackrest {option} \"$@\"\n")).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", programs.path().display(), std::env::var("PATH").unwrap());
    let shop = Shop::with(|holdpoint| holdpoint.env("DATABASE_URL", server.url("bank")).env("PATH", path));
    configure(&shop, &server, "pgbackrest = \"main\"", "");
    let keep = |arguments: &[&str]| drop(must(pgbackrest(&server, &option).args(arguments)));

    keep(&["stanza-create"]);
    archive_by(&server, &format!("{ARCHIVE} && pgbackrest {option} --stanza=main archive-push %p"));
    assert_refused(&shop, &server, 10, "base-backup-missing", "pgBackRest has no base backup of main");
    keep(&["--start-fast", "--repo1-retention-full=1", "backup"]);
    gate(&shop, &[]).expect(0);
    let content = shop.manifest()["sources"][0]["content"].clone();
    assert_eq!(content["external_base_backup"]["stanza"], "main");
    server.psql("bank", "INSERT INTO notes VALUES ('after'); SELECT pg_switch_wal()");

    let target = folder.join("recovered");
    let at = target.to_str().unwrap();
    let refused = shop.run(&["restore", "cluster", "--environment", "staging", "--target", at]).expect(17);
    let hint = refused.stderr.lines().find_map(|line| line.split_once("run: pgbackrest --stanza=main ")).unwrap().1;
    must(server.beside("mkdir").args(["-m", "700", at]));
    keep(&hint.split(' ').collect::<Vec<_>>());
    let restore_command = format!("restore_command=cp {}/%f %p", archive(&server).display());
    let recovered = Postgres::of(&target, &["archive_mode=off", &restore_command]);
    assert_eq!(recovered.psql("bank", "SELECT string_agg(text, ' ') FROM notes"), "before");
}
