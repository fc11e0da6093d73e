//! `mongorestore`, fed with an archive.

use super::archive::{self, Broken, Contents};
use super::dump::Connected;
use super::uri::Uri;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::process::feed;
use crate::source::Stored;
use crate::source::clients::Clients;
use crate::source::write::failed;

/// Restores an archive into a server: each collection of the archive is dropped before it is restored, others stay.
///
/// # Errors
/// `restore-failed`: the archive is not sound, which is seen before anything is changed; the database that the URI names
/// is not in it; `mongorestore` failed. The reason of a cancellation.
pub(super) fn restore(clients: &Clients, uri: &Uri, stored: &dyn Stored, cancel: &Cancel) -> Result<()> {
    let contents = archive::read(stored.open_only()?).map_err(|broken| match broken {
        Broken::Unreadable(error) => error,
        Broken::Incomplete(words) | Broken::Damaged(words) => failed(words),
    })?;
    check_name(uri, &contents)?;
    // The first error ends it: by default errors of documents are only counted.
    let mut arguments = vec!["--archive", "--stopOnError", "--drop"];
    arguments.extend(contents.has_oplog().then_some("--oplogReplay"));
    let connected = Connected::new(clients, "mongorestore", uri, &uri.of_whole_server(), &arguments)?;
    feed(&connected.program, &mut stored.open_only()?, cancel).map_err(|error| {
        if error.code() != ErrorCode::ProcessFailed {
            return error;
        }
        let hint = "the server may hold a part of the snapshot now; correct what mongorestore says, and restore again";
        let hints = error.hints().to_vec();
        let error = failed(format!("cannot restore into {uri}")).caused_by(error).hint(hint);
        hints.into_iter().fold(error, Error::hint)
    })
}

/// Refuses a URI with another database than the archive's: `mongorestore` would find nothing for it, and exit with 0.
fn check_name(uri: &Uri, contents: &Contents) -> Result<()> {
    let Some(database) = &uri.database else { return Ok(()) };
    if contents.documents.keys().any(|(of, _)| of == database) {
        return Ok(());
    }
    Err(failed(format!("the snapshot has no database {database}: it cannot be restored under another name"))
        .hint("restore it into a directory, and give that file to mongorestore with --nsFrom and --nsTo"))
}
