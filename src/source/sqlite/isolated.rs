//! A place for a drill: the databases as files in a private directory.

use super::content_of;
use super::database::Database;
use super::describe::describe;
use super::open::{sidecars, watch};
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Content;
use crate::source::isolation::{Isolated, Isolation};
use crate::source::write::failed;
use crate::source::{Context, Target};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a check's own program may hold a database before a question gives up.
const BUSY_FOR: Duration = Duration::from_secs(30);

/// Restored databases.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    query: Option<String>,
}

impl Files {
    /// Takes a private directory; `query` is the user's for the version of the schema.
    ///
    /// # Errors
    /// `usage`: a server is named, and SQLite has none.
    pub(super) fn new(isolation: &Isolation, query: Option<String>) -> Result<Self> {
        if isolation.server.is_some() {
            return Err(Error::new(ErrorCode::Usage, "an SQLite database is a file, which no server holds")
                .hint("leave out `drill_server` in this source"));
        }
        Ok(Self { directory: isolation.directory.clone(), query })
    }

    /// Returns the databases by their names, sorted.
    fn databases(&self) -> Result<Vec<(String, PathBuf)>> {
        let cannot = |error| failed(format!("cannot list {}", self.directory.display())).caused_by(error);
        let mut found = Vec::new();
        for entry in self.directory.read_dir().map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
        // What SQLite keeps beside a database is none.
        let beside: Vec<_> = found.iter().flat_map(|(_, path)| sidecars(path)).collect();
        found.retain(|(_, path)| !beside.contains(path));
        found.sort();
        Ok(found)
    }

    /// Returns the only database.
    fn only(&self) -> Result<PathBuf> {
        match self.databases()?.as_slice() {
            [(_, path)] => Ok(path.clone()),
            [] => Err(failed(format!("there is no database in {}", self.directory.display()))),
            several => {
                let text = format!("the source has {} databases, and a question is for one", several.len());
                Err(Error::new(ErrorCode::Usage, text).hint("use `command` in this check"))
            }
        }
    }
}

impl Isolated for Files {
    fn target(&self) -> Target {
        Target::Directory(self.directory.clone())
    }

    fn description(&self) -> String {
        "files in a private directory".to_owned()
    }

    fn identity(&self) -> Option<String> {
        Some(self.directory.display().to_string())
    }

    fn variables(&self) -> Vec<(String, String)> {
        let directory = self.directory.display().to_string();
        let mut variables = vec![("HOLDPOINT_DRILL_DIRECTORY".to_owned(), directory)];
        if let Ok(only) = self.only() {
            variables.push(("HOLDPOINT_DRILL_URL".to_owned(), format!("sqlite://{}", only.display())));
        }
        variables
    }

    fn look(&self, context: &Context) -> Result<Content> {
        let cannot = |error: Error| match error.is_cancelled() {
            true => error,
            false => error.under(ErrorCode::RestoreFailed, "the restored database cannot be read"),
        };
        let look = |(name, path): &(String, PathBuf)| {
            // A check may have written to it: what is in its log counts, which a look at the file alone would miss.
            let has_log = sidecars(path).iter().any(|sidecar| sidecar.exists());
            let content =
                match has_log {
                    true => Database { path: path.clone() }.look(context, BUSY_FOR, self.query.as_deref()),
                    false => describe(path, self.query.as_deref(), &context.cancel).and_then(|inspection| {
                        match inspection.findings.into_iter().next() {
                            Some(finding) => Err(failed(finding.message)),
                            None => Ok(inspection.content),
                        }
                    }),
                };
            Ok((name.clone(), content.map_err(cannot)?))
        };
        let all = self.databases()?.iter().map(look).collect::<Result<Vec<_>>>()?;
        if all.is_empty() {
            return Err(failed(format!("there is no database in {}", self.directory.display())));
        }
        Ok(content_of(&all))
    }

    fn ask(&self, context: &Context, question: &str) -> Result<String> {
        let path = self.only()?;
        let asked = ask(&path, question, context);
        // What was interrupted says so in SQLite's words.
        context.cancel.check()?;
        asked
    }

    fn remove(self: Box<Self>, _: &Context) -> Result<()> {
        let cannot = |error| failed(format!("cannot remove what is in {}", self.directory.display())).caused_by(error);
        for entry in self.directory.read_dir().map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            // A check may have made directories.
            match entry.file_type().map_err(cannot)?.is_dir() {
                true => std::fs::remove_dir_all(entry.path()),
                false => std::fs::remove_file(entry.path()),
            }
            .map_err(cannot)?;
        }
        Ok(())
    }
}

/// Runs statements; the rows of the last that has any are the answer.
fn ask(path: &Path, question: &str, context: &Context) -> Result<String> {
    let refused = |error: rusqlite::Error| failed(format!("the question cannot be answered: {error}"));
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(refused)?;
    connection.busy_timeout(BUSY_FOR).map_err(refused)?;
    watch(&mut connection, &context.cancel)?;
    let mut answer = Vec::new();
    let mut batch = rusqlite::Batch::new(&connection, question);
    while let Some(mut statement) = batch.next().map_err(refused)? {
        let count = statement.column_count();
        if count > 0 {
            answer.clear();
        }
        let mut rows = statement.query([]).map_err(refused)?;
        while let Some(row) = rows.next().map_err(refused)? {
            let fields = (0..count).map(|place| row.get_ref(place).map(text)).collect::<rusqlite::Result<Vec<_>>>();
            answer.push(fields.map_err(refused)?.join("|"));
        }
    }
    Ok(answer.join("\n"))
}

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) | ValueRef::Blob(text) => String::from_utf8_lossy(text).into_owned(),
    }
}
