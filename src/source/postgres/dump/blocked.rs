//! Why a dump does not come forward: who holds what it waits for.

use crate::cancel::Cancel;
use crate::error::Error;
use crate::source::Context;
use crate::source::postgres::connect::{Connection, literal};
use crate::source::postgres::endpoint::Endpoint;
use std::time::Duration;

/// How long the server may take to say it: the run is about to end.
const WITHIN: Duration = Duration::from_secs(1);
/// How much of another session's statement is shown, in characters.
const SHOWN: usize = 60;

/// Adds to an error that ended a capture which of its sessions waited for whom, as far as the server says.
pub(super) fn explain(error: Error, endpoint: &Endpoint, context: &Context) -> Error {
    if !error.is_cancelled() {
        return error;
    }
    match waiting(endpoint, context) {
        Some(waiting) => Error::new(error.code(), format!("{}: {waiting}", error.chain())).hint(
            "let the migration or maintenance end that holds the lock, or end its session, then run the gate again",
        ),
        None => error,
    }
}

/// Asks, whether or not the run was cancelled; `None` if nobody waits or the server does not say.
fn waiting(endpoint: &Endpoint, context: &Context) -> Option<String> {
    let connection = Connection::open_within(endpoint, context, &Cancel::new(), WITHIN).ok()?;
    let sql = format!(
        "SELECT coalesce((SELECT relation::regclass::text FROM pg_catalog.pg_locks w \
                           WHERE w.pid = a.pid AND NOT w.granted LIMIT 1), 'something'), \
                b.pid, coalesce(b.usename, 'unknown'), coalesce(b.state, 'unknown'), coalesce(b.query, '') \
           FROM pg_catalog.pg_stat_activity a, unnest(pg_catalog.pg_blocking_pids(a.pid)) AS blocking (pid) \
           LEFT JOIN pg_catalog.pg_stat_activity b ON b.pid = blocking.pid \
          WHERE a.application_name = {} AND a.pid <> pg_catalog.pg_backend_pid() LIMIT 1",
        literal(&context.mark)
    );
    let row = connection.rows("ask who is in the way", &sql).ok()?.into_iter().next()?;
    let [table, pid, user, state, query] = <[Option<String>; 5]>::try_from(row).ok()?.map(Option::unwrap_or_default);
    Some(format!(
        "the dump was waiting for {table}, which session {pid} holds exclusively (user {user}, {state}: {})",
        beginning(&query)
    ))
}

/// Returns the beginning of a statement, up to the first literal in it, which may be a secret.
fn beginning(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = line.find(['\'', '$']).unwrap_or(line.len());
    line.get(..end).unwrap_or_default().chars().take(SHOWN).collect()
}
