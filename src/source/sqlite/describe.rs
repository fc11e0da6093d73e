//! What a copy of a database holds: tables, rows, the version of its schema.

use super::open::{open_copy, watch};
use super::sqlite_error;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;
use crate::source::Inspection;
use crate::source::migrations::{Rows, SchemaVersion, is_migration_table, schema_version};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Statement};
use std::path::Path;

/// The most rows of a table of migrations that are looked at.
const MOST_MIGRATIONS: usize = 100_000;

/// Returns the facts of a copy that passed its check; `query` is the user's for the version of the schema: what it does
/// not tell is a refusal.
///
/// # Errors
/// `capture-failed`: the copy cannot be read; the reason of a cancellation.
pub(super) fn describe(path: &Path, query: Option<&str>, cancel: &Cancel) -> Result<Inspection> {
    let mut connection = open_copy(path)?;
    watch(&mut connection, cancel)?;
    let described = inspect(&connection, query);
    // What was interrupted says so in SQLite's words.
    cancel.check()?;
    described
}

/// Returns the same facts of a database that somebody uses, within its own transaction, but for those that only a copy
/// tells.
///
/// # Errors
/// `capture-failed`: the database cannot be read, or `query` gives no version.
pub(super) fn look(connection: &Connection, query: Option<&str>) -> Result<Content> {
    let tables = tables(connection).map_err(failed)?;
    let mut content = facts(connection, &tables)?;
    let version = match query {
        Some(query) => Some(ask_version(connection, query)?),
        None => migrated_version(connection, &tables)?,
    };
    if let Some(version) = version {
        version.add_to(&mut content);
    }
    Ok(content)
}

fn inspect(connection: &Connection, query: Option<&str>) -> Result<Inspection> {
    let tables = tables(connection).map_err(failed)?;
    let mut content = facts(connection, &tables)?;
    content.insert("integrity_check".to_owned(), "ok".into());
    let mut findings = Vec::new();
    match query.map(|query| ask_version(connection, query)) {
        Some(Ok(version)) => version.add_to(&mut content),
        Some(Err(error)) => findings.push(Finding::from_error(&error, FindingCode::ContentIncomplete)),
        None => {
            if let Some(version) = migrated_version(connection, &tables)? {
                version.add_to(&mut content);
            }
        }
    }
    Ok(Inspection { content, findings })
}

fn facts(connection: &Connection, tables: &[String]) -> Result<Content> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(failed);
    let mut rows = serde_json::Map::new();
    for table in tables {
        rows.insert(table.clone(), number(&format!("SELECT count(*) FROM {}", quoted(table)))?.into());
    }
    Ok(Content::from([
        ("page_size".to_owned(), number("PRAGMA page_size")?.into()),
        ("tables".to_owned(), tables.len().into()),
        ("rows".to_owned(), rows.into()),
        ("user_version".to_owned(), number("PRAGMA user_version")?.into()),
    ]))
}

/// Returns the names of the ordinary tables; the shadow tables of virtual ones are counted with the rest.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema
               WHERE type = 'table' AND name NOT GLOB 'sqlite_*' AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name";
    connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
}

/// Asks the user's query for the version of the schema.
///
/// # Errors
/// `capture-failed`, caused by what SQLite says if it says anything.
pub(super) fn ask_version(connection: &Connection, query: &str) -> Result<SchemaVersion> {
    match connection.prepare(query).and_then(|mut statement| first_value(&mut statement)) {
        Ok(Some(version)) => Ok(SchemaVersion::of_query(version)),
        Ok(None) => Err(Error::new(ErrorCode::CaptureFailed, "schema_version_query gives no value")
            .hint("it must give the version of the schema as the first value of its first row")),
        Err(error) => Err(sqlite_error("schema_version_query cannot be run".to_owned(), error)),
    }
}

/// Reads the version of the schema from the table of a migration tool.
fn migrated_version(connection: &Connection, tables: &[String]) -> Result<Option<SchemaVersion>> {
    for table in tables.iter().filter(|table| is_migration_table(table)) {
        let found = schema_version(table, &read(connection, table).map_err(failed)?);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn first_value(statement: &mut Statement<'_>) -> rusqlite::Result<Option<String>> {
    let mut rows = statement.query([])?;
    rows.next()?.map_or(Ok(None), |row| row.get_ref(0).map(text))
}

fn read(connection: &Connection, table: &str) -> rusqlite::Result<Rows> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {} LIMIT {MOST_MIGRATIONS}", quoted(table)))?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let count = columns.len();
    let rows = statement.query_map([], |row| (0..count).map(|place| row.get_ref(place).map(text)).collect())?;
    Ok(Rows { rows: rows.collect::<rusqlite::Result<_>>()?, columns })
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn failed(error: rusqlite::Error) -> Error {
    sqlite_error("cannot describe the database".to_owned(), error)
}
