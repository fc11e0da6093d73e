//! The copy of a live database.
//!
//! SQLite's online backup copies page by page and starts over when another connection commits in between, so that a busy
//! writer could keep it from ever ending. Here one read transaction is held on the source from before the first page to
//! after the last, which fixes what is read:
//!
//! - In WAL mode the transaction is a snapshot. Writers go on and append to the log; only its truncation has to wait.
//! - With a rollback journal the transaction is a shared lock. Writers wait for it at their commit (a few seconds per
//!   gigabyte), so nothing changes.
//!
//! Either way the copy is the database at one commit, and the number of steps is known at the start. `VACUUM INTO` is as
//! consistent, but rewrites every page, so that the next snapshot would share nothing with this one, and it can
//! change rowids.

use super::open::{ReadTransaction, cause, foreign_key_violations, integrity_problems, is_damage, open_live};
use super::{create_private, scratch, sqlite_error};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::model::manifest::Content;
use crate::source::{Context, StreamCapture};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How many pages are copied between two looks at the cancellation: 4 MiB of the usual size.
const PAGES_PER_STEP: i32 = 1024;

/// A finished, checked copy that is being read.
#[derive(Debug)]
pub(super) struct CopyStream {
    file: File,
    file_name: PathBuf,
    content: Content,
    bytes_left: u64,
    cancel: Cancel,
    /// Removed with the copy when dropped.
    _directory: TempDir,
}

/// Copies the database at `path` into a private file in the scratch directory and checks the copy. `busy_for` is how
/// long to wait for a writer to let readers in.
///
/// # Errors
/// `capture-failed`: another connection holds the database for too long, or it cannot be read, or it is damaged. The
/// reason of a cancellation. The copy is removed in every case.
pub(super) fn capture(path: &Path, file_name: PathBuf, context: &Context, busy_for: Duration) -> Result<CopyStream> {
    let cancel = &context.cancel;
    let directory = scratch(context)?;
    let copy = directory.path().join("copy");
    create_private(&copy).io_context(|| format!("cannot write {}", copy.display()))?;

    let source = open_live(path)?.begin(cancel, busy_for).map_err(|error| explain_damage(path, error))?;
    copy_pages(&source, &copy, cancel).map_err(|error| explain_damage(path, error))?;
    let schema_cookie = source.schema_version;
    // Writers may go on while the copy is checked.
    drop(source);

    let problems = integrity_problems(&copy, cancel)?;
    if !problems.is_empty() {
        return Err(damaged(path).caused_by(problems.join("; ")));
    }
    let mut content = Content::new();
    content.insert("foreign_key_violations".to_owned(), foreign_key_violations(&copy, cancel)?);
    content.insert("schema_cookie".to_owned(), schema_cookie.into());
    content.insert("journal_mode".to_owned(), journal_mode(&copy)?.into());
    let cannot = || format!("cannot read {}", copy.display());
    let file = File::open(&copy).io_context(cannot)?;
    let bytes_left = file.metadata().io_context(cannot)?.len();
    Ok(CopyStream { file, file_name, content, bytes_left, cancel: cancel.clone(), _directory: directory })
}

fn copy_pages(source: &ReadTransaction, copy: &Path, cancel: &Cancel) -> Result<()> {
    let failed = |error| sqlite_error("cannot copy the database".to_owned(), error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(copy, flags).map_err(failed)?;
    // A copy that is not finished is removed, so that it needs neither journal nor sync.
    target.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF").map_err(failed)?;
    let backup = Backup::new(source.connection(), &mut target).map_err(failed)?;
    loop {
        cancel.check()?;
        match backup.step(PAGES_PER_STEP).map_err(failed)? {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // The transaction holds all that the copy needs: whoever is in the way now has broken in.
            other => {
                let text = format!("the copy of the database was disturbed ({other:?})");
                return Err(Error::new(ErrorCode::CaptureFailed, text));
            }
        }
    }
}

/// Returns how the database keeps its log, which is part of the file (bytes 18 and 19 of the header).
fn journal_mode(copy: &Path) -> Result<&'static str> {
    let mut header = [0; 20];
    File::open(copy)
        .and_then(|mut file| file.read_exact(&mut header))
        .io_context(|| format!("cannot read {}", copy.display()))?;
    Ok(if header.ends_with(&[2, 2]) { "wal" } else { "rollback" })
}

fn damaged(path: &Path) -> Error {
    Error::new(ErrorCode::CaptureFailed, format!("{} is damaged", path.display()))
        .hint("repair it (sqlite3 FILE .recover) or restore it from an earlier snapshot, before anything is deployed")
}

/// Says of an error that SQLite lays to the database's charge that the database is damaged.
fn explain_damage(path: &Path, error: Error) -> Error {
    if cause(&error).is_some_and(is_damage) { damaged(path).caused_by(error) } else { error }
}

impl CopyStream {
    /// Puts what is known of the copy under its name, for one of several.
    pub(super) fn name_content(&mut self) {
        let facts: serde_json::Map<_, _> = std::mem::take(&mut self.content).into_iter().collect();
        self.content.insert(format!("copy of {}", self.file_name.display()), facts.into());
    }
}

impl Read for CopyStream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.cancel.check().map_err(std::io::Error::other)?;
        let count = self.file.read(buffer)?;
        self.bytes_left = self.bytes_left.saturating_sub(count as u64);
        Ok(count)
    }
}

impl StreamCapture for CopyStream {
    fn file_name(&self) -> &Path {
        &self.file_name
    }

    fn finish(self: Box<Self>) -> Result<Content> {
        if self.bytes_left > 0 {
            let text = format!("the copy of the database ended {} bytes early", self.bytes_left);
            return Err(Error::new(ErrorCode::CaptureFailed, text));
        }
        Ok(self.content)
    }
}
