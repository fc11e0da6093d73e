//! One database file, as it is found before a capture.

use super::describe::{self, ask_version};
use super::open::{self, HEADER, ReadTransaction, open_live, sidecars};
use crate::error::{Error, ErrorCode};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;
use crate::source::{Context, LOOK_WITHIN};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the user's query may take before the capture: in rollback mode writers wait for it.
const QUERY_WITHIN: Duration = Duration::from_secs(1);

/// A database file.
#[derive(Debug)]
pub(super) struct Database {
    /// As configured, but absolute.
    pub path: PathBuf,
}

impl Database {
    /// Returns the file itself: SQLite follows links, and names its log files after what they lead to.
    pub(super) fn real_path(&self) -> PathBuf {
        self.path.canonicalize().unwrap_or_else(|_| self.path.clone())
    }

    /// Returns every path that belongs to the database, whether it exists or not.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let real = self.real_path();
        let mut paths = vec![self.path.clone(), real.clone()];
        paths.extend(sidecars(&real));
        paths.dedup();
        paths
    }

    /// Looks at the file and tries to read it, and to ask it for the version of its schema with the user's `query`.
    /// Returns its size, and that of its log.
    ///
    /// # Errors
    /// Why it cannot be captured; a warning where that may pass.
    pub(super) fn preflight(&self, context: &Context, query: Option<&str>) -> Result<u64, Finding> {
        let size = self.check_file()?;
        let live = open_live(&self.real_path());
        let begun = live.and_then(|live| live.begin(&context.cancel, Duration::from_secs(1))).map_err(|error| {
            match open::cause(&error) {
                // It may be free again by the time of the capture, which waits longer.
                Some(cause) if open::is_busy(cause) => Finding::warning(FindingCode::PreflightFailed, error.chain()),
                _ => Finding::from_error(&error, FindingCode::PreflightFailed),
            }
        })?;
        if let Some(query) = query {
            self.try_query(begun, query, context)?;
        }
        let log: u64 =
            sidecars(&self.real_path()).iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum();
        Ok(size.saturating_add(log))
    }

    /// Asks the query of the live database, as the copy will be asked. The transaction ends with it: writers may be waiting.
    fn try_query(&self, mut begun: ReadTransaction, query: &str, context: &Context) -> Result<(), Finding> {
        let path = self.path.display();
        let limited = begun.limit(&context.cancel, QUERY_WITHIN);
        let asked = limited.and_then(|()| ask_version(begun.connection(), query));
        let Err(error) = asked else { return Ok(()) };
        if let Err(cancelled) = context.cancel.check() {
            return Err(Finding::from_error(&cancelled, FindingCode::PreflightFailed));
        }
        Err(match open::cause(&error) {
            Some(cause) if open::is_interruption(cause) => {
                let text = format!("{path}: schema_version_query took longer than {QUERY_WITHIN:?}");
                Finding::warning(FindingCode::PreflightFailed, text)
                    .hint("the copy will be asked without a limit; ask for something that is found faster")
            }
            _ => {
                let explained = Error::new(error.code(), path.to_string());
                let hints = error.hints().to_vec();
                let explained = hints.into_iter().fold(explained.caused_by(error), Error::hint);
                Finding::from_error(&explained, FindingCode::PreflightFailed)
            }
        })
    }

    /// Says what the database holds now, in one transaction; other connections may keep it busy for `busy_for`.
    ///
    /// # Errors
    /// `capture-failed`: it is not there, cannot be read, or takes longer than [`LOOK_WITHIN`]; the reason of a
    /// cancellation.
    pub(super) fn look(
        &self,
        context: &Context,
        busy_for: Duration,
        query: Option<&str>,
    ) -> crate::error::Result<Content> {
        let failed = |text: String| Error::new(ErrorCode::CaptureFailed, text);
        self.check_file().map_err(|finding| {
            let error = failed(finding.message);
            finding.hint.into_iter().fold(error, Error::hint)
        })?;
        let mut begun = open_live(&self.real_path())?.begin(&context.cancel, busy_for)?;
        begun.limit(&context.cancel, LOOK_WITHIN)?;
        let looked = describe::look(begun.connection(), query);
        // What was interrupted says so in SQLite's words.
        context.cancel.check()?;
        looked.map_err(|error| match open::cause(&error) {
            Some(cause) if open::is_interruption(cause) => failed(format!(
                "{} has so many rows that they were not counted within {LOOK_WITHIN:?}",
                self.path.display()
            )),
            _ => error.under_same_code(format!("cannot look at {}", self.path.display())),
        })
    }

    /// Looks at the file as such; returns its size.
    fn check_file(&self) -> Result<u64, Finding> {
        let path = self.path.display();
        let unreadable = |error: std::io::Error| {
            Finding::refusal(FindingCode::SourceUnreadable, format!("cannot read {path}: {error}"))
        };
        let meta = std::fs::metadata(&self.path).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => {
                Finding::refusal(FindingCode::PathMissing, format!("{path} does not exist"))
                    .hint("check `path`; a relative one counts from the directory of the configuration")
            }
            _ => unreadable(error),
        })?;
        let refusal = |text: String| Finding::refusal(FindingCode::PreflightFailed, text);
        if !meta.is_file() {
            return Err(refusal(format!("{path} is not a regular file")));
        }
        if meta.len() == 0 {
            return Err(refusal(format!("{path} is empty (0 bytes): there is no database in it"))
                .hint("check `path`; opening a wrong one makes an empty file"));
        }
        let mut header = [0; HEADER.len()];
        match File::open(&self.path).and_then(|mut file| file.read_exact(&mut header)) {
            Ok(()) if header == *HEADER => Ok(meta.len()),
            Ok(()) => Err(refusal(format!("{path} is not an SQLite database"))
                .hint("an encrypted database needs its own tool: use kind = \"command\"")),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(refusal(format!("{path} is not an SQLite database: it has only {} bytes", meta.len())))
            }
            Err(error) => Err(unreadable(error)),
        }
    }
}

/// Checks that a copy of this many bytes fits into the scratch directory.
pub(super) fn check_room(scratch: &Path, needed: u64, what: &str) -> Option<Finding> {
    let text = match rustix::fs::statvfs(scratch) {
        Ok(room) if room.f_bavail.saturating_mul(room.f_frsize) >= needed => return None,
        Ok(_) => format!("no room for a copy of {what} in {}: {needed} bytes needed", scratch.display()),
        Err(error) => format!("cannot tell the free space of {}: {error}", scratch.display()),
    };
    Some(Finding::refusal(FindingCode::PreflightFailed, text).hint("make room, or set TMPDIR to a larger place"))
}
