//! Opening databases: the live one without leaving a trace, copies without any lock; and what can be said of them.

use super::sqlite_error;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::ffi::ErrorCode as Code;
use rusqlite::{Connection, OpenFlags};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How every database file begins (<https://sqlite.org/fileformat.html>).
pub(super) const HEADER: &[u8; 16] = b"SQLite format 3\0";

/// How many problems of a damaged database are shown.
const SHOWN_PROBLEMS: usize = 5;
/// The pause before a busy database is tried again; short, because a busy writer leaves short gaps.
const BUSY_PAUSE: Duration = Duration::from_millis(5);
/// How many steps of SQLite's machine pass between two looks at the cancellation; some milliseconds.
const STEPS_BETWEEN_CHECKS: i32 = 100_000;

/// What a path may hold unescaped in a `file:` URI.
const URI_PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A connection to the database of a running application.
#[derive(Debug)]
pub(super) struct Live {
    connection: Connection,
    path: PathBuf,
}

/// A read transaction on a live database, which sees one state of it for as long as it lasts.
#[derive(Debug)]
pub(super) struct ReadTransaction {
    live: Live,
    /// The counter of changes to the schema, in the state that is read.
    pub(super) schema_version: i64,
}

/// Returns the log files that belong to a database: `-wal`, `-shm` and `-journal`.
pub(super) fn sidecars(path: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

/// Opens a live database to read it.
///
/// Not with SQLite's read-only flag: a read-only connection to a database in WAL mode that nobody else has open makes
/// `-wal` and `-shm` files and leaves them behind, owned by us, so that the application may not write any more. An
/// ordinary connection removes them, and rolls back the journal of a writer that died, as the application would.
pub(super) fn open_live(path: &Path) -> Result<Live> {
    let cannot = |error| sqlite_error(format!("cannot open {}", path.display()), error);
    let [wal, shm, _] = sidecars(path);
    let writable = rustix::fs::access(path, rustix::fs::Access::WRITE_OK).is_ok();
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(cannot)?;
    connection.busy_timeout(Duration::ZERO).map_err(cannot)?;
    connection.pragma_update(None, "query_only", true).map_err(cannot)?;
    if wal.metadata().is_ok_and(|wal| wal.len() > 0) {
        // Closing the last connection would move the log into the database: the application's business, not ours.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(cannot)?;
    } else if !writable && !shm.exists() && is_wal_file(path) {
        let text = format!("{} is in WAL mode, nobody has it open, and this user may not write it", path.display());
        return Err(Error::new(ErrorCode::CaptureFailed, text)
            .hint("run as the user who owns the database: reading it so would leave files that lock that user out"));
    }
    Ok(Live { connection, path: path.to_owned() })
}

/// Says whether the file's header asks for WAL mode (bytes 18 and 19). Called before any lock is held.
fn is_wal_file(path: &Path) -> bool {
    let mut header = [0; 20];
    let read = std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut header));
    read.is_ok() && header.ends_with(&[2, 2])
}

impl Live {
    /// Starts a read transaction; while other connections are in the way, tries again for `busy_for`.
    ///
    /// # Errors
    /// `capture-failed`, also if they stay in the way (see [`is_busy`] of its [`cause`]); the reason of a cancellation.
    pub(super) fn begin(self, cancel: &Cancel, busy_for: Duration) -> Result<ReadTransaction> {
        let until = Instant::now() + busy_for;
        loop {
            cancel.check()?;
            // BEGIN alone takes no lock: the first read does.
            let begun = self
                .connection
                .execute_batch("BEGIN")
                .and_then(|()| self.connection.query_row("PRAGMA schema_version", [], |row| row.get(0)));
            let error = match begun {
                Ok(schema_version) => return Ok(ReadTransaction { live: self, schema_version }),
                Err(error) => error,
            };
            if !self.connection.is_autocommit() {
                let cannot = |error| sqlite_error(format!("cannot read {}", self.path.display()), error);
                self.connection.execute_batch("ROLLBACK").map_err(cannot)?;
            }
            if !is_busy(&error) {
                return Err(sqlite_error(format!("cannot read {}", self.path.display()), error));
            }
            if Instant::now() >= until {
                let text = format!("{} was locked by another program for {busy_for:?}", self.path.display());
                let error = Error::new(ErrorCode::CaptureFailed, text).caused_by(error);
                return Err(error.hint("find out who holds it (fuser, lsof) and end that transaction"));
            }
            cancel.sleep(BUSY_PAUSE)?;
        }
    }
}

impl ReadTransaction {
    /// Returns the connection that holds the transaction.
    pub(super) fn connection(&self) -> &Connection {
        &self.live.connection
    }

    /// Lets a cancellation interrupt long statements, and the end of `limit`.
    pub(super) fn limit(&mut self, cancel: &Cancel, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        let cancel = cancel.clone();
        interrupt_when(&mut self.live.connection, move || cancel.is_cancelled() || Instant::now() >= until)
    }
}

/// Opens a file that nobody else has open; makes no other file beside it.
pub(super) fn open_copy(path: &Path) -> Result<Connection> {
    let cannot = |error| sqlite_error(format!("cannot open the copy {}", path.display()), error);
    let uri = format!("file:{}?immutable=1", percent_encode(path.as_os_str().as_bytes(), URI_PLAIN));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags).map_err(cannot)
}

/// Runs SQLite's own check on a copy and returns what is wrong, in at most a few lines; nothing if all is well.
///
/// # Errors
/// The check could not be done; the reason of a cancellation.
pub(super) fn integrity_problems(path: &Path, cancel: &Cancel) -> Result<Vec<String>> {
    let mut connection = open_copy(path)?;
    watch(&mut connection, cancel)?;
    let sql = format!("PRAGMA integrity_check({SHOWN_PROBLEMS})");
    match texts(&connection, &sql) {
        Ok(lines) if lines == ["ok"] => Ok(Vec::new()),
        Ok(lines) if lines.is_empty() => Ok(vec!["the check said nothing".to_owned()]),
        // One problem may span lines.
        Ok(lines) => Ok(lines.iter().flat_map(|line| line.lines()).take(SHOWN_PROBLEMS).map(str::to_owned).collect()),
        Err(error) if is_damage(&error) => Ok(vec![error.to_string()]),
        Err(error) => {
            cancel.check()?;
            Err(sqlite_error("the integrity check could not be done".to_owned(), error))
        }
    }
}

/// Counts the rows that refer to rows that are not there: worth knowing, but for the application to judge.
pub(super) fn foreign_key_violations(path: &Path, cancel: &Cancel) -> Result<serde_json::Value> {
    let mut connection = open_copy(path)?;
    watch(&mut connection, cancel)?;
    let count = connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get::<_, i64>(0));
    cancel.check()?;
    // A schema whose keys make no sense to SQLite works all the same.
    Ok(count.map_or_else(|error| error.to_string().into(), Into::into))
}

/// Lets a cancellation interrupt long statements.
pub(super) fn watch(connection: &mut Connection, cancel: &Cancel) -> Result<()> {
    let cancel = cancel.clone();
    interrupt_when(connection, move || cancel.is_cancelled())
}

fn interrupt_when(connection: &mut Connection, is_over: impl FnMut() -> bool + Send + 'static) -> Result<()> {
    connection
        .progress_handler(STEPS_BETWEEN_CHECKS, Some(is_over))
        .map_err(|error| sqlite_error("cannot watch a statement".to_owned(), error))
}

fn texts(connection: &Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(sql)?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Returns what SQLite said, if that is the cause of an error.
pub(super) fn cause(error: &Error) -> Option<&rusqlite::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Says whether another connection is in the way.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(Code::DatabaseBusy | Code::DatabaseLocked))
}

/// Says whether a statement was interrupted before its end.
pub(super) fn is_interruption(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(Code::OperationInterrupted)
}

/// Says whether the database itself is at fault.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(Code::DatabaseCorrupt | Code::NotADatabase))
}
