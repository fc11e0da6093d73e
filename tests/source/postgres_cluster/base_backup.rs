//! Clusters captured by their files: gated, restored, started, compared; and everything that must refuse.

use super::{assert_balances, assert_finding, transfers};
use crate::gate::shop::names;
use crate::support::environment::must;
use crate::support::holdpoint::Output;
use crate::support::postgres::{PASSWORD, Postgres};
use crate::support::shop::Shop;
use crate::support::wait;
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// The program that captures, and the one that asks for a replication connection.
const PROGRAMS: [&str; 2] = ["pg_basebackup", "psql"];

/// Prepares an application whose cluster is captured by the programs in `programs`.
fn shop(server: &Postgres, url: &str) -> Shop {
    let shop = Shop::with(|holdpoint| holdpoint.env("DATABASE_URL", url));
    shop.configure(
        "[gate]\nretry = { attempts = 1 }\n\n[[source]]\nname = \"cluster\"\nkind = \"postgres\"\n\
         url = { env = \"DATABASE_URL\" }\nmethod = \"base-backup\"\nprograms = \"programs\"\n",
    );
    wrap(&shop, server, "exec \"$real\" \"$@\"");
    shop
}

/// Puts a program in front of `pg_basebackup` that records its arguments and then runs `script`.
fn wrap(shop: &Shop, server: &Postgres, script: &str) {
    for program in PROGRAMS {
        let real = server.programs().join(program);
        let script = if program == "psql" { "exec \"$real\" \"$@\"" } else { script };
        let text = format!(
            "#!/bin/sh\nreal={}\nprintf '%s\\n' \"$*\" >> {}\ncase $1 in --version) exec \"$real\" --version;; esac\n{script}\n",
            real.display(),
            shop.beside("arguments").display(),
        );
        shop.write(&format!("programs/{program}"), text);
        let path = shop.path().join("programs").join(program);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn gate(shop: &Shop, more: &[&str]) -> Output {
    shop.gate("1.4.0", &[&["--first"], more].concat())
}

/// Runs the gate, which must refuse with a finding; nothing may be left on the server.
#[track_caller]
fn assert_refused(shop: &Shop, server: &Postgres, exit: u8, code: &str, says: &str) {
    gate(shop, &[]).expect(exit).refuses_in_words();
    assert_finding(shop, code, says);
    assert_eq!(server.left(), "");
}

#[test]
fn a_cluster_under_load_is_captured_restored_and_balances() {
    let server = Postgres::start();
    server.create("bank", "CREATE TABLE \"größen\" (name text PRIMARY KEY); INSERT INTO \"größen\" VALUES ('zwölf')");
    server.pgbench("bank", if crate::support::full() { 20 } else { 2 });
    let shop = shop(&server, &server.url("bank"));
    let load = transfers(&server, "bank");
    gate(&shop, &[]).expect(0);
    drop(load);
    assert_eq!(server.left(), "");
    let source = shop.manifest()["sources"][0].clone();
    let identifier = server.psql("bank", "SELECT system_identifier FROM pg_control_system()");
    assert_eq!(source["identity"], format!("postgres {identifier}"));
    assert_eq!((&source["method"], &source["consistency"]), (&"base-backup".into(), &"transaction".into()));
    let content = &source["content"];
    assert_eq!(content["system_identifier"], identifier.as_str());
    assert_eq!((&content["timeline"], &content["server_major_version"]), (&1.into(), &"15".into()));
    assert!(content["files"].as_u64().unwrap() > 900 && content["wal_end_lsn"].as_str().unwrap().contains('/'));

    // A file tree and a running server take it only as what it is.
    let target = shop.beside("restored");
    let at = target.to_str().unwrap();
    let restore = |more: &[&str]| shop.run(&[&["restore", "cluster", "--environment", "staging"], more].concat());
    restore(&[]).expect(17).says(&["which no running server can take", "--target DIR"]);
    restore(&["--target", &server.url("bank")]).expect(17).says(&["which no running server can take"]);
    restore(&["--target", at]).expect(0);
    assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    restore(&["--target", at]).expect(17).says(&["is not empty"]);
    restore(&["--target", at, "--force"]).expect(0);
    let verified = Command::new(server.programs().join("pg_verifybackup")).arg(&target).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let restored = Postgres::of(&target, &[]);
    assert_balances(&restored, "bank");
    assert_eq!(restored.psql("bank", "SELECT * FROM \"größen\""), "zwölf");
    restored.psql("bank", "INSERT INTO \"größen\" VALUES ('dreizehn')");

    // Nothing that a user of this machine can see tells the password, and no record does.
    let arguments = fs::read_to_string(shop.beside("arguments")).unwrap();
    assert!(arguments.contains("--wal-method=fetch") && !arguments.contains(PASSWORD), "{arguments}");
    let manifest = fs::read_to_string(shop.path().join("holdpoint-manifest.json")).unwrap();
    assert!(!manifest.contains(PASSWORD));
}

#[test]
fn what_is_not_what_the_server_sent_refuses() {
    let server = Postgres::start();
    server.create("bank", "CREATE TABLE t AS SELECT 'here is a marker' AS text; CHECKPOINT");
    let shop = shop(&server, &server.url("bank"));
    let through = |filter: &str| wrap(&shop, &server, &format!("\"$real\" \"$@\" | {filter}"));
    through("sed 's/here is a marker/here is a mXrker/'");
    let file = server.psql("bank", "SELECT pg_relation_filepath('t')");
    assert_refused(&shop, &server, 12, "integrity-failed", &file);
    through("tar --delete --file=- global/pg_filenode.map");
    assert_refused(&shop, &server, 12, "content-incomplete", "global/pg_filenode.map is in the manifest");
    // The GitLab case: what is cut off, and exits 0.
    through("head -c 9000000");
    assert_refused(&shop, &server, 12, "content-incomplete", "cut off");
    through("cat > /dev/null");
    assert_refused(&shop, &server, 12, "content-incomplete", "did not come to its end");
    // Between the look and the copy another server took over.
    let other = Postgres::start();
    wrap(&shop, &server, &format!("PGPORT={} exec \"$real\" \"$@\"", other.port()));
    assert_refused(&shop, &server, 12, "identity-changed", "the base backup is of the server");
    assert_eq!(other.left(), "");
    wrap(&shop, &server, "exec \"$real\" \"$@\"");
    gate(&shop, &[]).expect(0);
}

#[test]
fn a_backup_that_is_killed_hangs_or_loses_its_server_refuses_and_leaves_nothing() {
    let mut server = Postgres::start();
    server.create("bank", "CREATE TABLE orders (id int)");
    let shop = shop(&server, &server.url("bank"));
    let passes = |shop: &Shop, server: &Postgres| {
        wrap(shop, server, "exec \"$real\" \"$@\"");
        gate(shop, &[]).expect(0);
    };
    wrap(&shop, &server, "exec timeout --signal=KILL 0.5 \"$real\" --max-rate=1M \"$@\"");
    assert_refused(&shop, &server, 10, "source-failed", "SIGKILL");
    passes(&shop, &server);

    wrap(&shop, &server, "exec \"$real\" --max-rate=32k \"$@\"");
    gate(&shop, &["--timeout", "3s"]).expect(11).refuses_in_words();
    assert_eq!(server.left(), "");
    passes(&shop, &server);

    wrap(&shop, &server, "exec \"$real\" --max-rate=32k \"$@\"");
    let running = shop.holdpoint().start([
        "gate",
        "--environment",
        "staging",
        "--release",
        "1.4.0",
        "--first",
        "--commit",
        crate::support::shop::COMMIT,
    ]);
    while server.psql("bank", "SELECT count(*) FROM pg_stat_replication WHERE state = 'backup'") == "0" {}
    server.stop();
    running.wait().expect(10).refuses_in_words();
    assert_finding(&shop, "source-failed", "pg_basebackup exited 1");
    server.restart();
    assert_eq!(server.left(), "");
    passes(&shop, &server);
    server.stop();
    gate(&shop, &[]).expect(10);
    assert_finding(&shop, "server-unreachable", "");
}

#[test]
fn what_a_base_backup_needs_is_asked_before_anything_is_copied() {
    let server = Postgres::start_with(&["max_wal_senders=1"]);
    server.create("bank", "CREATE ROLE clerk LOGIN PASSWORD 'clerk'");
    let clerk = shop(&server, &server.url_of("clerk", "clerk", "bank"));
    assert_refused(&clerk, &server, 10, "privilege-missing", "ALTER ROLE \\\"clerk\\\" REPLICATION");
    server.psql("bank", "ALTER ROLE clerk REPLICATION");
    gate(&clerk, &[]).expect(0);
    // A backup that nobody could tell from that of another server.
    server.psql("bank", "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    let grant = "GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO ";
    assert_refused(&clerk, &server, 10, "privilege-missing", grant);
    server.psql("bank", &format!("{grant} clerk"));
    gate(&clerk, &[]).expect(0);

    let access = server.data().join("pg_hba.conf");
    let allowed = fs::read_to_string(&access).unwrap();
    reload(&server, &access, &allowed.replace("host replication", "#host replication"));
    assert_refused(&clerk, &server, 10, "privilege-missing", "no pg_hba.conf entry for replication connection");
    reload(&server, &access, &allowed);

    let place = server.data().parent().unwrap().join("space");
    must(server.beside("mkdir").arg(&place));
    server.psql("bank", &format!("CREATE TABLESPACE elsewhere LOCATION '{}'", place.display()));
    assert_refused(&clerk, &server, 10, "preflight-failed", "tablespaces (elsewhere)");
    server.psql("bank", "DROP TABLESPACE elsewhere");
    gate(&clerk, &[]).expect(0);
}

/// Replaces the rules of who is let in, and waits until the server follows them.
fn reload(server: &Postgres, file: &Path, text: &str) {
    fs::write(file, text).unwrap();
    let loaded = || server.psql("bank", "SELECT pg_conf_load_time()");
    let before = loaded();
    server.psql("bank", "SELECT pg_reload_conf()");
    while loaded() == before {}
}

#[test]
fn a_data_directory_is_there_once_it_is_whole_and_not_before() {
    let server = Postgres::start();
    server.create("bank", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS id");
    let shop = shop(&server, &server.url("bank"));
    gate(&shop, &[]).expect(0);
    let folder = shop.beside("places");
    fs::create_dir(&folder).unwrap();
    let target = folder.join("restored");
    let arguments = ["restore", "cluster", "--environment", "staging", "--target", target.to_str().unwrap()];
    let begun = || names(&folder).iter().any(|name| name.starts_with(".holdpoint-restore-"));
    for (signal, code) in [(Signal::KILL, None), (Signal::TERM, Some(143))] {
        let running = shop.holdpoint().start(arguments);
        assert!(wait::for_change(&[&folder], running.pid(), begun), "{}", running.stderr());
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.code, code, "{}", ended.stderr);
        assert!(!target.exists(), "a part is taken for the whole");
        assert_eq!(begun(), code.is_none(), "only who is killed leaves something, by a name of its own");
        for name in names(&folder) {
            fs::remove_dir_all(folder.join(name)).unwrap();
        }
    }
    shop.run(&arguments).expect(0);
    let restored = Postgres::of(&target, &[]);
    assert_eq!(restored.psql("bank", "SELECT count(*) FROM t"), "1000");

    // The archive itself, which tar unpacks to a data directory as well.
    let out = shop.beside("base.tar");
    let mut command = shop.holdpoint().command(["restore", "cluster", "-e", "staging", "--target", "-"]);
    let output = command.stdout(fs::File::create(&out).unwrap()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = must(Command::new("tar").arg("--list").arg("--file").arg(out));
    assert!(listed.lines().any(|name| name == "PG_VERSION") && listed.contains("backup_manifest"), "{listed}");
}
