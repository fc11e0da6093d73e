//! What a server holds now, in the words of a snapshot of it: the server counts its keys by itself.

use super::INCOMPLETE;
use super::connection::{Connection, Reply};
use super::endpoint::Endpoint;
use super::info::Info;
use super::transport::Patience;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Content;
use crate::source::Context;

/// Since when a server has libraries of functions.
pub(super) const FUNCTIONS_SINCE: u32 = 7;

/// Looks at a server. Keys that have expired count until the server has deleted them.
///
/// # Errors
/// `capture-failed`: it does not answer, or refuses to; the reason of a cancellation.
pub(super) fn look(endpoint: &Endpoint, context: &Context, patience: &Patience) -> Result<Content> {
    let mut connection = endpoint.connect(&context.runtime, patience)?;
    connection.text(&format!("CLIENT SETNAME {}", context.mark), patience)?;
    let info = Info::ask(&mut connection, patience)?;
    if connection.text(&format!("EXISTS {INCOMPLETE}"), patience)? != "0" {
        let text = format!("a restore into {endpoint} did not come to its end: what is there is not whole");
        return Err(Error::new(ErrorCode::CaptureFailed, text).hint("run the restore again with --force"));
    }
    let keys = info.keys();
    let rows: serde_json::Map<_, _> =
        keys.iter().map(|(database, keys)| (format!("db{database}"), (*keys).into())).collect();
    let mut content = Content::from([("tables".to_owned(), keys.len().into()), ("rows".to_owned(), rows.into())]);
    if info.major() >= FUNCTIONS_SINCE {
        content.insert("function_libraries".to_owned(), libraries(connection, patience)?.into());
    }
    Ok(content)
}

/// Counts libraries of functions; what follows the number is not read, so the connection ends here.
fn libraries(mut connection: Connection, patience: &Patience) -> Result<u64> {
    match connection.ask(&[b"FUNCTION", b"LIST"], patience)? {
        Reply::Many(count) => Ok(count as u64),
        Reply::Refused(words) => Err(connection.refused("FUNCTION LIST", &words)),
        _ => Ok(0),
    }
}
