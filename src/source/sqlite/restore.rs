//! Databases put back in place of whatever is there.

use super::open::{integrity_problems, is_busy, is_damage, sidecars};
use crate::cancel::Cancel;
use crate::error::Result;
use crate::source::write::{Prepared, Staged, failed};
use rusqlite::{Connection, OpenFlags};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Writes the stream beside `path` and checks it as a database. Only with `force` may it replace one that is there.
///
/// # Errors
/// `restore-failed`: something is in the way, or the stream is not a sound database; the reason of a cancellation.
pub(super) fn stage(stream: &mut dyn Read, path: &Path, force: bool, cancel: &Cancel) -> Result<Prepared> {
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
    staged.prepare(true)
}

/// Puts databases in place, each in one step, unless somebody uses one of those that they replace.
///
/// # Errors
/// `restore-failed`: one is in use, and all are as they were; one cannot be put in place, and a hint names those that
/// were replaced before it.
pub(super) fn replace(databases: Vec<Prepared>) -> Result<()> {
    for database in &databases {
        refuse_if_used(database.path())?;
    }
    let mut replaced: Vec<String> = Vec::new();
    for database in databases {
        let name = database.path().display().to_string();
        put_in_place(database).map_err(|error| match replaced.as_slice() {
            [] => error,
            before => error.hint(format!("replaced already: {}; the others are as they were", before.join(", "))),
        })?;
        replaced.push(name);
    }
    Ok(())
}

fn put_in_place(database: Prepared) -> Result<()> {
    // Before the database, not after: SQLite would replay the old log into the new file.
    for sidecar in sidecars(database.path()) {
        match std::fs::remove_file(&sidecar) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(failed(format!("cannot remove {}", sidecar.display())).caused_by(error));
            }
            _ => {}
        }
    }
    database.persist()
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
/// middle of a transaction in any other. An idle connection in rollback mode cannot be seen. What is damaged, or is no
/// database, is no obstacle: it is about to be replaced. Whatever else fails leaves open whether somebody uses it.
fn refuse_if_used(path: &Path) -> Result<()> {
    let exists = path.try_exists();
    if !exists.map_err(|error| failed(format!("cannot look at {}", path.display())).caused_by(error))? {
        return Ok(());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let claim = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.busy_timeout(Duration::ZERO)?;
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT")
    });
    match claim {
        Ok(()) => Ok(()),
        Err(error) if is_damage(&error) => Ok(()),
        Err(error) if is_busy(&error) => Err(failed(format!("{} is in use", path.display()))
            .caused_by(error)
            .hint("stop the application, then restore again")),
        Err(error) => Err(failed(format!("cannot tell whether {} is in use", path.display()))
            .caused_by(error)
            .hint("restore as the user who may write it; or, if nobody uses it, remove it and its -wal file first")),
    }
}
