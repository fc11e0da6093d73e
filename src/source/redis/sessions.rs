//! What a run leaves on a server: its connections, found by the name that they were given.

use super::connection::Connection;
use super::endpoint::Endpoint;
use super::transport::Patience;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::source::{CLEAN_UP_WITHIN, Context};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

/// How long the server may take to see that a connection was closed.
const TO_NOTICE: Duration = Duration::from_millis(500);
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Asks the server for connections of this run, and ends those that do not end by themselves at once; says which.
///
/// # Errors
/// `capture-failed`: a connection is left, or the server does not say.
pub(super) fn end_ours(endpoint: &Endpoint, context: &Context) -> Result<Vec<String>> {
    let cancel = Cancel::new();
    let patience = Patience::within(&cancel, CLEAN_UP_WITHIN);
    let mut connection = match endpoint.connect(&context.runtime, &patience) {
        Ok(connection) => connection,
        // Where no server is, nothing of ours can be.
        Err(error) if nobody_listens(&error) => return Ok(Vec::new()),
        Err(error) => return Err(not_told(endpoint, error)),
    };
    let noticed = Instant::now() + TO_NOTICE;
    let mut ended = BTreeSet::new();
    loop {
        let left = ours(&mut connection, &context.mark, &patience).map_err(|error| not_told(endpoint, error))?;
        if left.is_empty() {
            return Ok(ended.into_iter().collect());
        }
        if Instant::now() >= noticed {
            for id in left {
                // It may be gone by now: the next look decides.
                let killed = connection.text(&format!("CLIENT KILL ID {id}"), &patience);
                if killed.map_err(|error| not_told(endpoint, error))? != "0" {
                    ended.insert(format!("client {id} of {endpoint}"));
                }
            }
        }
        cancel.sleep(BETWEEN_LOOKS)?;
    }
}

/// Returns the numbers of the clients that carry the mark.
fn ours(connection: &mut Connection, mark: &str, patience: &Patience) -> Result<Vec<String>> {
    let clients = connection.text("CLIENT LIST", patience)?;
    let field = |line: &str, name: &str| {
        line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    let marked = clients.lines().filter(|line| field(line, "name").as_deref() == Some(mark));
    Ok(marked.filter_map(|line| field(line, "id")).collect())
}

fn not_told(endpoint: &Endpoint, error: Error) -> Error {
    let message = format!("cannot tell whether {endpoint} still serves a connection of this run");
    Error::new(ErrorCode::CaptureFailed, message)
        .caused_by(error)
        .hint("this end is closed; the server drops the connection as soon as it looks at it")
}

/// Says whether an error means that there is no server.
pub(super) fn nobody_listens(error: &Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound);
        }
        cause = error.source();
    }
    false
}
