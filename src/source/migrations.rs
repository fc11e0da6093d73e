//! The version of an application's schema, as its migration tool keeps it in a table of the database.
//!
//! One list of tools; the rows come from wherever the bytes of a snapshot hold them: a dump, or a copy of the database.

use crate::model::manifest::Content;
use std::cmp::Ordering;

/// A tool, and how the version is read from its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tool {
    /// Its name.
    pub name: &'static str,
    /// Its table, in whatever schema; compared without regard to case.
    pub table: &'static str,
    /// The column with the version.
    version: &'static str,
    /// What the newest row is found by; the version itself if empty.
    order: &'static str,
    /// A column that is empty, NULL or one of the false values in rows that do not count: `(column, values that count)`.
    only: Option<(&'static str, Counts)>,
    /// Which rows make the version.
    take: Take,
}

/// Which values of a column let a row count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// True: `t`, `true`, `1`.
    True,
    /// Not NULL.
    Set,
    /// NULL.
    Unset,
    /// True, where the tool writes a row for each step down, too.
    Applied,
}

/// Which rows make the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Take {
    /// The one that comes last in the order of a column.
    Last,
    /// All of them, sorted: a schema may have several heads.
    All,
}

const fn last(name: &'static str, table: &'static str, version: &'static str, order: &'static str) -> Tool {
    Tool { name, table, version, order, only: None, take: Take::Last }
}

/// Every tool that is known, most telling table first.
///
/// The tables are documented by the tools: Flyway (schema history table), Liquibase (DATABASECHANGELOG), Alembic, Django,
/// Rails (`ActiveRecord::SchemaMigration`), Laravel, sqlx, Diesel, Prisma, Knex, golang-migrate, goose, Entity Framework,
/// Sequelize (Umzug), TypeORM.
pub(super) const TOOLS: &[Tool] = &[
    Tool {
        only: Some(("success", Counts::True)),
        ..last("flyway", "flyway_schema_history", "version", "installed_rank")
    },
    last("liquibase", "databasechangelog", "id", "orderexecuted"),
    Tool { take: Take::All, ..last("alembic", "alembic_version", "version_num", "") },
    last("django", "django_migrations", "name", "id"),
    Tool { only: Some(("success", Counts::True)), ..last("sqlx", "_sqlx_migrations", "version", "") },
    last("diesel", "__diesel_schema_migrations", "version", ""),
    Tool {
        only: Some(("finished_at", Counts::Set)),
        ..last("prisma", "_prisma_migrations", "migration_name", "started_at")
    },
    last("knex", "knex_migrations", "name", "id"),
    Tool { only: Some(("is_applied", Counts::Applied)), ..last("goose", "goose_db_version", "version_id", "id") },
    last("entity-framework", "__EFMigrationsHistory", "MigrationId", ""),
    last("sequelize", "SequelizeMeta", "name", ""),
    // Two tools share this name; they are told apart by their columns.
    Tool { only: Some(("dirty", Counts::Unset)), ..last("golang-migrate", "schema_migrations", "version", "") },
    last("rails", "schema_migrations", "version", ""),
    last("laravel", "migrations", "migration", "id"),
    last("typeorm", "migrations", "name", "id"),
];

/// A table's rows as far as a dump or a query gives them: `None` is NULL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The values of each row, in the order of the columns.
    pub rows: Vec<Vec<Option<String>>>,
}

/// The version of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SchemaVersion {
    /// The tool that keeps it, or `query`.
    pub tool: String,
    /// The version.
    pub version: String,
    /// Whether the tool says that a migration failed half-way.
    pub is_dirty: bool,
}

impl SchemaVersion {
    /// Returns the version that a query of the user's gave.
    pub(super) fn of_query(version: impl Into<String>) -> Self {
        Self { tool: "query".to_owned(), version: version.into(), is_dirty: false }
    }

    /// Adds the version to the facts of a source.
    pub(super) fn add_to(&self, content: &mut Content) {
        content.insert("schema_version".to_owned(), self.version.clone().into());
        content.insert("schema_version_from".to_owned(), self.tool.clone().into());
        if self.is_dirty {
            content.insert("schema_version_dirty".to_owned(), true.into());
        }
    }
}

/// Says whether a table, by its name without its schema, is one that a tool keeps versions in.
pub(super) fn is_migration_table(table: &str) -> bool {
    TOOLS.iter().any(|tool| tool.table.eq_ignore_ascii_case(table))
}

/// Finds the version in the rows of such a table; `None` if the table is not a tool's, or no migration was applied.
pub(super) fn schema_version(table: &str, rows: &Rows) -> Option<SchemaVersion> {
    let column = |name: &str| rows.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
    let fits = |tool: &&Tool| {
        let needed = [tool.version, tool.order, tool.only.map_or("", |(name, _)| name)];
        tool.table.eq_ignore_ascii_case(table) && needed.iter().all(|name| name.is_empty() || column(name).is_some())
    };
    let tool = TOOLS.iter().find(fits)?;
    let version = column(tool.version)?;
    let order = if tool.order.is_empty() { version } else { column(tool.order)? };
    let value = |row: &[Option<String>], place: usize| row.get(place).cloned().flatten();
    // golang-migrate has one row, and says in it whether the migration broke off.
    let is_dirty = tool.name == "golang-migrate"
        && rows
            .rows
            .iter()
            .any(|row| column("dirty").and_then(|place| value(row, place)).is_some_and(|text| is_true(&text)));
    let mut counted: Vec<_> = rows.rows.iter().filter(|row| is_dirty || counts(tool, row, &column)).collect();
    counted.sort_by(|one, two| by_number(value(one, order), value(two, order)));
    if tool.name == "goose" {
        // A step down is a row of its own; the newest row of each version says where that stands.
        let mut newest: Vec<&Vec<Option<String>>> = rows.rows.iter().collect();
        newest.sort_by(|one, two| by_number(value(one, order), value(two, order)));
        let is_applied = |row: &&&Vec<Option<String>>| {
            let own = value(row, version);
            newest
                .iter()
                .rev()
                .find(|other| value(other, version) == own)
                .is_some_and(|other| counts(tool, other, &column))
        };
        counted = newest.iter().filter(is_applied).copied().collect();
        counted.sort_by(|one, two| by_number(value(one, version), value(two, version)));
    }
    let mut versions: Vec<String> = counted.iter().filter_map(|row| value(row, version)).collect();
    let version = match tool.take {
        Take::Last => versions.pop()?,
        Take::All => {
            versions.sort();
            if versions.is_empty() {
                return None;
            }
            versions.join(", ")
        }
    };
    Some(SchemaVersion { tool: tool.name.to_owned(), version, is_dirty })
}

fn counts(tool: &Tool, row: &[Option<String>], column: &dyn Fn(&str) -> Option<usize>) -> bool {
    let Some((name, which)) = tool.only else { return true };
    let value = column(name).and_then(|place| row.get(place)).and_then(Option::as_deref);
    match which {
        Counts::True | Counts::Applied => value.is_some_and(is_true),
        Counts::Set => value.is_some(),
        Counts::Unset => !value.is_some_and(is_true),
    }
}

/// Says whether a database means true: PostgreSQL writes `t`, MySQL `1` or the byte 1, SQLite 1.
fn is_true(text: &str) -> bool {
    matches!(text, "t" | "true" | "TRUE" | "1" | "\u{1}" | "0x01" | "b'1'")
}

/// Compares numbers as numbers, and everything else as text: NULL comes first, then numbers, so that the order is total.
fn by_number(one: Option<String>, two: Option<String>) -> Ordering {
    let number = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<i128>().ok());
    match (number(&one), number(&two)) {
        (Some(one), Some(two)) => one.cmp(&two),
        (Some(_), None) if two.is_some() => Ordering::Less,
        (None, Some(_)) if one.is_some() => Ordering::Greater,
        _ => one.cmp(&two),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(columns: &str, rows: &[&str]) -> Rows {
        let cell = |text: &str| (text != "NULL").then(|| text.to_owned());
        Rows {
            columns: columns.split(' ').map(str::to_owned).collect(),
            rows: rows.iter().map(|row| row.split(' ').map(cell).collect()).collect(),
        }
    }

    #[test]
    fn every_tool_tells_its_version() {
        for (table, columns, data, expected) in [
            (
                "flyway_schema_history",
                "installed_rank version success",
                &["1 1 t", "2 1.1 t", "10 2 t", "11 3 f"][..],
                "flyway 2",
            ),
            ("DATABASECHANGELOG", "ID ORDEREXECUTED", &["a-9 9", "a-10 10"], "liquibase a-10"),
            ("alembic_version", "version_num", &["b1", "a1"], "alembic a1, b1"),
            ("django_migrations", "id app name", &["2 shop 0002_price", "10 auth 0010_x"], "django 0010_x"),
            ("schema_migrations", "version", &["20240101", "20251231", "20250101"], "rails 20251231"),
            ("migrations", "id migration batch", &["1 2024_a 1", "2 2025_b 2"], "laravel 2025_b"),
            ("_sqlx_migrations", "version success", &["1 1", "2 1", "3 0"], "sqlx 2"),
            ("__diesel_schema_migrations", "version run_on", &["20240101 x", "20250101 x"], "diesel 20250101"),
            (
                "_prisma_migrations",
                "migration_name started_at finished_at",
                &["a 2024 2024", "b 2025 NULL"],
                "prisma a",
            ),
            ("knex_migrations", "id name", &["1 a.js", "2 b.js"], "knex b.js"),
            ("schema_migrations", "version dirty", &["42 f"], "golang-migrate 42"),
            ("goose_db_version", "id version_id is_applied", &["1 0 t", "2 1 t", "3 2 t", "4 2 f"], "goose 1"),
            ("goose_db_version", "id version_id is_applied", &["1 0 t", "2 1 t", "3 2 t", "4 2 f", "5 2 t"], "goose 2"),
            (
                "__EFMigrationsHistory",
                "MigrationId ProductVersion",
                &["2024_A 8", "2025_B 8"],
                "entity-framework 2025_B",
            ),
            ("SequelizeMeta", "name", &["1-a.js", "2-b.js"], "sequelize 2-b.js"),
            ("migrations", "id timestamp name", &["1 5 A5", "2 6 B6"], "typeorm B6"),
        ] {
            let found = schema_version(table, &rows(columns, data)).unwrap_or_else(|| panic!("{table}"));
            assert_eq!(format!("{} {}", found.tool, found.version), expected);
            assert!(is_migration_table(table) && !found.is_dirty);
        }
        // Each tool of the list is among them.
        assert_eq!(TOOLS.len(), 15);
    }

    #[test]
    fn versions_have_one_order_whatever_they_look_like() {
        let values = [None, Some("2"), Some("10"), Some("1a"), Some("b"), Some("-3")];
        let values: Vec<_> = values.into_iter().map(|value| value.map(str::to_owned)).collect();
        let compare = |one: &Option<String>, two: &Option<String>| by_number(one.clone(), two.clone());
        for one in &values {
            for two in &values {
                assert_eq!(compare(one, two), compare(two, one).reverse());
                for three in &values {
                    let smaller = |a, b| compare(a, b) == Ordering::Less;
                    assert!(
                        !(smaller(one, two) && smaller(two, three)) || smaller(one, three),
                        "{one:?} {two:?} {three:?}"
                    );
                }
            }
        }
        let mixed = rows("version", &["2", "10", "1a"]);
        assert_eq!(schema_version("schema_migrations", &mixed).unwrap().version, "1a");
    }

    #[test]
    fn a_migration_that_broke_off_is_told() {
        let found = schema_version("schema_migrations", &rows("version dirty", &["43 1"])).unwrap();
        assert_eq!((found.version.as_str(), found.is_dirty), ("43", true));
        let mut content = Content::new();
        found.add_to(&mut content);
        assert_eq!(content["schema_version_dirty"], true);
    }

    #[test]
    fn a_table_of_that_name_with_other_columns_is_not_a_tool_s() {
        assert_eq!(schema_version("migrations", &rows("year country", &["2020 x"])), None);
        assert_eq!(schema_version("orders", &rows("version", &["1"])), None);
        assert_eq!(schema_version("alembic_version", &rows("version_num", &[])), None);
    }
}
