//! `kind = "sqlite"`: SQLite databases, each captured as a consistent copy of its file.

mod backup;
mod database;
mod describe;
mod isolated;
mod names;
mod open;
mod restore;

use super::isolation::{Isolated, Isolation};
use super::write::{failed, read_all};
use super::{Capture, Context, Facts, Inspection, Source, Stored, StreamCapture, Target};
use crate::config::SqliteConfig;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{Consistency, Content};
use database::{Database, check_room};
use describe::describe;
use names::Files;
use open::integrity_problems;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// How long other connections may keep a database busy before a capture gives up.
const BUSY_FOR: Duration = Duration::from_secs(30);

/// One or several SQLite databases.
#[derive(Debug)]
pub(super) struct SqliteSource {
    files: Files,
    schema_version_query: Option<String>,
    busy_for: Duration,
}

impl SqliteSource {
    /// Creates the source; a relative path counts from `directory`.
    pub(super) fn new(config: &SqliteConfig, directory: &Path) -> Self {
        let files = Files::new(&config.path, directory);
        Self { files, schema_version_query: config.schema_version_query.clone(), busy_for: BUSY_FOR }
    }

    fn databases(&self) -> Result<Vec<Database>> {
        Ok(self.files.list()?.into_iter().map(|path| Database { path }).collect())
    }

    /// Looks at one stream that was read back: is it a sound database, and what is in it?
    fn inspect_one(&self, context: &Context, stored: &dyn Stored, name: &str) -> Result<Inspection> {
        let directory = scratch(context)?;
        let path = directory.path().join("read-back");
        let cannot = || format!("cannot write {}", path.display());
        let mut file = create_private(&path).io_context(cannot)?;
        read_all(&mut *stored.open(name)?, &context.cancel, |data| file.write_all(data).io_context(cannot))?;
        drop(file);
        let problems = integrity_problems(&path, &context.cancel)?;
        if let Some(finding) = integrity_finding(name, &problems) {
            return Ok(Inspection { findings: vec![finding], ..Inspection::default() });
        }
        describe(&path, self.schema_version_query.as_deref(), &context.cancel)
    }
}

impl Source for SqliteSource {
    fn facts(&self) -> Facts {
        Facts {
            identity: Some(self.files.shown()),
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
        self.databases().unwrap_or_default().iter().flat_map(Database::paths).collect()
    }

    fn preflight(&self, context: &Context) -> Vec<Finding> {
        let databases = match self.databases() {
            Ok(databases) => databases,
            Err(error) => {
                let is_setting = error.code() == ErrorCode::Config;
                let code = if is_setting { FindingCode::PreflightFailed } else { FindingCode::SourceUnreadable };
                return vec![Finding::from_error(&error, code)];
            }
        };
        if databases.is_empty() {
            let text = format!("no database matches {}", self.files.shown());
            return vec![Finding::refusal(FindingCode::PathMissing, text).hint("check the glob in `path`")];
        }
        let mut findings = Vec::new();
        let mut largest = 0;
        for database in databases {
            match database.preflight(context, self.schema_version_query.as_deref()) {
                Ok(size) => largest = largest.max(size),
                Err(finding) => findings.push(finding),
            }
        }
        // One copy is there at a time.
        findings.extend(check_room(&context.scratch, largest, &self.files.shown()));
        findings
    }

    fn capture(&self, context: &Context) -> Result<Capture> {
        let databases = self.databases()?;
        if databases.is_empty() {
            return Err(Error::new(ErrorCode::CaptureFailed, format!("no database matches {}", self.files.shown())));
        }
        let (context, busy_for) = (context.clone(), self.busy_for);
        let named: Vec<_> =
            databases.into_iter().map(|one| (self.files.stream_name(&one.path), one.real_path())).collect();
        let is_one = named.len() == 1;
        let streams = named.into_iter().map(move |(name, path)| {
            let mut copy = backup::capture(&path, name, &context, busy_for)?;
            if !is_one {
                copy.name_content();
            }
            Ok(Box::new(copy) as Box<dyn StreamCapture>)
        });
        Ok(Capture::Streams(Box::new(streams)))
    }

    fn inspects(&self) -> bool {
        true
    }

    fn inspect(&self, context: &Context, stored: &dyn Stored) -> Result<Inspection> {
        let mut all = Vec::new();
        let mut findings = Vec::new();
        for name in stored.names() {
            let inspection = self.inspect_one(context, stored, name)?;
            findings.extend(inspection.findings);
            all.push((name.clone(), inspection.content));
        }
        Ok(Inspection { content: content_of(&all), findings })
    }

    fn restore(&self, context: &Context, stored: &dyn Stored, target: &Target, force: bool) -> Result<()> {
        if let (Target::Origin, Files::One(path), [_, _, ..]) = (target, &self.files, stored.names()) {
            let count = stored.names().len();
            let text = format!("the snapshot holds {count} databases, and `path` names only {}", path.display());
            return Err(failed(text).hint("restore into a directory with --target DIR"));
        }
        let stage = |name: &String| {
            let path = match target {
                Target::Directory(directory) => directory.join(name),
                Target::Origin => Database { path: self.files.path_of(name)? }.real_path(),
                Target::Url(_) => {
                    return Err(failed("an SQLite database is a file, which no URL names".to_owned())
                        .hint("restore it into a directory with --target DIR"));
                }
            };
            restore::stage(&mut *stored.open(name)?, &path, force, &context.cancel)
        };
        // All of them before the first is replaced.
        let staged = stored.names().iter().map(stage).collect::<Result<Vec<_>>>()?;
        context.cancel.check()?;
        restore::replace(staged)
    }

    fn look(&self, context: &Context) -> Result<Option<Content>> {
        let databases = self.databases()?;
        if databases.is_empty() {
            return Err(Error::new(ErrorCode::CaptureFailed, format!("no database matches {}", self.files.shown())));
        }
        let look = |one: &Database| {
            let content = one.look(context, self.busy_for, self.schema_version_query.as_deref())?;
            Ok((self.files.stream_name(&one.path).display().to_string(), content))
        };
        let all = databases.iter().map(look).collect::<Result<Vec<_>>>()?;
        Ok(Some(content_of(&all)))
    }

    fn isolate(&self, _: &Context, isolation: &Isolation) -> Result<Box<dyn Isolated>> {
        Ok(Box::new(isolated::Files::new(isolation, self.schema_version_query.clone())?))
    }
}

/// Returns what several databases hold, each under its name; of a single one, what it holds.
fn content_of(all: &[(String, Content)]) -> Content {
    match all {
        [(_, content)] => content.clone(),
        several => summary(several),
    }
}

/// Sums up what several databases hold: their tables, with `DATABASE.TABLE` for each one's rows.
fn summary(all: &[(String, Content)]) -> Content {
    let tables: u64 = all.iter().filter_map(|(_, content)| content.get("tables")?.as_u64()).sum();
    let mut rows = serde_json::Map::new();
    for (name, content) in all {
        for (table, count) in content.get("rows").and_then(|rows| rows.as_object()).into_iter().flatten() {
            rows.insert(format!("{name}.{table}"), count.clone());
        }
    }
    let databases: serde_json::Map<_, _> = all
        .iter()
        .map(|(name, content)| {
            let facts = content.iter().filter(|(key, _)| *key != "rows");
            (
                name.clone(),
                facts.map(|(key, value)| (key.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into(),
            )
        })
        .collect();
    Content::from([
        ("databases".to_owned(), databases.into()),
        ("tables".to_owned(), tables.into()),
        ("rows".to_owned(), rows.into()),
    ])
}

fn integrity_finding(name: &str, problems: &[String]) -> Option<Finding> {
    if problems.is_empty() {
        return None;
    }
    let text = format!("the integrity check of {name} as it was read back failed: {}", problems.join("; "));
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
