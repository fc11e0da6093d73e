//! What databases hold now, in the words of a snapshot of them: counted by the server.

use super::catalog::{self, Catalog, Database, Name};
use super::inspect::shown;
use super::server::{Server, literal, name};
use super::sessions::{Began, Work};
use super::{INCOMPLETE, MysqlSource, dump};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Content;
use crate::source::migrations::{Rows, SchemaVersion, is_migration_table, schema_version};
use crate::source::{Context, LOOK_WITHIN};
use std::sync::Arc;
use std::time::Duration;

/// How many tables are counted by one statement.
const COUNTED: usize = 200;
/// The most rows of a table of migrations that are looked at.
const MOST_MIGRATIONS: usize = 100_000;

/// Looks at the databases of the source.
///
/// # Errors
/// `process-failed`: the server cannot be asked; `capture-failed`: what is there is not whole, or counting takes too long;
/// the reason of a cancellation.
pub(super) fn look(source: &MysqlSource, context: &Context) -> Result<Content> {
    let server = Arc::new(source.server(None, context)?);
    server.check_tls(&context.cancel)?;
    let began = Began::new(&server, Work::Look, &context.cancel)?;
    let looked = look_at_origin(source, &server, context);
    if looked.is_err() {
        // What is being counted would go on. That the server does not say so is less than why it was asked.
        let _ = began.end();
    }
    looked
}

fn look_at_origin(source: &MysqlSource, server: &Server, context: &Context) -> Result<Content> {
    let databases = catalog::databases(server, &context.cancel)?;
    if databases.is_empty() {
        let text = match &server.address.database {
            Some(name) => format!("there is no database {name} at {}", server.shown()),
            None => format!("there is no database at {} but the server's own", server.shown()),
        };
        return Err(Error::new(ErrorCode::CaptureFailed, text));
    }
    let version = dump::schema_version(source, server, context)?;
    let names_databases = server.address.database.is_none();
    look_at(server, &databases, names_databases, version, LOOK_WITHIN, &context.cancel)
}

/// Looks at some databases; with `names_databases`, tables are named with theirs. `version` is what the user's own query
/// gave. Each statement may take `within`.
///
/// # Errors
/// As [`look`].
pub(super) fn look_at(
    server: &Server,
    databases: &[Database],
    names_databases: bool,
    version: Option<String>,
    within: Duration,
    cancel: &Cancel,
) -> Result<Content> {
    let there = Catalog::read(server, databases, cancel)?;
    if let Some((database, _)) = there.tables.iter().find(|(_, table)| table == INCOMPLETE) {
        let text = format!("a restore into {database} did not come to its end: what is there is not whole");
        return Err(Error::new(ErrorCode::CaptureFailed, text).hint("run the restore again with --force"));
    }
    let tables: Vec<&Name> = there.tables.iter().collect();
    let mut rows = serde_json::Map::new();
    for some in tables.chunks(COUNTED) {
        for (table, count) in some.iter().zip(count(server, some, within, cancel)?) {
            rows.insert(shown(&named(table, names_databases)), count.into());
        }
    }
    let mut content = Content::from([
        ("tables".to_owned(), there.tables.len().into()),
        ("rows".to_owned(), rows.into()),
        ("views".to_owned(), there.views.len().into()),
        ("triggers".to_owned(), there.triggers.into()),
        ("routines".to_owned(), there.routines.into()),
        ("events".to_owned(), there.events.into()),
    ]);
    if !there.sequences.is_empty() {
        content.insert("sequences".to_owned(), there.sequences.len().into());
    }
    let version = match version {
        Some(version) => Some(SchemaVersion::of_query(version)),
        None => migrated_version(server, &tables, within, cancel)?,
    };
    if let Some(version) = version {
        version.add_to(&mut content);
    }
    Ok(content)
}

fn named((database, table): &Name, names_databases: bool) -> Name {
    (if names_databases { database.clone() } else { String::new() }, table.clone())
}

fn count(server: &Server, tables: &[&Name], within: Duration, cancel: &Cancel) -> Result<Vec<u64>> {
    let of = |(at, (database, table)): (usize, &&Name)| {
        format!("SELECT {at} AS place, COUNT(*) FROM {}.{}", name(database), name(table))
    };
    let sql = tables.iter().enumerate().map(of).collect::<Vec<_>>().join(" UNION ALL ") + " ORDER BY place";
    let rows = server.ask_in(None, &sql, within, cancel)?;
    let counts: Option<Vec<u64>> = rows.into_iter().map(|row| row.get(1)?.parse().ok()).collect();
    counts.filter(|counts| counts.len() == tables.len()).ok_or_else(|| {
        Error::new(ErrorCode::ProcessFailed, format!("{} did not count the rows of every table", server.shown()))
    })
}

/// Reads the version of the schema from the first table of a migration tool that has one.
fn migrated_version(
    server: &Server,
    tables: &[&Name],
    within: Duration,
    cancel: &Cancel,
) -> Result<Option<SchemaVersion>> {
    for (database, table) in tables.iter().filter(|(_, table)| is_migration_table(table)) {
        let sql = format!(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = {} AND table_name = {} \
             ORDER BY ordinal_position",
            literal(database),
            literal(table)
        );
        let columns: Vec<String> = server.ask_in(None, &sql, within, cancel)?.into_iter().flatten().collect();
        let sql = format!("SELECT * FROM {}.{} LIMIT {MOST_MIGRATIONS}", name(database), name(table));
        let value = |value: String| (value != "NULL").then_some(value);
        let rows = server.ask_in(None, &sql, within, cancel)?;
        let rows = rows.into_iter().map(|row| row.into_iter().map(value).collect()).collect();
        if let Some(version) = schema_version(table, &Rows { columns, rows }) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}
