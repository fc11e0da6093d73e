//! What a run leaves on a server: sessions and replication slots that carry its mark; found, ended, and looked for again.

use super::connect::{Connection, Why, literal};
use super::endpoint::{Endpoint, MAINTENANCE};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::source::{CLEAN_UP_WITHIN, Context};
use std::time::{Duration, Instant};

/// How long sessions may take to end by themselves once their program is gone.
const ENDING: Duration = Duration::from_millis(300);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(25);

/// Returns the name of a replication slot of this run: a slot's name has no hyphen.
pub(super) fn slot_name(mark: &str) -> String {
    mark.replace('-', "_")
}

/// Looks for what the run left at each of the servers; ends it, and asks again until it is gone. Returns what had to be
/// ended.
///
/// # Errors
/// `capture-failed`: something is left, or a server does not say within [`CLEAN_UP_WITHIN`].
pub(super) fn clean_up(endpoints: &[Endpoint], context: &Context) -> Result<Vec<String>> {
    let until = Instant::now() + CLEAN_UP_WITHIN;
    let mut ended = Vec::new();
    for endpoint in endpoints {
        ended.extend(clean_up_one(endpoint, context, until)?);
    }
    Ok(ended)
}

fn clean_up_one(endpoint: &Endpoint, context: &Context, until: Instant) -> Result<Vec<String>> {
    let Some(connection) = connect(endpoint, context, until)? else { return Ok(Vec::new()) };
    let begun = Instant::now();
    let mut ended: Vec<String> = Vec::new();
    loop {
        let left = left(&connection, &context.mark)?;
        if left.is_empty() {
            return Ok(ended);
        }
        if Instant::now() + PAUSE > until {
            let text = format!("still there at {}: {}", endpoint.server(), left.join("; "));
            return Err(Error::new(ErrorCode::CaptureFailed, text).hint(format!(
                "end it there: SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}'",
                context.mark
            )));
        }
        if begun.elapsed() >= ENDING {
            if ended.is_empty() {
                ended = left;
            }
            end(&connection, &context.mark)?;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Connects to where the run had sessions; `None` if no server runs there any more, and so no session does.
fn connect(endpoint: &Endpoint, context: &Context, until: Instant) -> Result<Option<Connection>> {
    // The run may be cancelled, and this must be done all the same.
    let cancel = Cancel::new();
    let mut endpoint = endpoint.clone();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match Connection::open_within(&endpoint, context, &cancel, left) {
            Ok(connection) => return Ok(Some(connection)),
            Err(refusal) if refusal.why == Why::NobodyThere => return Ok(None),
            Err(refusal) if refusal.why == Why::NotNow && Instant::now() + PAUSE < until => std::thread::sleep(PAUSE),
            // Sessions are those of the whole server, whichever database is asked.
            Err(refusal) if refusal.why == Why::NoDatabase && endpoint.database != MAINTENANCE => {
                endpoint = endpoint.with_database(MAINTENANCE);
            }
            Err(refusal) => {
                let text = format!("cannot tell whether anything of this run is left at {}", endpoint.server());
                return Err(Error::new(ErrorCode::CaptureFailed, text).caused_by(refusal.error));
            }
        }
    }
}

/// Returns what carries the mark, in words.
fn left(connection: &Connection, mark: &str) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT 'session ' || pid || coalesce(' of ' || datname, '') || ' (' || backend_type || ', ' || \
                coalesce(state, 'starting') || ')' \
           FROM pg_catalog.pg_stat_activity WHERE application_name = {} AND pid <> pg_catalog.pg_backend_pid() \
         UNION ALL \
         SELECT 'replication slot ' || slot_name FROM pg_catalog.pg_replication_slots WHERE slot_name = {}",
        literal(mark),
        literal(&slot_name(mark))
    );
    let rows = connection.rows("ask for sessions of this run", &sql)?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
}

fn end(connection: &Connection, mark: &str) -> Result<()> {
    let sessions = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
          WHERE application_name = {} AND pid <> pg_catalog.pg_backend_pid()",
        literal(mark)
    );
    connection.rows("end sessions of this run", &sessions)?;
    let slots = format!(
        "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots \
          WHERE slot_name = {} AND NOT active",
        literal(&slot_name(mark))
    );
    connection.rows("drop the replication slot of this run", &slots).map(drop)
}
