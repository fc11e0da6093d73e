//! The head of an archive and its table of contents.
//!
//! The format is that of `ReadHead` and `ReadToc` in PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`, versions 1.12
//! (PostgreSQL 9.0) to 1.16 (PostgreSQL 17 and 18); the custom and the directory format share it.

use super::input::{Failure, Input, wrong};
use super::roles;
use crate::source::migrations::is_migration_table;
use std::collections::{BTreeMap, BTreeSet};

const MAGIC: &[u8] = b"PGDMP";
/// `K_VERS_1_12` and `K_VERS_MAX`: major and minor number.
const VERSIONS: std::ops::RangeInclusive<(u8, u8)> = (1, 12)..=(1, 16);
/// A method instead of a level of compression.
const WITH_COMPRESSION_METHOD: (u8, u8) = (1, 15);
/// The access method of a table.
const WITH_ACCESS_METHOD: (u8, u8) = (1, 14);
/// The kind of a relation, and large objects in several entries.
const WITH_RELATION_KIND: (u8, u8) = (1, 16);

/// Which of pg_dump's formats an archive has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source::postgres) enum Format {
    /// One file that holds everything.
    Custom,
    /// A file for each table, and `toc.dat`.
    Directory,
}

/// What an archive says it holds.
#[derive(Debug, Default)]
pub(in crate::source::postgres) struct Toc {
    /// The version of the format, such as `1.14`.
    pub format_version: String,
    /// The version of the server that was dumped.
    pub server_version: String,
    /// The version of the pg_dump that wrote it.
    pub tool_version: String,
    /// How many tables it has, with those that have no rows of their own.
    pub tables: u64,
    pub sequences: u64,
    /// The names of extensions.
    pub extensions: BTreeSet<String>,
    /// The roles that own something.
    pub owners: BTreeSet<String>,
    /// The roles that privileges and policies name.
    pub named_roles: BTreeSet<String>,
    /// The encoding of its texts, such as `UTF8`.
    pub encoding: Option<String>,
    /// What follows the name in the statement that creates its database.
    pub database_options: Option<String>,
    /// The entries whose data is elsewhere in the archive, by their number.
    pub data: BTreeMap<i64, Data>,
}

/// An entry that has data.
#[derive(Debug)]
pub(in crate::source::postgres) struct Data {
    pub kind: DataKind,
    /// The file that holds it, in the directory format.
    pub file: Option<String>,
}

/// What data an entry has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::source::postgres) enum DataKind {
    /// Rows of a table as COPY writes them.
    Table {
        schema: String,
        name: String,
        /// The columns, if the rows tell the version of the application's schema.
        columns: Option<Vec<String>>,
    },
    /// Large objects.
    LargeObjects,
    /// Something else.
    Other,
}

/// Reads the head and the table of contents.
pub(super) fn read(input: &mut Input<'_>, format: Format) -> Result<Toc, Failure> {
    let mut toc = Toc::default();
    let version = read_head(input, format, &mut toc)?;
    let offset_size = version.1;
    let count = input.int()?;
    let mut without_data = BTreeSet::new();
    for _ in 0..count {
        read_entry(input, version.0, format, offset_size, &mut toc, &mut without_data)?;
    }
    for data in toc.data.values() {
        if let DataKind::Table { schema, name, .. } = &data.kind {
            without_data.remove(&(schema.clone(), name.clone()));
        }
    }
    match without_data.first() {
        None => Ok(toc),
        Some((schema, name)) => {
            let more = if without_data.len() > 1 {
                format!(" and {} more tables", without_data.len() - 1)
            } else {
                String::new()
            };
            wrong(format!("it has the definition of {schema}.{name}{more}, and not the rows"))
        }
    }
}

/// Returns the version of the format, and the size of an offset in bytes.
fn read_head(input: &mut Input<'_>, format: Format, toc: &mut Toc) -> Result<((u8, u8), u64), Failure> {
    for &expected in MAGIC {
        if input.next_byte()? != Some(expected) {
            return wrong(format!("byte {} is not that of an archive of pg_dump", input.position()));
        }
    }
    let version = (input.byte()?, input.byte()?);
    let _revision = input.byte()?;
    toc.format_version = format!("{}.{}", version.0, version.1);
    if !VERSIONS.contains(&version) {
        return wrong(format!("it has version {} of pg_dump's format, which is not known", toc.format_version));
    }
    input.int_size = input.byte()?.into();
    if !(1..=8).contains(&input.int_size) {
        return wrong(format!("its integers have {} bytes", input.int_size));
    }
    let offset_size = input.byte()?;
    // `ArchiveFormat`: 1 is custom; a directory's table of contents says that it is that of a tar file, 3.
    let (found, expected) = (input.byte()?, if format == Format::Custom { 1 } else { 3 });
    if found != expected {
        return wrong(format!("it says that its format is {found}, not {expected}"));
    }
    let is_compressed = if version >= WITH_COMPRESSION_METHOD { input.byte()? != 0 } else { input.int()? != 0 };
    if is_compressed {
        return wrong("it is compressed, which was not asked for");
    }
    // When it was made, in seven numbers of C's `struct tm`.
    for _ in 0..7 {
        input.int()?;
    }
    input.skip_text()?;
    toc.server_version = input.text()?.unwrap_or_default();
    toc.tool_version = input.text()?.unwrap_or_default();
    Ok((version, offset_size.into()))
}

fn read_entry(
    input: &mut Input<'_>,
    version: (u8, u8),
    format: Format,
    offset_size: u64,
    toc: &mut Toc,
    without_data: &mut BTreeSet<(String, String)>,
) -> Result<(), Failure> {
    let number = input.int()?;
    let has_data = input.int()? != 0;
    input.skip_text()?;
    input.skip_text()?;
    let name = input.text()?.unwrap_or_default();
    let kind = input.text()?.unwrap_or_default();
    let _section = input.int()?;
    let definition = match kind.as_str() {
        "ENCODING" | "DATABASE" | "TABLE" | "ACL" | "DEFAULT ACL" | "POLICY" => input.text()?.unwrap_or_default(),
        _ => {
            input.skip_text()?;
            String::new()
        }
    };
    input.skip_text()?;
    let copy = if has_data && is_migration_table(&name) {
        input.text()?
    } else {
        input.skip_text()?;
        None
    };
    let schema = input.text()?.unwrap_or_default();
    input.skip_text()?;
    if version >= WITH_ACCESS_METHOD {
        input.skip_text()?;
    }
    if version >= WITH_RELATION_KIND {
        input.int()?;
    }
    let owner = input.text()?.unwrap_or_default();
    if input.text()?.as_deref() == Some("true") {
        return wrong(format!("{schema}.{name} has OIDs, which no supported server has"));
    }
    // The numbers of what it depends on, as texts, until one is not there.
    while let Some(length) = input.length()? {
        input.skip(length)?;
    }
    let file = match format {
        Format::Directory => input.text()?.filter(|file| !file.is_empty()),
        Format::Custom => {
            // Where its data is, which is not known in a stream.
            input.skip(1 + offset_size)?;
            None
        }
    };
    match kind.as_str() {
        "TABLE" => {
            toc.tables += 1;
            // A partitioned table has no rows of its own; a standby cannot read those of an unlogged one.
            if !definition.contains("\nPARTITION BY ") && !definition.starts_with("CREATE UNLOGGED") {
                without_data.insert((schema.clone(), name.clone()));
            }
        }
        "FOREIGN TABLE" => toc.tables += 1,
        "SEQUENCE" => toc.sequences += 1,
        "EXTENSION" => drop(toc.extensions.insert(name.clone())),
        "ENCODING" => toc.encoding = definition.split('\'').nth(1).map(str::to_owned),
        "DATABASE" => toc.database_options = database_options(&definition),
        "ACL" | "DEFAULT ACL" | "POLICY" => roles::named_in(&definition, &mut toc.named_roles),
        _ => {}
    }
    // The database's own owner is not restored.
    if !owner.is_empty() && !kind.starts_with("DATABASE") {
        toc.owners.insert(owner);
    }
    if has_data {
        let kind = match kind.as_str() {
            "TABLE DATA" => DataKind::Table { schema, name, columns: copy.as_deref().map(copied_columns) },
            "BLOBS" => DataKind::LargeObjects,
            _ => DataKind::Other,
        };
        toc.data.insert(number, Data { kind, file });
    }
    Ok(())
}

/// Returns what follows the name in `CREATE DATABASE name WITH …;`.
fn database_options(definition: &str) -> Option<String> {
    let rest = definition.strip_prefix("CREATE DATABASE ")?;
    let mut quoted = false;
    let end = rest.char_indices().find(|(_, character)| {
        quoted ^= *character == '"';
        *character == ' ' && !quoted
    })?;
    Some(rest.get(end.0..)?.trim().trim_end_matches(';').to_owned())
}

/// Returns the columns in `COPY schema.table (a, "b c") FROM stdin;`.
fn copied_columns(statement: &str) -> Vec<String> {
    let list = statement.split_once(" (").map_or("", |(_, rest)| rest);
    let mut columns = Vec::new();
    let mut column = String::new();
    let mut quoted = false;
    let mut characters = list.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => column.extend(characters.next()),
            '"' => quoted = !quoted,
            ',' | ')' if !quoted => {
                columns.push(std::mem::take(&mut column));
                if character == ')' {
                    break;
                }
            }
            ' ' if !quoted => {}
            other => column.push(other),
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_taken_apart() {
        assert_eq!(copied_columns("COPY public.t (a, \"b c\", \"d\"\"e,\") FROM stdin;\n"), ["a", "b c", "d\"e,"]);
        let options = database_options("CREATE DATABASE \"my \"\"shop\" WITH TEMPLATE = template0 LOCALE = 'C';\n");
        assert_eq!(options.as_deref(), Some("WITH TEMPLATE = template0 LOCALE = 'C'"));
    }
}
