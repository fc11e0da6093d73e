//! What a database holds.

use crate::error::Result;
use crate::source::postgres::connect::Connection;
use crate::source::postgres::dump::look::counts;
use std::collections::BTreeMap;

/// What somebody made in a database: not what comes with the server or belongs to an extension.
const FOUND: &str = "\
    WITH member AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'), \
         own AS (SELECT oid, nspname FROM pg_catalog.pg_namespace n \
                  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' \
                    AND (n.oid, 'pg_catalog.pg_namespace'::regclass) NOT IN (SELECT objid, classid FROM member)) \
    (SELECT format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' \
                   WHEN 'm' THEN 'materialized view' ELSE 'table' END, own.nspname, c.relname) \
       FROM pg_catalog.pg_class c JOIN own ON own.oid = c.relnamespace \
      WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') \
        AND (c.oid, 'pg_catalog.pg_class'::regclass) NOT IN (SELECT objid, classid FROM member) ORDER BY 1 LIMIT 10) \
    UNION ALL \
    (SELECT format('function %I.%I', own.nspname, p.proname) \
       FROM pg_catalog.pg_proc p JOIN own ON own.oid = p.pronamespace \
      WHERE (p.oid, 'pg_catalog.pg_proc'::regclass) NOT IN (SELECT objid, classid FROM member) ORDER BY 1 LIMIT 10) \
    UNION ALL \
    (SELECT format('type %I.%I', own.nspname, t.typname) \
       FROM pg_catalog.pg_type t JOIN own ON own.oid = t.typnamespace \
      WHERE t.typtype IN ('e', 'd', 'r') \
        AND (t.oid, 'pg_catalog.pg_type'::regclass) NOT IN (SELECT objid, classid FROM member) ORDER BY 1 LIMIT 10) \
    UNION ALL \
    (SELECT format('schema %I', nspname) FROM own WHERE nspname <> 'public' ORDER BY 1 LIMIT 10) \
    UNION ALL \
    (SELECT format('large object %s', oid) FROM pg_catalog.pg_largeobject_metadata ORDER BY 1 LIMIT 10)";

/// Names some of what a database holds; nothing if it is empty.
pub(super) fn found(connection: &Connection) -> Result<Vec<String>> {
    let rows = connection.rows("see what the database holds", FOUND)?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

/// Compares the number of rows in each table with what is expected; returns what differs, in words.
pub(super) fn differences(connection: &Connection, expected: &BTreeMap<(String, String), u64>) -> Result<Vec<String>> {
    let found = counts(connection)?;
    let difference = |((schema, name), rows): (&(String, String), &u64)| {
        let found = found.get(&(schema.clone(), name.clone()));
        let shown = found.map_or_else(|| "unknown".to_owned(), u64::to_string);
        (found != Some(rows)).then(|| format!("{schema}.{name} has {shown} rows, not {rows}"))
    };
    Ok(expected.iter().filter_map(difference).collect())
}
