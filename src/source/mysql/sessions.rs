//! What a capture or a restore left on its server: a session that waits for a lock outlives its client, and holds up the
//! deploy, or goes on changing what is being restored anew.
//!
//! The dump program cannot be told to mark its session. So a session counts as ours if it is of our user, from our
//! machine, began after us, and is in the middle of a statement that only dump programs write. Whatever a dump does between
//! two statements ends with its connection, by itself. Of a restore, the sessions in the databases that it makes are ours.

use super::server::{Server, literal};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::source::CLEAN_UP_WITHIN;
use std::sync::Arc;
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

/// What the programs do whose sessions are looked for.
#[derive(Debug)]
pub(super) enum Work {
    Dump,
    /// A look: only statements that carry the mark.
    Look,
    /// A restore into these databases, whose statements are whatever the dump holds.
    Restore(Vec<String>),
}

/// What was begun on a server.
#[derive(Debug)]
pub(super) struct Began {
    server: Arc<Server>,
    /// The number of the last session before those of the programs.
    last: u64,
    work: Work,
}

impl Began {
    /// Asks for the number of our session now: those of the programs have higher ones.
    ///
    /// # Errors
    /// The server does not say.
    pub(super) fn new(server: &Arc<Server>, work: Work, cancel: &Cancel) -> Result<Self> {
        let id = server.value("SELECT CONNECTION_ID()", cancel)?;
        let last = id
            .parse()
            .map_err(|_| Error::new(ErrorCode::ProcessFailed, format!("the server numbers a session {id:?}")))?;
        Ok(Self { server: Arc::clone(server), last, work })
    }

    /// Ends the sessions that are left. Returns what had to be ended.
    ///
    /// # Errors
    /// `capture-failed`: they do not end, or the server does not say.
    pub(super) fn end(&self) -> Result<Vec<String>> {
        end(&self.server, &query(self.server.mark(), self.last, &self.work))
    }
}

fn end(server: &Server, sql: &str) -> Result<Vec<String>> {
    let until = Instant::now() + CLEAN_UP_WITHIN;
    // The run may be cancelled; this must be done all the same.
    let cancel = Cancel::new();
    let ask = |sql: &str| server.ask_in(None, sql, until.saturating_duration_since(Instant::now()), &cancel);
    let failed = |what: &str| {
        let message = format!("a session of this run {what} on {}", server.shown());
        Error::new(ErrorCode::CaptureFailed, message).hint("look for it with SHOW PROCESSLIST, and end it with KILL")
    };
    let (mut known, mut ended) = (Vec::new(), Vec::new());
    loop {
        let rows = ask(sql).map_err(|failure: Error| failed("may be left").caused_by(failure.chain()))?;
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

/// Asks for sessions with a statement of ours, and for those of the programs.
fn query(mark: &str, last: u64, work: &Work) -> String {
    let is_theirs = match work {
        Work::Look => "FALSE".to_owned(),
        Work::Dump => OF_DUMPS.map(|pattern| format!("info LIKE {}", literal(pattern))).join(" OR "),
        // Between two statements, too: the next may be on its way already.
        Work::Restore(databases) => {
            format!("db IN ({})", databases.iter().map(|name| literal(name)).collect::<Vec<_>>().join(", "))
        }
    };
    format!(
        "SELECT id, COALESCE(state, ''), COALESCE(LEFT(REPLACE(REPLACE(info, '\\n', ' '), '\\t', ' '), 100), '') \
         FROM information_schema.processlist \
         WHERE id <> CONNECTION_ID() AND user = SUBSTRING_INDEX(USER(), '@', 1) AND (info LIKE {} OR \
         (id > {last} AND (host = SUBSTRING_INDEX(USER(), '@', -1) OR host LIKE CONCAT(SUBSTRING_INDEX(USER(), '@', -1), ':%')) \
         AND ({is_theirs})))",
        literal(&format!("%{mark}%"))
    )
}
