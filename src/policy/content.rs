//! Is what a database holds plausible? An empty server that answers on the right port dumps without an error.

use crate::config::Expect;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;

/// How many emptied tables a message names.
const NAMED: usize = 5;

/// Judges what the bytes of a snapshot hold by what is expected of its source, and by what the last comparable one held.
///
/// Sources of databases say how many `tables` there are, and how many `rows` each has; of others there is nothing to say.
pub fn judge(expect: &Expect, content: &Content, before: Option<&Content>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(tables) = content.get("tables").and_then(serde_json::Value::as_u64)
        && tables < expect.min_tables
    {
        let message = match tables {
            0 => "the database has no tables: nothing of the application is in it".to_owned(),
            tables => format!("{tables} tables are fewer than expect.min_tables, {}", expect.min_tables),
        };
        findings.push(Finding::refusal(FindingCode::BelowMinTables, message).hint(
            "see that `url` names the right server and database; where that is right, set expect.min_tables of the source",
        ));
    }
    for (table, least) in &expect.min_rows {
        let message = match rows_of(content, table) {
            Rows::Counted(rows) if rows >= *least => continue,
            Rows::Counted(rows) => format!("{table} has {rows} rows, fewer than expect.min_rows, {least}"),
            Rows::Missing => format!("{table}, named in expect.min_rows, is not in the snapshot"),
            Rows::Ambiguous(all) => format!("{table}, named in expect.min_rows, could be any of {}", all.join(", ")),
            Rows::Unknown => format!("nobody counted the rows of {table}, named in expect.min_rows"),
        };
        findings.push(
            Finding::refusal(FindingCode::BelowMinRows, message)
                .hint("see that `url` names the right database, and that the table holds what it should"),
        );
    }
    findings.extend(before.and_then(|before| emptied(content, before)));
    findings
}

enum Rows {
    Counted(u64),
    Missing,
    Ambiguous(Vec<String>),
    Unknown,
}

/// Finds the rows of a table by its full name, or by the part after its schema if only one table has it.
fn rows_of(content: &Content, table: &str) -> Rows {
    let Some(rows) = content.get("rows").and_then(serde_json::Value::as_object) else { return Rows::Unknown };
    if let Some(count) = rows.get(table).and_then(serde_json::Value::as_u64) {
        return Rows::Counted(count);
    }
    let of_any_schema = |name: &&String| name.strip_suffix(table).is_some_and(|schema| schema.ends_with('.'));
    let found: Vec<_> = rows.keys().filter(of_any_schema).collect();
    match found.as_slice() {
        [] => Rows::Missing,
        [name] => rows.get(*name).and_then(serde_json::Value::as_u64).map_or(Rows::Unknown, Rows::Counted),
        several => Rows::Ambiguous(several.iter().map(|&name| name.clone()).collect()),
    }
}

/// Names the tables that had rows and have none, or are gone: a warning, since some tables are meant to run empty.
fn emptied(content: &Content, before: &Content) -> Option<Finding> {
    let (rows, before) = (content.get("rows")?.as_object()?, before.get("rows")?.as_object()?);
    let had = |count: &serde_json::Value| count.as_u64().unwrap_or(0);
    let emptied: Vec<_> = before
        .iter()
        .filter(|(table, count)| had(count) > 0 && rows.get(*table).is_none_or(|now| had(now) == 0))
        .map(|(table, count)| {
            let what = if rows.contains_key(table) { "is empty" } else { "is gone" };
            format!("{table} {what}, and had {} rows", had(count))
        })
        .collect();
    let more = emptied.len().saturating_sub(NAMED);
    let named = emptied.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    let message = if more > 0 { format!("{named}; and {more} more") } else { named };
    (!emptied.is_empty()).then(|| {
        Finding::warning(FindingCode::TableEmptied, message)
            .hint("if the table must never be empty, say so: expect = { min_rows = { TABLE = 1 } }")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn content(value: serde_json::Value) -> Content {
        serde_json::from_value(value).unwrap()
    }

    fn codes(expect: &Expect, now: serde_json::Value, before: Option<serde_json::Value>) -> Vec<&'static str> {
        let before = before.map(content);
        judge(expect, &content(now), before.as_ref()).iter().map(|finding| finding.code.as_str()).collect()
    }

    #[test]
    fn an_empty_database_refuses_unless_that_is_expected() {
        let expect = Expect::default();
        assert_eq!(codes(&expect, json!({"tables": 0}), None), ["below-min-tables"]);
        assert_eq!(codes(&expect, json!({"tables": 1}), None), [""; 0]);
        assert_eq!(codes(&expect, json!({}), None), [""; 0]);
        assert_eq!(codes(&Expect { min_tables: 0, ..expect.clone() }, json!({"tables": 0}), None), [""; 0]);
        assert_eq!(codes(&Expect { min_tables: 7, ..expect }, json!({"tables": 6}), None), ["below-min-tables"]);
    }

    #[test]
    fn rows_are_counted_by_full_or_unique_name() {
        let expect = |table: &str| Expect { min_rows: [(table.to_owned(), 2)].into(), ..Expect::default() };
        let now = json!({"rows": {"public.orders": 2, "a.twice": 5, "b.twice": 5, "few": 1}});
        let of = |table: &str| codes(&expect(table), now.clone(), None);
        assert_eq!((of("orders"), of("public.orders"), of("a.twice")), (vec![], vec![], vec![]));
        for table in ["twice", "few", "missing"] {
            assert_eq!(of(table), ["below-min-rows"], "{table}");
        }
        assert_eq!(codes(&expect("orders"), json!({}), None), ["below-min-rows"]);
    }

    #[test]
    fn a_table_that_ran_empty_is_a_warning() {
        let before = json!({"rows": {"a": 3, "b": 0, "c": 1}});
        let now = content(json!({"rows": {"a": 0, "b": 0}}));
        let findings = judge(&Expect::default(), &now, Some(&content(before.clone())));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].message, "a is empty, and had 3 rows; c is gone, and had 1 rows");
        assert_eq!(codes(&Expect::default(), json!({"rows": {"a": 1, "c": 1}}), Some(before)), [""; 0]);
    }
}
