//! Rows and other facts of a database, compared with those of its snapshot: before a restore what it loses, and after it
//! whether it is whole.

use crate::model::manifest::Content;
use crate::model::way::TableLoss;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The facts that are the same before a capture and after its restore; `rows` are compared table by table.
const COMPARED: [&str; 11] = [
    "tables",
    "schema_version",
    "schema_version_dirty",
    "sequences",
    "extensions",
    "large_objects",
    "views",
    "triggers",
    "routines",
    "events",
    "function_libraries",
];

/// How many differences are named.
const NAMED: usize = 8;

/// Returns the tables that have another number of rows now than in the snapshot, those that grew most first; `None` if one
/// of the two does not tell its rows.
pub fn changed(snapshot: &Content, now: &Content) -> Option<Vec<TableLoss>> {
    let mut changed = unequal(&rows(snapshot)?, &rows(now)?);
    changed.sort_by_key(|table| std::cmp::Reverse(more(table)));
    Some(changed)
}

fn unequal(then: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>) -> Vec<TableLoss> {
    let tables: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    tables
        .into_iter()
        .map(|table| TableLoss { table: table.clone(), then: then.get(table).copied(), now: now.get(table).copied() })
        .filter(|table| table.then != table.now)
        .collect()
}

/// Returns how many rows a table has more now than in the snapshot.
pub fn more(table: &TableLoss) -> u64 {
    table.now.unwrap_or(0).saturating_sub(table.then.unwrap_or(0))
}

/// Says in which facts what was restored is not what the manifest says; empty if in none of those that both tell.
///
/// Keys that have a time to live may have gone since.
pub fn differences(manifest: &Content, restored: &Content) -> Vec<String> {
    let mut found = compare(manifest, restored, "");
    for (database, then) in databases(manifest) {
        match databases(restored).into_iter().find(|(name, _)| *name == database) {
            Some((_, now)) => found.extend(compare(&then, &now, &format!("{database}: "))),
            None if !databases(restored).is_empty() => found.push(format!("{database} is not there")),
            None => {}
        }
    }
    let more = found.len().saturating_sub(NAMED);
    if more > 0 {
        found.truncate(NAMED);
        found.push(format!("and {more} more"));
    }
    found
}

/// Says whether two contents have a fact in common that [`differences`] compares.
pub fn is_comparable(manifest: &Content, restored: &Content) -> bool {
    let both = |name: &&str| manifest.contains_key(*name) && restored.contains_key(*name);
    COMPARED.iter().any(|name| both(&name)) || both(&"rows") || both(&"databases")
}

fn compare(manifest: &Content, restored: &Content, of: &str) -> Vec<String> {
    let mut found = Vec::new();
    let expires = manifest.get("keys_that_expire").and_then(Value::as_u64).unwrap_or(0);
    for name in COMPARED {
        let (then, now) = (manifest.get(name), restored.get(name));
        let absent_is_false = name == "schema_version_dirty";
        if then == now || (expires > 0 && name == "tables") || (!absent_is_false && (then.is_none() || now.is_none())) {
            continue;
        }
        let word = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), plain);
        found.push(format!("{of}{} is {}, and was {}", name.replace('_', " "), word(now), word(then)));
    }
    let mut missing = expires;
    let changed = match (own_rows(manifest), own_rows(restored)) {
        (Some(then), Some(now)) => unequal(&then, &now),
        _ => Vec::new(),
    };
    for table in changed {
        let gone = table.then.unwrap_or(0).saturating_sub(table.now.unwrap_or(0));
        if gone > 0 && gone <= missing {
            missing -= gone;
            continue;
        }
        found.push(match (table.then, table.now) {
            (Some(then), Some(now)) => format!("{of}{} has {now} rows, and had {then}", table.table),
            (Some(then), None) => format!("{of}{} is not there, and had {then} rows", table.table),
            (_, now) => format!("{of}{} is there with {} rows, and was not", table.table, now.unwrap_or(0)),
        });
    }
    found
}

/// Returns the rows of every table, also of those in each of several databases.
fn rows(content: &Content) -> Option<BTreeMap<String, u64>> {
    let each = databases(content).into_iter().filter_map(|(database, facts)| {
        let named = |(table, count)| (format!("{database}/{table}"), count);
        Some(own_rows(&facts)?.into_iter().map(named).collect::<BTreeMap<_, _>>())
    });
    let all: Vec<_> = own_rows(content).into_iter().chain(each).collect();
    (!all.is_empty()).then(|| all.into_iter().flatten().collect())
}

fn own_rows(content: &Content) -> Option<BTreeMap<String, u64>> {
    let rows = content.get("rows").and_then(Value::as_object)?;
    Some(rows.iter().filter_map(|(table, count)| Some((table.clone(), count.as_u64()?))).collect())
}

/// Returns the facts of each database of a source of several.
fn databases(content: &Content) -> Vec<(String, Content)> {
    let databases = content.get("databases").and_then(Value::as_object);
    let facts = |(name, facts): (&String, &Value)| {
        let facts = facts.as_object()?;
        Some((name.clone(), facts.iter().map(|(name, value)| (name.clone(), value.clone())).collect()))
    };
    databases.into_iter().flatten().filter_map(facts).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn content(value: Value) -> Content {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn tables_that_grew_come_first() {
        let then = content(json!({ "rows": { "orders": 10, "log": 5, "same": 1, "gone": 2 } }));
        let now = content(json!({ "rows": { "orders": 14, "log": 500, "same": 1, "new": 1 } }));
        let changed = changed(&then, &now).unwrap();
        let told: Vec<_> = changed.iter().map(|each| (each.table.as_str(), each.then, each.now, more(each))).collect();
        assert_eq!(
            told,
            [
                ("log", Some(5), Some(500), 495),
                ("orders", Some(10), Some(14), 4),
                ("new", None, Some(1), 1),
                ("gone", Some(2), None, 0)
            ]
        );
        assert_eq!(super::changed(&content(json!({})), &now), None);
        let several = |count: u64| content(json!({ "databases": { "a.db": { "rows": { "t": count } } } }));
        assert_eq!(super::changed(&several(1), &several(3)).unwrap()[0].table, "a.db/t");
    }

    #[test]
    fn what_was_restored_is_compared_with_the_manifest() {
        let whole = json!({ "tables": 2, "rows": { "a": 1, "b": 2 }, "schema_version": "41", "wal_lsn": "0/1", "extensions": ["x"] });
        for (now, expected) in [
            (whole.clone(), &[][..]),
            (json!({ "tables": 2, "wal_lsn": "0/2" }), &[]),
            (json!({ "tables": 3 }), &["tables is 3, and was 2"]),
            (json!({ "schema_version": "42" }), &["schema version is 42, and was 41"]),
            (json!({ "rows": { "a": 1, "b": 0 } }), &["b has 0 rows, and had 2"]),
            (json!({ "rows": { "a": 1 } }), &["b is not there, and had 2 rows"]),
            (json!({ "rows": { "a": 1, "b": 2, "c": 0 } }), &["c is there with 0 rows, and was not"]),
            (json!({ "schema_version_dirty": true }), &["schema version dirty is true, and was absent"]),
            (json!({ "extensions": [] }), &["extensions is [], and was [\"x\"]"]),
        ] {
            assert_eq!(differences(&content(whole.clone()), &content(now.clone())), expected, "{now}");
        }
        let of = |rows: Value| content(json!({ "databases": { "a": { "rows": rows } } }));
        assert_eq!(differences(&of(json!({ "t": 1 })), &of(json!({ "t": 2 }))), ["a: t has 2 rows, and had 1"]);
        let many = |rows: u64| {
            content(
                json!({ "rows": (0..20).map(|n| (format!("t{n:02}"), rows.into())).collect::<serde_json::Map<_, _>>() }),
            )
        };
        assert_eq!(differences(&many(1), &many(2)).last().unwrap(), "and 12 more");
    }

    #[test]
    fn keys_that_expire_may_be_gone_and_no_others() {
        let then = content(json!({ "tables": 1, "rows": { "db0": 10 }, "keys_that_expire": 3 }));
        let now = |keys: u64| content(json!({ "tables": 1, "rows": { "db0": keys }, "keys_that_expire": 0 }));
        assert_eq!(differences(&then, &now(7)), [""; 0]);
        assert_eq!(differences(&then, &now(6)), ["db0 has 6 rows, and had 10"]);
        assert_eq!(differences(&then, &now(11)), ["db0 has 11 rows, and had 10"]);
    }

    #[test]
    fn what_tells_nothing_in_common_cannot_be_compared() {
        let manifest = content(json!({ "tables": 1 }));
        assert!(is_comparable(&manifest, &content(json!({ "tables": 1 }))));
        assert!(!is_comparable(&manifest, &content(json!({ "wal_lsn": 1 }))));
    }
}
