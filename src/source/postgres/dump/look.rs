//! What a database holds now, in the words of a snapshot of it: what pg_dump would find, counted by the server.

use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Content;
use crate::source::migrations::{Rows, SchemaVersion, TOOLS, is_migration_table, schema_version};
use crate::source::postgres::connect::{Connection, identifier, literal};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many tables are counted by one statement.
const COUNTED: usize = 100;
/// The most rows of a table of migrations that are looked at.
const MOST_MIGRATIONS: usize = 100_000;
/// Ids below come with the server (`FirstNormalObjectId` in PostgreSQL's `transam.h`).
const FIRST_OWN: &str = "16384";

/// Tables whose rows pg_dump writes, and which of the rows: an extension may have some of its own tables dumped
/// (`pg_extension_config_dump`).
const TABLES: &str = "\
    SELECT n.nspname, c.relname, CASE WHEN e.oid IS NOT NULL THEN \
           nullif(e.extcondition[array_position(e.extconfig::oid[], c.oid)], '') END \
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
      LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid \
           AND d.objsubid = 0 AND d.deptype = 'e' AND d.refclassid = 'pg_catalog.pg_extension'::regclass \
      LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid \
     WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
       AND (e.oid IS NULL OR c.oid = ANY (coalesce(e.extconfig, '{}'))) \
       AND (c.relpersistence <> 'u' OR NOT pg_catalog.pg_is_in_recovery()) \
     ORDER BY 1, 2";

/// A table, and the condition of the rows that count, as it follows `FROM`.
#[derive(Debug)]
struct Table {
    schema: String,
    name: String,
    condition: Option<String>,
}

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(in crate::source::postgres) struct Wanted<'a> {
    /// The user's query for the version of the schema.
    pub query: Option<&'a str>,
    /// Whether roles are counted.
    pub roles: bool,
}

/// Looks at the database that the session is in. Each statement may take `within`; the server itself ends it then.
///
/// # Errors
/// `capture-failed`: the server refuses, or something takes longer; the reason of a cancellation.
pub(in crate::source::postgres) fn look(
    connection: &Connection,
    wanted: Wanted<'_>,
    within: Option<Duration>,
) -> Result<Content> {
    let doing = "look at the database";
    // Rows that are hidden are an error, not a difference. A lock that somebody holds is not waited for in vain.
    let limit = within.map_or(0, |within| within.as_millis());
    connection.rows(
        doing,
        &format!("SET default_transaction_read_only = on; SET row_security = off; SET statement_timeout = {limit}"),
    )?;
    let tables = tables(connection)?;
    let mut content = summary(connection, wanted.roles)?;
    let counts = count_all(connection, &tables)?;
    let rows = counts.into_iter().map(|((schema, name), count)| (format!("{schema}.{name}"), Value::from(count)));
    content.insert("rows".to_owned(), Value::Object(rows.collect()));
    let version = match wanted.query {
        Some(query) => Some(SchemaVersion::of_query(ask_version(connection, query)?)),
        None => migrated_version(connection, &tables)?,
    };
    if let Some(version) = version {
        version.add_to(&mut content);
    }
    Ok(content)
}

/// Asks the user's query for the version of the schema.
///
/// # Errors
/// `capture-failed`: the server refuses it, or it gives no value.
pub(super) fn ask_version(connection: &Connection, query: &str) -> Result<String> {
    connection.value("run schema_version_query", query)?.ok_or_else(|| {
        Error::new(ErrorCode::CaptureFailed, "schema_version_query gave no value")
            .hint("see that the query returns one row whose first value is the version")
    })
}

fn tables(connection: &Connection) -> Result<Vec<Table>> {
    let table = |row: Vec<Option<String>>| {
        let [schema, name, condition] = <[Option<String>; 3]>::try_from(row).ok()?;
        Some(Table { schema: schema?, name: name?, condition })
    };
    Ok(connection.rows("list the tables", TABLES)?.into_iter().filter_map(table).collect())
}

/// Counts the rows that pg_dump would write of each table: by schema and name.
///
/// # Errors
/// As [`look`].
pub(super) fn counts(connection: &Connection) -> Result<BTreeMap<(String, String), u64>> {
    // Rows that are hidden are an error, not a difference.
    connection.rows("count the rows", "SET row_security = off")?;
    count_all(connection, &tables(connection)?)
}

fn count_all(connection: &Connection, tables: &[Table]) -> Result<BTreeMap<(String, String), u64>> {
    let mut counts = BTreeMap::new();
    for some in tables.chunks(COUNTED) {
        let names = some.iter().map(|table| (table.schema.clone(), table.name.clone()));
        counts.extend(names.zip(count(connection, some)?));
    }
    Ok(counts)
}

/// Counts what there is of each kind, as the table of contents of an archive does.
fn summary(connection: &Connection, roles: bool) -> Result<Content> {
    let doing = "look at the database";
    let relations = |kinds: &str| {
        format!(
            "(SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE c.relkind IN ({kinds}) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
                      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))"
        )
    };
    let sql = format!(
        "SELECT {}, {}, (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata), \
                (SELECT pg_catalog.pg_encoding_to_char(encoding) FROM pg_catalog.pg_database \
                  WHERE datname = current_database()), \
                (SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname !~ '^pg_')",
        relations("'r', 'p', 'f'"),
        relations("'S'"),
    );
    let row = connection.rows(doing, &sql)?.into_iter().next().unwrap_or_default();
    let text = |at: usize| row.get(at).and_then(Option::as_deref);
    let number = |at: usize| text(at).and_then(|text| text.parse::<u64>().ok()).map_or(Value::Null, Value::from);
    let sql =
        format!("SELECT extname FROM pg_catalog.pg_extension WHERE oid >= {FIRST_OWN} ORDER BY extname COLLATE \"C\"");
    let extensions: Vec<String> = connection.rows(doing, &sql)?.into_iter().flatten().flatten().collect();
    let mut content = Content::from([
        ("tables".to_owned(), number(0)),
        ("sequences".to_owned(), number(1)),
        ("large_objects".to_owned(), number(2)),
        ("encoding".to_owned(), text(3).into()),
        ("extensions".to_owned(), extensions.into()),
    ]);
    if roles {
        content.insert("roles".to_owned(), number(4));
    }
    Ok(content)
}

/// Counts the rows of some tables, each without those of its partitions or children, as they are dumped.
fn count(connection: &Connection, tables: &[Table]) -> Result<Vec<u64>> {
    let of = |(at, table): (usize, &Table)| {
        let condition = table.condition.as_deref().unwrap_or_default();
        format!("SELECT {at}, count(*) FROM ONLY {}.{} {condition}", identifier(&table.schema), identifier(&table.name))
    };
    let sql = tables.iter().enumerate().map(of).collect::<Vec<_>>().join(" UNION ALL ") + " ORDER BY 1";
    let doing = "count the rows";
    let rows = connection.rows(doing, &sql)?;
    let counts: Option<Vec<u64>> = rows.into_iter().map(|row| row.into_iter().nth(1)??.parse().ok()).collect();
    counts.filter(|counts| counts.len() == tables.len()).ok_or_else(|| {
        Error::new(ErrorCode::CaptureFailed, format!("cannot {doing}: the answer has not one number for each table"))
    })
}

/// Reads the version of the schema from the tables of migration tools: of several, the one whose table tells most.
fn migrated_version(connection: &Connection, tables: &[Table]) -> Result<Option<SchemaVersion>> {
    let mut found: Option<SchemaVersion> = None;
    let place = |version: &SchemaVersion| TOOLS.iter().position(|tool| tool.name == version.tool);
    for table in tables.iter().filter(|table| is_migration_table(&table.name)) {
        let version = schema_version(&table.name, &read(connection, table)?);
        if let Some(version) = version
            && found.as_ref().is_none_or(|known| place(&version) < place(known))
        {
            found = Some(version);
        }
    }
    Ok(found)
}

fn read(connection: &Connection, table: &Table) -> Result<Rows> {
    let doing = "read the table of migrations";
    let name = format!("{}.{}", identifier(&table.schema), identifier(&table.name));
    let sql = format!(
        "SELECT attname FROM pg_catalog.pg_attribute \
          WHERE attrelid = {}::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        literal(&name)
    );
    let columns = connection.rows(doing, &sql)?.into_iter().flatten().flatten().collect();
    let rows = connection.rows(doing, &format!("SELECT * FROM ONLY {name} LIMIT {MOST_MIGRATIONS}"))?;
    Ok(Rows { columns, rows })
}
