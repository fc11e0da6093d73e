//! What a server says that there is: databases, tables, and everything else that a dump must hold.

use super::server::{Row, Server, literal};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use std::collections::{BTreeMap, BTreeSet};

/// Databases of the server itself.
const SYSTEM: [&str; 6] =
    ["mysql", "information_schema", "performance_schema", "sys", "ndbinfo", "mysql_innodb_cluster_metadata"];

/// Says whether a database is the server's own.
pub(super) fn is_system(database: &str) -> bool {
    SYSTEM.iter().any(|system| system.eq_ignore_ascii_case(database))
}

/// A table or view: its database and its name.
pub(super) type Name = (String, String);

/// A database with what new tables of it get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Database {
    pub name: String,
    pub character_set: String,
    pub collation: String,
}

/// What some databases hold, as the server lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Catalog {
    pub tables: BTreeSet<Name>,
    pub views: BTreeSet<Name>,
    /// MariaDB's.
    pub sequences: BTreeSet<Name>,
    pub triggers: u64,
    pub routines: u64,
    pub events: u64,
    /// Views that refer to what is not there; no dump program gets past them.
    pub broken_views: Vec<Name>,
    /// Tables that no transaction covers, with their engines.
    pub not_transactional: Vec<(Name, String)>,
    /// About how many bytes the rows have.
    pub bytes: u64,
    /// Databases that hold anything.
    pub used: BTreeSet<String>,
}

/// Lists the databases that are captured: the one that is named, or all but the server's own.
///
/// # Errors
/// As [`Server::ask`].
pub(super) fn databases(server: &Server, cancel: &Cancel) -> Result<Vec<Database>> {
    let sql = "SELECT schema_name, default_character_set_name, default_collation_name FROM information_schema.schemata";
    let rows = server.ask(sql, cancel)?.into_iter();
    let all = rows
        .map(|row| {
            columns(server, row).map(|[name, character_set, collation]| Database { name, character_set, collation })
        })
        .collect::<Result<Vec<_>>>()?;
    let Some(wanted) = &server.address.database else {
        return Ok(all.into_iter().filter(|database| !is_system(&database.name)).collect());
    };
    // Some servers do not tell upper from lower case.
    let exact = all.iter().find(|database| database.name == *wanted);
    let found = exact.or_else(|| all.iter().find(|database| database.name.eq_ignore_ascii_case(wanted)));
    Ok(found.cloned().into_iter().collect())
}

/// Takes the columns of a row; a row of another shape would hide something from the snapshot.
///
/// # Errors
/// `process-failed`: the server answered something else than was asked.
fn columns<const N: usize>(server: &Server, row: Row) -> Result<[String; N]> {
    let count = row.len();
    <[String; N]>::try_from(row).map_err(|_| {
        let message = format!("{} answered a row of {count} columns where {N} were asked for", server.shown());
        Error::new(ErrorCode::ProcessFailed, message)
    })
}

/// Returns the names as a list for `IN`.
pub(super) fn list(databases: &[Database]) -> String {
    databases.iter().map(|database| literal(&database.name)).collect::<Vec<_>>().join(", ")
}

impl Catalog {
    /// Asks what `databases` hold.
    ///
    /// # Errors
    /// As [`Server::ask`].
    pub(super) fn read(server: &Server, databases: &[Database], cancel: &Cancel) -> Result<Self> {
        let mut catalog = Self::default();
        if databases.is_empty() {
            return Ok(catalog);
        }
        let within = list(databases);
        let sql = format!(
            "SELECT t.table_schema, t.table_name, t.table_type, COALESCE(t.engine, ''), COALESCE(e.transactions, ''), \
             COALESCE(t.data_length, 0), t.table_type = 'VIEW' AND t.table_comment LIKE '%invalid%' \
             FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine \
             WHERE t.table_schema IN ({within})"
        );
        let is_ours = |name: &str| databases.iter().any(|database| database.name == name);
        for row in server.ask(&sql, cancel)? {
            let [database, table, kind, engine, transactions, bytes, is_broken] = columns(server, row)?;
            if is_ours(&database) {
                catalog.used.insert(database.clone());
                let name = (database, table);
                catalog.bytes += bytes.parse().unwrap_or(0);
                match kind.as_str() {
                    "SEQUENCE" => {
                        catalog.sequences.insert(name);
                    }
                    "VIEW" => {
                        if is_broken == "1" {
                            catalog.broken_views.push(name.clone());
                        }
                        catalog.views.insert(name);
                    }
                    _ => {
                        if transactions == "NO" {
                            catalog.not_transactional.push((name.clone(), engine));
                        }
                        catalog.tables.insert(name);
                    }
                }
            }
        }
        let sql = format!(
            "SELECT 'triggers', trigger_schema, COUNT(*) FROM information_schema.triggers WHERE trigger_schema IN ({within}) GROUP BY 2 \
             UNION ALL SELECT 'routines', routine_schema, COUNT(*) FROM information_schema.routines WHERE routine_schema IN ({within}) GROUP BY 2 \
             UNION ALL SELECT 'events', event_schema, COUNT(*) FROM information_schema.events WHERE event_schema IN ({within}) GROUP BY 2"
        );
        let mut counts = BTreeMap::<String, u64>::new();
        for row in server.ask(&sql, cancel)? {
            let [what, database, count] = columns(server, row)?;
            if is_ours(&database) {
                catalog.used.insert(database);
                *counts.entry(what).or_default() += count.parse().unwrap_or(0);
            }
        }
        let count = |what: &str| counts.get(what).copied().unwrap_or(0);
        (catalog.triggers, catalog.routines, catalog.events) = (count("triggers"), count("routines"), count("events"));
        Ok(catalog)
    }

    /// Says whether a database holds anything: a table, a view, a routine, an event.
    pub(super) fn is_used(&self, database: &str) -> bool {
        self.used.contains(database)
    }
}

/// Returns a digest of all definitions in `databases`: another one means that somebody changed the schema meanwhile.
///
/// Each definition counts by a part of its MD5; the sum does not depend on an order.
///
/// # Errors
/// As [`Server::ask`].
pub(super) fn definitions(server: &Server, databases: &[Database], cancel: &Cancel) -> Result<String> {
    let within = list(databases);
    let part = |table: &str, schema: &str, columns: &str| {
        format!(
            "SELECT CONCAT(COUNT(*), ':', COALESCE(SUM(CAST(CONV(LEFT(MD5(CONCAT_WS('|', {columns})), 12), 16, 10) AS UNSIGNED)), 0)) \
             FROM information_schema.{table} WHERE {schema} IN ({within})"
        )
    };
    let columns = "table_schema, table_name, column_name, ordinal_position, column_default, is_nullable, column_type, \
                   collation_name, extra, generation_expression, column_comment";
    let indexes = "table_schema, table_name, index_name, non_unique, seq_in_index, column_name, sub_part, index_type";
    let keys = "constraint_schema, constraint_name, table_name, referenced_table_name, update_rule, delete_rule";
    let parts = [
        part(
            "tables",
            "table_schema",
            "table_schema, table_name, table_type, engine, table_collation, create_options, table_comment",
        ),
        part("columns", "table_schema", columns),
        part("statistics", "table_schema", indexes),
        part("referential_constraints", "constraint_schema", keys),
        part("views", "table_schema", "table_schema, table_name, view_definition"),
        part(
            "triggers",
            "trigger_schema",
            "trigger_schema, trigger_name, action_timing, event_manipulation, action_statement",
        ),
        part("routines", "routine_schema", "routine_schema, routine_name, routine_type, routine_definition"),
        part(
            "events",
            "event_schema",
            "event_schema, event_name, event_definition, interval_value, interval_field, status",
        ),
    ];
    let rows = server.ask(&parts.join(" UNION ALL "), cancel)?;
    Ok(rows.into_iter().flatten().collect::<Vec<_>>().join(" "))
}
