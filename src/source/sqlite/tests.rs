use super::super::sample::{self, Kept};
use super::open::{open_copy, sidecars};
use super::*;
use crate::cancel::{Cancel, Reason};
use crate::model::finding::Level;
use crate::model::manifest::Content;
use rusqlite::Connection;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn config(path: &str) -> SqliteConfig {
    SqliteConfig { path: path.into(), schema_version_query: None }
}

/// A directory with a database, a scratch directory, and a source.
struct Fixture {
    directory: TempDir,
    source: SqliteSource,
    context: Context,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scratch = directory.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let mut source = SqliteSource::new(&config("app data.db"), directory.path());
        source.busy_for = Duration::from_millis(20);
        let context = sample::context(scratch);
        Self { directory, source, context }
    }

    /// Makes a database with two accounts and `padding` rows of some kilobytes.
    fn with_database(journal_mode: &str, padding: u32) -> Self {
        let fixture = Self::new();
        let connection = fixture.connect();
        connection
            .execute_batch(&format!(
                "PRAGMA journal_mode = {journal_mode}; PRAGMA user_version = 42;
             CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
             CREATE TABLE padding (id INTEGER PRIMARY KEY, text TEXT);
             INSERT INTO account VALUES (1, 1000), (2, 0);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {padding})
             INSERT INTO padding SELECT i, hex(randomblob(1500)) FROM n WHERE {padding} > 0;"
            ))
            .unwrap();
        fixture
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("app data.db")
    }

    fn connect(&self) -> Connection {
        let connection = Connection::open(self.path()).unwrap();
        connection.busy_timeout(Duration::from_secs(60)).unwrap();
        connection
    }

    fn capture(&self) -> Result<(Vec<u8>, Content)> {
        let (kept, content) = sample::capture(&self.source, &self.context)?;
        Ok((kept.bytes("app data.db").to_vec(), content))
    }

    fn restore(&self, data: &[u8], target: &Target, force: bool) -> Result<()> {
        self.source.restore(&self.context, &Kept::one("app data.db", data), target, force)
    }

    /// Returns the sum of both accounts in a database given by its bytes.
    fn total(&self, data: &[u8]) -> i64 {
        let path = self.directory.path().join("looked at");
        std::fs::write(&path, data).unwrap();
        let connection = open_copy(&path).unwrap();
        connection.query_row("SELECT sum(balance) FROM account", [], |row| row.get(0)).unwrap()
    }

    fn messages(&self) -> Vec<String> {
        self.source.preflight(&self.context).into_iter().map(|finding| finding.message).collect()
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .directory
            .path()
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn assert_scratch_is_empty(&self) {
        assert_eq!(self.context.scratch.read_dir().unwrap().count(), 0);
    }
}

#[test]
fn the_copy_balances_while_a_writer_is_busy() {
    for journal_mode in ["WAL", "DELETE"] {
        let fixture = Fixture::with_database(journal_mode, 2000);
        let (stop, transfers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writer = {
            let (connection, stop, transfers) = (fixture.connect(), Arc::clone(&stop), Arc::clone(&transfers));
            std::thread::spawn(move || {
                connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
                while !stop.load(Ordering::Relaxed) {
                    connection
                        .execute_batch(
                            "BEGIN IMMEDIATE; UPDATE account SET balance = balance - 1 WHERE id = 1;
                         UPDATE padding SET text = hex(randomblob(1500)) WHERE id = abs(random()) % 2000;
                         UPDATE account SET balance = balance + 1 WHERE id = 2; COMMIT",
                        )
                        .unwrap();
                    transfers.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let fixture = Fixture { source: SqliteSource { busy_for: BUSY_FOR, ..fixture.source }, ..fixture };
        for _ in 0..5 {
            let before = transfers.load(Ordering::Relaxed);
            let (data, content) = fixture.capture().unwrap();
            assert_eq!(fixture.total(&data), 1000, "{journal_mode}");
            assert_eq!(content["foreign_key_violations"], 0);
            // The writer goes on between two captures, so that each copies another state.
            while transfers.load(Ordering::Relaxed) == before {
                std::thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        fixture.assert_scratch_is_empty();
    }
}

#[test]
fn the_facts_tell_what_is_in_the_database() {
    let fixture = Fixture::with_database("WAL", 3);
    assert_eq!(fixture.messages(), [""; 0]);
    let (data, content) = fixture.capture().unwrap();
    assert_eq!(content["foreign_key_violations"], 0);
    assert_eq!((&content["journal_mode"], &content["schema_cookie"]), (&"wal".into(), &2.into()));
    let inspection = fixture.source.inspect(&fixture.context, &Kept::one("app data.db", data)).unwrap();
    assert_eq!(inspection.findings.len(), 0);
    for (key, value) in [("tables", 2), ("user_version", 42), ("page_size", 4096)] {
        assert_eq!(inspection.content[key], value, "{key}");
    }
    assert_eq!(inspection.content["rows"], serde_json::json!({"account": 2, "padding": 3}));
    assert_eq!(inspection.content.get("schema_version"), None);
    fixture.assert_scratch_is_empty();
}

#[test]
fn the_version_of_the_schema_is_read_from_the_copy() {
    let mut fixture = Fixture::with_database("WAL", 0);
    let inspect = |fixture: &Fixture| {
        let (data, _) = fixture.capture().unwrap();
        fixture.source.inspect(&fixture.context, &Kept::one("app data.db", data))
    };
    fixture
        .connect()
        .execute_batch(
            "CREATE TABLE \"_sqlx_migrations\" (version BIGINT, success BOOLEAN);
             INSERT INTO \"_sqlx_migrations\" VALUES (9, 1), (10, 1), (11, 0)",
        )
        .unwrap();
    let content = inspect(&fixture).unwrap().content;
    assert_eq!((&content["schema_version"], &content["schema_version_from"]), (&"10".into(), &"sqlx".into()));
    fixture.source.schema_version_query = Some("SELECT max(balance) FROM account".to_owned());
    assert_eq!(inspect(&fixture).unwrap().content["schema_version"], "1000");
    assert_eq!(fixture.messages(), [""; 0]);
    for (query, words) in [
        ("SELECT x FROM nowhere", "schema_version_query cannot be run: no such table: nowhere"),
        ("SELECT id FROM account WHERE id > 9", "schema_version_query gives no value"),
        ("UPDATE account SET balance = 0 RETURNING 1", "schema_version_query cannot be run: attempt to write"),
    ] {
        fixture.source.schema_version_query = Some(query.to_owned());
        let inspection = inspect(&fixture).unwrap();
        assert_eq!(inspection.content["tables"], 3);
        for (findings, code) in [
            (inspection.findings, FindingCode::ContentIncomplete),
            (fixture.source.preflight(&fixture.context), FindingCode::PreflightFailed),
        ] {
            let [finding] = findings.as_slice() else { panic!("{findings:?}") };
            assert_eq!((finding.code, finding.level), (code, Level::Refusal));
            assert!(finding.message.contains(words), "{}", finding.message);
        }
    }
    let (data, _) = fixture.capture().unwrap();
    assert_eq!(fixture.total(&data), 1000);
    // It does not keep writers waiting for long.
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
    fixture.source.schema_version_query = Some(endless.to_owned());
    let findings = fixture.source.preflight(&fixture.context);
    assert_eq!((findings[0].code, findings[0].level), (FindingCode::PreflightFailed, Level::Warning));
}

#[test]
fn several_databases_are_one_source() {
    let fixture = Fixture::new();
    let folder = fixture.directory.path().join("tenants");
    std::fs::create_dir(&folder).unwrap();
    for (name, rows) in [("a.db", 1), ("b.db", 2)] {
        let connection = Connection::open(folder.join(name)).unwrap();
        connection.execute_batch("CREATE TABLE orders (id)").unwrap();
        for id in 0..rows {
            connection.execute("INSERT INTO orders VALUES (?)", [id]).unwrap();
        }
    }
    let source = SqliteSource::new(&config("tenants/*.db"), fixture.directory.path());
    assert_eq!(source.preflight(&fixture.context).len(), 0);
    assert!(source.exclusive_paths().contains(&folder.join("b.db-wal")));
    let (kept, content) = sample::capture(&source, &fixture.context).unwrap();
    assert_eq!(kept.names(), ["a.db", "b.db"]);
    assert_eq!(content["copy of b.db"]["journal_mode"], "rollback");
    let content = source.inspect(&fixture.context, &kept).unwrap().content;
    assert_eq!(
        (&content["tables"], &content["rows"]["a.db.orders"], &content["rows"]["b.db.orders"]),
        (&2.into(), &1.into(), &2.into())
    );

    std::fs::remove_file(folder.join("a.db")).unwrap();
    source.restore(&fixture.context, &kept, &Target::Origin, true).unwrap();
    assert_eq!(std::fs::read(folder.join("a.db")).unwrap(), kept.bytes("a.db"));
    let target = fixture.directory.path().join("elsewhere");
    source.restore(&fixture.context, &kept, &Target::Directory(target.clone()), false).unwrap();
    assert_eq!(std::fs::read(target.join("b.db")).unwrap(), kept.bytes("b.db"));

    std::fs::write(folder.join("c.db"), "not a database").unwrap();
    assert!(source.preflight(&fixture.context)[0].message.contains("c.db is not an SQLite database"));
    let none = SqliteSource::new(&config("tenants/*.sqlite"), fixture.directory.path());
    assert_eq!(none.preflight(&fixture.context)[0].code, FindingCode::PathMissing);
    assert!(none.capture(&fixture.context).is_err());
    let unlisted = SqliteSource::new(&config("tenants/a.db/*.db"), fixture.directory.path());
    assert_eq!(unlisted.preflight(&fixture.context)[0].code, FindingCode::SourceUnreadable);
    assert!(unlisted.capture(&fixture.context).is_err());
}

#[test]
fn several_databases_are_replaced_together_or_not_at_all() {
    let fixture = Fixture::new();
    let path = |name: &str| fixture.directory.path().join("tenants").join(name);
    std::fs::create_dir(path("")).unwrap();
    let connect = |name: &str| Connection::open(path(name)).unwrap();
    for name in ["a.db", "b.db"] {
        connect(name).execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (x)").unwrap();
    }
    let source = SqliteSource::new(&config("tenants/*.db"), fixture.directory.path());
    let (kept, _) = sample::capture(&source, &fixture.context).unwrap();
    connect("a.db").execute_batch("INSERT INTO t VALUES (1)").unwrap();
    let later = std::fs::read(path("a.db")).unwrap();
    let restore = |kept: &Kept, target| source.restore(&fixture.context, kept, target, true);

    let application = connect("b.db");
    application.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    assert!(restore(&kept, &Target::Origin).unwrap_err().message().ends_with("b.db is in use"));
    assert_eq!(std::fs::read(path("a.db")).unwrap(), later);
    drop(application);
    let unsound = kept.clone().with("b.db", "x".repeat(99));
    assert!(restore(&unsound, &Target::Origin).unwrap_err().message().contains("b.db is not a sound database"));
    assert_eq!(std::fs::read(path("a.db")).unwrap(), later);
    assert_eq!(path("").read_dir().unwrap().count(), 2, "what was staged is removed");

    // What goes wrong in the middle says how far it came.
    std::fs::create_dir(path("b.db-shm")).unwrap();
    std::fs::write(path("b.db"), "damaged").unwrap();
    let error = restore(&kept, &Target::Origin).unwrap_err();
    assert!(error.message().contains("b.db-shm"), "{}", error.chain());
    assert!(error.hints()[0].contains("replaced already: ") && error.hints()[0].contains("a.db;"), "{error:?}");
    std::fs::remove_dir(path("b.db-shm")).unwrap();
    restore(&kept, &Target::Origin).unwrap();
    assert_eq!(std::fs::read(path("b.db")).unwrap(), kept.bytes("b.db"));

    let one = SqliteSource::new(&config("tenants/a.db"), fixture.directory.path());
    let error = one.restore(&fixture.context, &kept, &Target::Origin, true).unwrap_err();
    assert!(error.message().contains("holds 2 databases"), "{}", error.chain());
}

#[test]
fn a_database_that_cannot_be_claimed_keeps_its_log() {
    let fixture = Fixture::with_database("WAL", 0);
    let (data, _) = fixture.capture().unwrap();
    let application = fixture.connect();
    application.execute_batch("UPDATE account SET balance = 7").unwrap();
    let [wal, _, _] = sidecars(&fixture.path());
    // As a user sees it who may not read a journal: SQLite cannot open a directory, whoever asks.
    let copy = Fixture::new();
    std::fs::copy(fixture.path(), copy.path()).unwrap();
    let [log, _, journal] = sidecars(&copy.path());
    std::fs::copy(&wal, &log).unwrap();
    std::fs::create_dir(&journal).unwrap();
    let error = copy.restore(&data, &Target::Origin, true).unwrap_err();
    assert!(error.message().starts_with("cannot tell whether"), "{}", error.chain());
    assert_eq!(std::fs::read(&log).unwrap(), std::fs::read(&wal).unwrap());
    drop(application);
}

#[test]
fn an_idle_database_is_left_as_it_was() {
    let fixture = Fixture::with_database("WAL", 10);
    let before = (fixture.files(), std::fs::read(fixture.path()).unwrap());
    assert_eq!(fixture.messages(), [""; 0]);
    fixture.capture().unwrap();
    assert_eq!((fixture.files(), std::fs::read(fixture.path()).unwrap()), before);
}

#[test]
fn a_log_that_a_dead_writer_left_is_part_of_the_copy_and_stays() {
    let fixture = Fixture::with_database("WAL", 0);
    let writer = fixture.connect();
    writer.execute_batch("UPDATE account SET balance = 5").unwrap();
    // What a crash leaves: database and log, without the shared memory of the living.
    let [wal, _, _] = sidecars(&fixture.path());
    let crashed = Fixture::new();
    let [crashed_wal, _, _] = sidecars(&crashed.path());
    std::fs::copy(fixture.path(), crashed.path()).unwrap();
    std::fs::copy(&wal, &crashed_wal).unwrap();
    let before = (std::fs::read(crashed.path()).unwrap(), std::fs::read(&crashed_wal).unwrap());
    let (data, _) = crashed.capture().unwrap();
    assert_eq!(crashed.total(&data), 10);
    assert_eq!((std::fs::read(crashed.path()).unwrap(), std::fs::read(&crashed_wal).unwrap()), before);
    drop(writer);
}

#[test]
fn a_database_that_stays_locked_is_an_error_after_a_while() {
    let fixture = Fixture::with_database("DELETE", 0);
    let writer = fixture.connect();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = fixture.capture().unwrap_err();
    assert!(error.message().contains("was locked by another program"), "{}", error.chain());
    writer.execute_batch("ROLLBACK").unwrap();
    fixture.capture().unwrap();
    fixture.assert_scratch_is_empty();
}

#[test]
fn a_damaged_database_is_refused() {
    let fixture = Fixture::with_database("DELETE", 200);
    let file = File::options().write(true).open(fixture.path()).unwrap();
    for page in 5..50 {
        file.write_all_at(&[0xff; 64], page * 4096 + 8).unwrap();
    }
    let error = fixture.capture().unwrap_err();
    assert_eq!(error.code(), ErrorCode::CaptureFailed);
    assert!(error.message().ends_with("app data.db is damaged"), "{}", error.chain());
    assert!(std::error::Error::source(&error).is_some());
    // The schema page, too.
    file.write_all_at(&[0xff; 2000], 100).unwrap();
    assert!(fixture.capture().unwrap_err().message().ends_with("is damaged"));
    fixture.assert_scratch_is_empty();
}

#[test]
fn a_read_back_that_is_not_the_database_is_a_finding() {
    let fixture = Fixture::with_database("WAL", 200);
    let (mut data, _) = fixture.capture().unwrap();
    let inspect =
        |data: &[u8]| fixture.source.inspect(&fixture.context, &Kept::one("app data.db", data)).unwrap().findings;
    assert_eq!(inspect(&data).len(), 0);
    for stream in [&b"not a database at all, but long enough to look at"[..], &data[..data.len() / 2]] {
        assert_eq!(inspect(stream)[0].code, FindingCode::IntegrityFailed);
    }
    data[5 * 4096..6 * 4096].fill(0xff);
    assert_eq!(inspect(&data)[0].code, FindingCode::IntegrityFailed);
    fixture.assert_scratch_is_empty();
}

#[test]
fn a_cancelled_capture_leaves_nothing() {
    let mut fixture = Fixture::with_database("DELETE", 10_000);
    // Until the cancellation comes in the middle, which it does at once but on a very busy machine.
    loop {
        fixture.context.cancel = Cancel::new();
        let (cancel, scratch) = (fixture.context.cancel.clone(), fixture.context.scratch.clone());
        let canceller = std::thread::spawn(move || {
            while scratch.read_dir().unwrap().count() == 0 {
                std::thread::yield_now();
            }
            cancel.cancel(Reason::Interrupt);
        });
        let captured = fixture.capture().map(drop);
        fixture.assert_scratch_is_empty();
        if let Err(error) = captured {
            assert_eq!(error.code(), ErrorCode::Interrupted);
            return canceller.join().unwrap();
        }
        // The canceller that came too late needs something to see.
        std::fs::write(fixture.context.scratch.join("seen"), "").unwrap();
        canceller.join().unwrap();
        std::fs::remove_file(fixture.context.scratch.join("seen")).unwrap();
    }
}

#[test]
fn what_is_no_database_is_found_before_the_capture() {
    let fixture = Fixture::new();
    let path = &fixture.path();
    let code = || fixture.source.preflight(&fixture.context)[0].code;
    assert_eq!(code(), FindingCode::PathMissing);
    assert!(fixture.capture().is_err() && !path.exists());
    for (content, text) in [
        ("", "is empty (0 bytes)"),
        ("short", "has only 5 bytes"),
        ("x".repeat(99).as_str(), "is not an SQLite database"),
    ] {
        std::fs::write(path, content).unwrap();
        assert_eq!(code(), FindingCode::PreflightFailed);
        assert!(fixture.messages()[0].contains(text), "{:?}", fixture.messages());
    }
}

#[test]
fn a_restore_replaces_only_by_force_and_takes_stale_logs_away() {
    let fixture = Fixture::with_database("WAL", 0);
    let (data, _) = fixture.capture().unwrap();
    let path = &fixture.path();
    let error = fixture.restore(&data, &Target::Origin, false).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RestoreFailed);
    assert!(error.message().ends_with("exists and is not empty"));

    let application = fixture.connect();
    application.execute_batch("UPDATE account SET balance = 7").unwrap();
    let error = fixture.restore(&data, &Target::Origin, true).unwrap_err();
    assert!(error.message().ends_with("is in use"), "{}", error.chain());
    drop(application);

    // A damaged database with a log of its own is no obstacle, and the log does not get into the new one.
    std::fs::write(path, "damaged").unwrap();
    for sidecar in sidecars(path) {
        std::fs::write(sidecar, "stale").unwrap();
    }
    fixture.restore(&data, &Target::Origin, true).unwrap();
    assert_eq!(fixture.files(), ["app data.db", "scratch"]);
    assert_eq!(std::fs::read(path).unwrap(), data);
    let connection = fixture.connect();
    let total: i64 = connection.query_row("SELECT sum(balance) FROM account", [], |row| row.get(0)).unwrap();
    assert_eq!(total, 1000);

    let target = fixture.directory.path().join("elsewhere");
    fixture.restore(&data, &Target::Directory(target.clone()), false).unwrap();
    assert_eq!(std::fs::read(target.join("app data.db")).unwrap(), data);
    let error = fixture.restore(&data[..5000], &Target::Directory(target.clone()), true).unwrap_err();
    assert!(error.message().ends_with("is not a sound database"), "{}", error.chain());
    assert_eq!(std::fs::read(target.join("app data.db")).unwrap(), data);
}

#[test]
fn a_link_is_followed_and_its_paths_are_kept_for_this_source() {
    let fixture = Fixture::with_database("WAL", 0);
    let link = fixture.directory.path().join("link.db");
    std::os::unix::fs::symlink(fixture.path(), &link).unwrap();
    let source = SqliteSource::new(&config("link.db"), fixture.directory.path());
    let paths = source.exclusive_paths();
    assert!(paths.contains(&link) && paths.contains(&fixture.path()));
    assert!(paths.iter().any(|path| path.ends_with("app data.db-wal")));
    let (kept, _) = sample::capture(&source, &fixture.context).unwrap();
    assert_eq!(kept.names(), ["link.db"]);
}

#[test]
fn a_database_in_use_is_told_as_its_copy_would_be() {
    for journal_mode in ["WAL", "DELETE"] {
        let fixture = Fixture::with_database(journal_mode, 3);
        let connection = fixture.connect();
        connection
            .execute_batch(
                "CREATE TABLE alembic_version (v TEXT, version_num TEXT); INSERT INTO alembic_version VALUES (1, 'a1')",
            )
            .unwrap();
        let (data, _) = fixture.capture().unwrap();
        let kept = Kept::one("app data.db", data);
        let mut told = fixture.source.inspect(&fixture.context, &kept).unwrap().content;
        told.remove("integrity_check");
        assert_eq!(fixture.source.look(&fixture.context).unwrap().unwrap(), told, "{journal_mode}");
        // Rows of a transaction that is not over are not there; one that is in the way is waited for, not for ever.
        connection.execute_batch("BEGIN IMMEDIATE; INSERT INTO account VALUES (3, 0)").unwrap();
        assert_eq!(fixture.source.look(&fixture.context).unwrap().unwrap(), told, "{journal_mode}");
        connection.execute_batch("COMMIT").unwrap();
        assert_eq!(fixture.source.look(&fixture.context).unwrap().unwrap()["rows"]["account"], 3);
        drop(connection);
        assert!(fixture.files().iter().all(|name| !name.ends_with("-journal")), "{:?}", fixture.files());
    }
    let fixture = Fixture::new();
    let error = fixture.source.look(&fixture.context).unwrap_err();
    assert!(error.message().ends_with("app data.db does not exist"), "{}", error.chain());
}
