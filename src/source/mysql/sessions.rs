//! What a capture left on its server: a session that waits for a lock outlives its client, and holds up the deploy.
//!
//! The dump program cannot be told to mark its session. So a session counts as ours if it is of our user, from our
//! machine, began after us, and is in the middle of a statement that only dump programs write. Whatever a dump does between
//! two statements ends with its connection, by itself.

use super::server::{Server, literal};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::source::CLEAN_UP_WITHIN;
use std::time::{Duration, Instant};

/// The beginnings of statements that dump programs write and others do not, as both vendors' programs write them.
const OF_DUMPS: [&str; 9] = [
    "SELECT /*!40001 SQL_NO_CACHE */%",
    "START TRANSACTION /*!%",
    "FLUSH /*!40101 LOCAL */ TABLES%",
    "FLUSH TABLES WITH READ LOCK%",
    "SHOW CREATE TABLE `%",
    "SHOW FIELDS FROM `%",
    "SHOW TRIGGERS LIKE %",
    "LOCK TABLES `% READ /*!32311 LOCAL */%",
    "select column_name, extra, generation_expression, data_type from information_schema.columns%",
];
const PAUSE: Duration = Duration::from_millis(20);

/// Returns the number of our session now: those of the capture have higher ones.
///
/// # Errors
/// The server does not say.
pub(super) fn last(server: &Server, cancel: &Cancel) -> Result<u64> {
    let id = server.value("SELECT CONNECTION_ID()", cancel)?;
    id.parse().map_err(|_| Error::new(ErrorCode::CaptureFailed, format!("the server numbers a session {id:?}")))
}

/// Ends the sessions of the capture that began after session `last`. Returns what had to be ended.
///
/// # Errors
/// `capture-failed`: they do not end, or the server does not say.
pub(super) fn end(server: &Server, last: u64) -> Result<Vec<String>> {
    let until = Instant::now() + CLEAN_UP_WITHIN;
    // The run may be cancelled; this must be done all the same.
    let cancel = Cancel::new();
    let ask = |sql: &str| server.ask_in(None, sql, until.saturating_duration_since(Instant::now()), &cancel);
    let failed = |what: &str| {
        let message = format!("a session of this run {what} on {}", server.shown());
        Error::new(ErrorCode::CaptureFailed, message).hint("look for it with SHOW PROCESSLIST, and end it with KILL")
    };
    let sql = query(server, last);
    let (mut known, mut ended) = (Vec::new(), Vec::new());
    loop {
        let rows = ask(&sql).map_err(|failure: Error| failed("may be left").caused_by(failure.chain()))?;
        if rows.is_empty() {
            return Ok(ended);
        }
        if Instant::now() >= until {
            return Err(failed("is left"));
        }
        for row in rows {
            let [id, state, info] = row.as_slice() else { continue };
            if !known.contains(id) {
                known.push(id.clone());
                ended.push(format!("session {id} ({state}): {info}"));
            }
            // It may have ended by itself; the next look tells.
            let _ = ask(&format!("KILL CONNECTION {id}"));
        }
        std::thread::sleep(PAUSE);
    }
}

fn query(server: &Server, last: u64) -> String {
    let of_dumps = OF_DUMPS.map(|pattern| format!("info LIKE {}", literal(pattern))).join(" OR ");
    format!(
        "SELECT id, COALESCE(state, ''), LEFT(REPLACE(REPLACE(info, '\\n', ' '), '\\t', ' '), 100) FROM information_schema.processlist \
         WHERE id <> CONNECTION_ID() AND user = SUBSTRING_INDEX(USER(), '@', 1) AND (info LIKE {} OR \
         (id > {last} AND (host = SUBSTRING_INDEX(USER(), '@', -1) OR host LIKE CONCAT(SUBSTRING_INDEX(USER(), '@', -1), ':%')) \
         AND ({of_dumps})))",
        literal(&format!("%{}%", server.mark()))
    )
}
