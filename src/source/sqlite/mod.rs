//! `kind = "sqlite"`: an SQLite database, captured as a consistent copy of its file.

mod backup;
mod open;
mod restore;

use super::write::{absolute, failed, read_all};
use super::{Capture, Context, Facts, Inspection, Source, Stored, Target};
use crate::config::SqliteConfig;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Consistency;
use open::{HEADER, describe, integrity_problems, open_copy, open_live, sidecars};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How long other connections may keep the database busy before a capture gives up.
const BUSY_FOR: Duration = Duration::from_secs(30);

/// An SQLite database.
#[derive(Debug)]
pub(super) struct SqliteSource {
    /// As configured, but absolute.
    path: PathBuf,
    busy_for: Duration,
}

impl SqliteSource {
    /// Creates the source; a relative path counts from `directory`.
    pub(super) fn new(config: &SqliteConfig, directory: &Path) -> Self {
        Self { path: absolute(directory, &config.path), busy_for: BUSY_FOR }
    }

    /// Returns the file itself: SQLite follows links, and names its log files after what they lead to.
    fn real_path(&self) -> PathBuf {
        self.path.canonicalize().unwrap_or_else(|_| self.path.clone())
    }

    fn file_name(&self) -> PathBuf {
        self.path.file_name().map_or_else(|| PathBuf::from("database"), PathBuf::from)
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

    /// Checks that the copy fits into the scratch directory.
    fn check_room(&self, scratch: &Path, size: u64) -> Option<Finding> {
        let log =
            sidecars(&self.real_path()).iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum();
        let needed = size.saturating_add(log);
        let text = match rustix::fs::statvfs(scratch) {
            Ok(room) if room.f_bavail.saturating_mul(room.f_frsize) >= needed => return None,
            Ok(_) => {
                format!("no room for a copy of {} in {}: {needed} bytes needed", self.path.display(), scratch.display())
            }
            Err(error) => format!("cannot tell the free space of {}: {error}", scratch.display()),
        };
        Some(Finding::refusal(FindingCode::PreflightFailed, text).hint("make room, or set TMPDIR to a larger place"))
    }
}

impl Source for SqliteSource {
    fn facts(&self) -> Facts {
        Facts {
            identity: Some(self.path.display().to_string()),
            is_bound: false,
            tool_version: Some(format!("SQLite {}", rusqlite::version())),
            server_version: None,
            method: "online-backup",
            consistency: Consistency::Transaction,
            estimated_bytes: None,
        }
    }

    /// SQLite's locks are POSIX locks: closing any other descriptor of the file in this process drops them all
    /// (fcntl(2)), and a writer could then change the database under the copy. So nobody else may open it meanwhile.
    fn exclusive_paths(&self) -> Vec<PathBuf> {
        let real = self.real_path();
        let mut paths = vec![self.path.clone(), real.clone()];
        paths.extend(sidecars(&real));
        paths.dedup();
        paths
    }

    fn preflight(&self, context: &Context) -> Vec<Finding> {
        let size = match self.check_file() {
            Ok(size) => size,
            Err(finding) => return vec![finding],
        };
        let opened = open_live(&self.real_path())
            .and_then(|live| live.begin(&context.cancel, Duration::from_secs(1)))
            .err()
            .map(|error| match open::cause(&error) {
                // It may be free again by the time of the capture, which waits longer.
                Some(cause) if open::is_busy(cause) => Finding::warning(FindingCode::PreflightFailed, error.chain()),
                _ => Finding::from_error(&error, FindingCode::PreflightFailed),
            });
        opened.into_iter().chain(self.check_room(&context.scratch, size)).collect()
    }

    fn capture(&self, context: &Context) -> Result<Capture> {
        let copy = backup::capture(&self.real_path(), self.file_name(), context, self.busy_for)?;
        Ok(Capture::stream(copy))
    }

    fn inspects(&self) -> bool {
        true
    }

    fn inspect(&self, context: &Context, stored: &dyn Stored) -> Result<Inspection> {
        let mut stream = stored.open_only()?;
        let directory = scratch(context)?;
        let path = directory.path().join("read-back");
        let cannot = || format!("cannot write {}", path.display());
        let mut file = create_private(&path).io_context(cannot)?;
        read_all(&mut stream, &context.cancel, |data| file.write_all(data).io_context(cannot))?;
        drop(file);
        let problems = integrity_problems(&path, &context.cancel)?;
        if let Some(finding) = integrity_finding(&problems) {
            return Ok(Inspection { findings: vec![finding], ..Inspection::default() });
        }
        Ok(Inspection { content: describe(&open_copy(&path)?)?, findings: Vec::new() })
    }

    fn restore(&self, context: &Context, stored: &dyn Stored, target: &Target, force: bool) -> Result<()> {
        let path = match target {
            Target::Directory(directory) => directory.join(self.file_name()),
            Target::Origin => self.real_path(),
            Target::Url(_) => {
                return Err(failed("an SQLite database is a file, which no URL names".to_owned())
                    .hint("restore it into a directory with --target DIR"));
            }
        };
        restore::restore(&mut stored.open_only()?, &path, force, &context.cancel)
    }
}

fn integrity_finding(problems: &[String]) -> Option<Finding> {
    if problems.is_empty() {
        return None;
    }
    let text = format!("the integrity check of the copy that was read back failed: {}", problems.join("; "));
    Some(Finding::refusal(FindingCode::IntegrityFailed, text))
}

/// Makes a private directory that is removed with everything in it when dropped.
fn scratch(context: &Context) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("sqlite-")
        .tempdir_in(&context.scratch)
        .io_context(|| format!("cannot make a directory in {}", context.scratch.display()))
}

/// Creates a file that only this user may read.
fn create_private(path: &Path) -> std::io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

/// Says what was being done when SQLite failed.
fn sqlite_error(doing: String, error: rusqlite::Error) -> Error {
    Error::new(ErrorCode::CaptureFailed, doing).caused_by(error)
}

#[cfg(test)]
mod tests;
