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
/// ended. Takes no longer than [`CLEAN_UP_WITHIN`] in all, of which each server gets its share.
///
/// # Errors
/// `capture-failed`: something is left, or a server does not say in time; the others were looked after all the same.
pub(super) fn clean_up(endpoints: &[Endpoint], context: &Context) -> Result<Vec<String>> {
    let until = Instant::now() + CLEAN_UP_WITHIN;
    let mut ended = Vec::new();
    let mut failure = None;
    for (left, endpoint) in (1..=endpoints.len()).rev().zip(endpoints) {
        // What one does not need goes to those that follow.
        let share = until.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
        match clean_up_one(endpoint, context, Instant::now() + share) {
            Ok(more) => ended.extend(more),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(ended), Err)
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
        match Connection::open_until(&endpoint, context, &cancel, until) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Lets everybody in after a while, and then answers nothing.
    fn slow_and_silent(listener: &TcpListener, pause: Duration) {
        let held: Vec<_> = listener
            .incoming()
            .take(1)
            .flatten()
            .map(|mut stream| {
                let mut message = [0; 1024];
                let _ = stream.read(&mut message);
                std::thread::sleep(pause);
                let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
                stream
            })
            .collect();
        for mut stream in held {
            while stream.read(&mut [0; 1024]).is_ok_and(|count| count > 0) {}
        }
    }

    #[test]
    fn servers_that_do_not_answer_take_no_longer_than_the_clean_up_may() {
        let endpoints = [(); 2].map(|()| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("postgres://u:p@{}/x?sslmode=disable", listener.local_addr().unwrap());
            std::thread::spawn(move || slow_and_silent(&listener, Duration::from_millis(600)));
            Endpoint::parse(&url, Duration::from_secs(10)).unwrap()
        });
        let scratch = tempfile::tempdir().unwrap();
        let context = crate::source::sample::context(scratch.path());
        let begun = Instant::now();
        let error = clean_up(&endpoints, &context).unwrap_err();
        let taken = begun.elapsed();
        assert_eq!(error.code(), ErrorCode::CaptureFailed);
        // Room for a machine that is busy: less than what a second limit would add.
        assert!(taken < CLEAN_UP_WITHIN + Duration::from_millis(900), "{taken:?}");
    }
}
