//! A database put back in place of whatever is there.

use super::open::{integrity_problems, is_busy, sidecars};
use crate::cancel::Cancel;
use crate::error::Result;
use crate::source::write::{Staged, failed};
use rusqlite::{Connection, OpenFlags};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Writes the stream beside `path`, checks it as a database, and puts it in place in one step. With `force` it replaces
/// a database that is there, unless somebody uses that.
///
/// # Errors
/// `restore-failed`: something is in the way or in use, or the stream is not a sound database; the reason of a
/// cancellation. `path` is then as it was.
pub(super) fn restore(stream: &mut dyn Read, path: &Path, force: bool, cancel: &Cancel) -> Result<()> {
    if !force && let Some(existing) = first_with_content(path)? {
        return Err(failed(format!("{} exists and is not empty", existing.display()))
            .hint("stop the application, then restore with --force; or restore elsewhere with --target DIR"));
    }
    let staged = Staged::write(stream, path, cancel)?;
    let problems = integrity_problems(staged.temporary_path(), cancel)?;
    if !problems.is_empty() {
        let error = failed(format!("what would become {} is not a sound database", path.display()));
        return Err(error.caused_by(problems.join("; ")).hint("check the repository, or restore an earlier snapshot"));
    }
    refuse_if_used(path)?;
    // Before the database, not after: SQLite would replay the old log into the new file.
    for sidecar in sidecars(path) {
        match std::fs::remove_file(&sidecar) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed(format!("cannot remove {}", sidecar.display())).caused_by(error));
            }
            _ => {}
        }
    }
    staged.publish(true)
}

/// Returns the first of the database and its log files that holds something.
fn first_with_content(path: &Path) -> Result<Option<PathBuf>> {
    for file in std::iter::once(path.to_owned()).chain(sidecars(path)) {
        match file.metadata() {
            Ok(meta) if meta.len() > 0 || !meta.is_file() => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(format!("cannot look at {}", file.display())).caused_by(error)),
        }
    }
    Ok(None)
}

/// Takes the database for ourselves for a moment, which fails while a program has it open in WAL mode, or is in the
/// middle of a transaction in any other. An idle connection in rollback mode cannot be seen. Whatever else is wrong with
/// the file is no obstacle: it is about to be replaced.
fn refuse_if_used(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let claim = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(Duration::ZERO)?;
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT")
    });
    match claim {
        Err(error) if is_busy(&error) => Err(failed(format!("{} is in use", path.display()))
            .caused_by(error)
            .hint("stop the application, then restore again")),
        _ => Ok(()),
    }
}
