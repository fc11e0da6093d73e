//! Rows and other facts of a database, compared with those of its snapshot: before a restore what it loses, and after it
//! whether it is whole.

use crate::model::manifest::Content;
use crate::model::way::TableLoss;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The facts that are the same before a capture and after its restore; `rows` are compared table by table.
const COMPARED: [&str; 12] = [
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
    "system_identifier",
];

/// How many differences are named.
const NAMED: usize = 8;

/// The rows of each table; `None` of those that nobody could count.
type Rows = BTreeMap<String, Option<u64>>;

/// What came of comparing what was restored with the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// In which facts they differ, in words.
    pub differences: Vec<String>,
    /// What the manifest tells and could not be compared, in words.
    pub left_out: Vec<String>,
    /// How many facts were compared.
    facts: usize,
}

impl Compared {
    /// Says whether nothing could be compared at all: then that nothing differs means nothing.
    pub fn is_empty(&self) -> bool {
        self.facts == 0 && self.differences.is_empty()
    }
}

/// Returns the tables that have another number of rows now than in the snapshot, those that grew most first; `None` if one
/// of the two does not tell its rows. A table that could not be counted is left out.
pub fn changed(snapshot: &Content, now: &Content) -> Option<Vec<TableLoss>> {
    let mut changed = unequal(&rows(snapshot)?, &rows(now)?);
    changed.sort_by_key(|table| std::cmp::Reverse(more(table)));
    Some(changed)
}

fn unequal(then: &Rows, now: &Rows) -> Vec<TableLoss> {
    let tables: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let is_counted = |table: &&String| [then, now].iter().all(|rows| rows.get(*table) != Some(&None));
    let count = |rows: &Rows, table: &String| rows.get(table).copied().flatten();
    tables
        .into_iter()
        .filter(is_counted)
        .map(|table| TableLoss { table: table.clone(), then: count(then, table), now: count(now, table) })
        .filter(|table| table.then != table.now)
        .collect()
}

/// Returns how many rows a table has more now than in the snapshot.
pub fn more(table: &TableLoss) -> u64 {
    table.now.unwrap_or(0).saturating_sub(table.then.unwrap_or(0))
}

/// Compares what was restored with what the manifest says of the snapshot.
///
/// What the manifest tells of tables, rows and databases must be told of what was restored, too: whatever holds them can be
/// counted. Other facts that only the manifest tells are left out. Keys that have a time to live may have gone since.
pub fn compare(manifest: &Content, restored: &Content) -> Compared {
    let mut compared = Compared::default();
    compared.facts(manifest, restored, "");
    match (databases(manifest), databases(restored)) {
        (Some(then), Some(now)) => {
            for (database, then) in &then {
                match now.get(database) {
                    Some(now) => compared.facts(then, now, &format!("{database}: ")),
                    None => compared.differences.push(format!("{database} is not there")),
                }
            }
        }
        (Some(then), None) if !then.is_empty() => {
            let names: Vec<_> = then.into_keys().collect();
            compared.differences.push(format!("it tells no databases, and had {}", names.join(", ")));
        }
        _ => {}
    }
    shorten(&mut compared.differences);
    shorten(&mut compared.left_out);
    compared
}

fn shorten(texts: &mut Vec<String>) {
    let more = texts.len().saturating_sub(NAMED);
    if more > 0 {
        texts.truncate(NAMED);
        texts.push(format!("and {more} more"));
    }
}

impl Compared {
    fn facts(&mut self, manifest: &Content, restored: &Content, of: &str) {
        let expires = manifest.get("keys_that_expire").and_then(Value::as_u64).unwrap_or(0);
        for name in COMPARED.into_iter().filter(|name| expires == 0 || *name != "tables") {
            let fact = |content: &'_ Content| content.get(name).filter(|value| !value.is_null()).cloned();
            let (then, now) = (fact(manifest), fact(restored));
            let what = name.replace('_', " ");
            match (&then, &now) {
                (None, None) => {}
                (Some(then), Some(now)) if then == now => self.facts += 1,
                // What is not said to be dirty is not.
                (Some(flag), None) | (None, Some(flag)) if name == "schema_version_dirty" && *flag == false => {}
                // What the manifest does not tell nobody can compare.
                (None, Some(_)) if name != "schema_version_dirty" => {}
                (Some(then), None) if name == "tables" => {
                    self.differences.push(format!("{of}it tells no {what}, and had {}", plain(then)));
                }
                (Some(_), None) if name != "schema_version_dirty" => self.left_out.push(format!("{of}{what}")),
                _ => {
                    let word = |value: Option<&Value>| value.map_or_else(|| "absent".to_owned(), plain);
                    let (then, now) = (word(then.as_ref()), word(now.as_ref()));
                    self.differences.push(format!("{of}{what} is {now}, and was {then}"));
                }
            }
        }
        match (own_rows(manifest), own_rows(restored)) {
            (Some(then), Some(now)) => self.rows(&then, &now, expires, of),
            (Some(then), None) => {
                self.differences.push(format!("{of}it tells no rows, and had those of {} tables", then.len()));
            }
            (None, _) => {}
        }
    }

    fn rows(&mut self, then: &Rows, now: &Rows, expires: u64, of: &str) {
        self.facts += 1;
        for (table, count) in then {
            match (count, now.get(table)) {
                (None, None) => self.differences.push(format!("{of}{table} is not there")),
                (None, Some(_)) => self.left_out.push(format!("{of}rows of {table}")),
                (Some(count), Some(None)) => {
                    self.differences.push(format!("{of}{table} could not be counted, and had {count} rows"));
                }
                (Some(_), _) => {}
            }
        }
        let new = now.iter().filter(|(table, count)| count.is_none() && !then.contains_key(*table));
        self.differences.extend(new.map(|(table, _)| format!("{of}{table} is there, and was not")));
        let mut missing = expires;
        for table in unequal(then, now) {
            let gone = table.then.unwrap_or(0).saturating_sub(table.now.unwrap_or(0));
            if gone > 0 && gone <= missing {
                missing -= gone;
                continue;
            }
            self.differences.push(match (table.then, table.now) {
                (Some(then), Some(now)) => format!("{of}{} has {now} rows, and had {then}", table.table),
                (Some(then), None) => format!("{of}{} is not there, and had {then} rows", table.table),
                (_, now) => format!("{of}{} is there with {} rows, and was not", table.table, now.unwrap_or(0)),
            });
        }
    }
}

/// Returns the rows of every table, also of those in each of several databases.
fn rows(content: &Content) -> Option<Rows> {
    let each = databases(content).into_iter().flatten().filter_map(|(database, facts)| {
        let named = |(table, count)| (format!("{database}/{table}"), count);
        Some(own_rows(&facts)?.into_iter().map(named).collect::<Rows>())
    });
    let all: Vec<_> = own_rows(content).into_iter().chain(each).collect();
    (!all.is_empty()).then(|| all.into_iter().flatten().collect())
}

fn own_rows(content: &Content) -> Option<Rows> {
    let rows = content.get("rows").and_then(Value::as_object)?;
    Some(rows.iter().map(|(table, count)| (table.clone(), count.as_u64())).collect())
}

/// Returns the facts of each database of a source of several; `None` if it tells none.
fn databases(content: &Content) -> Option<BTreeMap<String, Content>> {
    let databases = content.get("databases").and_then(Value::as_object)?;
    let facts = |facts: &Value| {
        let facts = facts.as_object().into_iter().flatten();
        facts.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    Some(databases.iter().map(|(name, each)| (name.clone(), facts(each))).collect())
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

    fn differences(manifest: &Content, restored: &Content) -> Vec<String> {
        compare(manifest, restored).differences
    }

    #[test]
    fn what_was_restored_is_compared_with_the_manifest() {
        let whole = json!({ "tables": 2, "rows": { "a": 1, "b": 2 }, "schema_version": "41", "wal_lsn": "0/1", "extensions": ["x"] });
        let but = |name: &str, value: Value| {
            let mut changed = whole.clone();
            changed[name] = value;
            changed
        };
        for (now, expected) in [
            (whole.clone(), &[][..]),
            (but("wal_lsn", json!("0/2")), &[]),
            (but("tables", json!(3)), &["tables is 3, and was 2"]),
            (but("tables", json!(null)), &["it tells no tables, and had 2"]),
            (but("schema_version", json!("42")), &["schema version is 42, and was 41"]),
            (but("rows", json!({ "a": 1, "b": 0 })), &["b has 0 rows, and had 2"]),
            (but("rows", json!({ "a": 1 })), &["b is not there, and had 2 rows"]),
            (but("rows", json!({ "a": 1, "b": null })), &["b could not be counted, and had 2 rows"]),
            (but("rows", json!({ "a": 1, "b": 2, "c": 0 })), &["c is there with 0 rows, and was not"]),
            (but("rows", json!({ "a": 1, "b": 2, "c": null })), &["c is there, and was not"]),
            (but("rows", json!(null)), &["it tells no rows, and had those of 2 tables"]),
            (but("schema_version_dirty", json!(true)), &["schema version dirty is true, and was absent"]),
            (but("schema_version_dirty", json!(false)), &[]),
            (but("extensions", json!([])), &["extensions is [], and was [\"x\"]"]),
            (json!({}), &["it tells no tables, and had 2", "it tells no rows, and had those of 2 tables"]),
        ] {
            assert_eq!(differences(&content(whole.clone()), &content(now.clone())), expected, "{now}");
        }
        let many = |rows: u64| {
            content(
                json!({ "rows": (0..20).map(|n| (format!("t{n:02}"), rows.into())).collect::<serde_json::Map<_, _>>() }),
            )
        };
        assert_eq!(differences(&many(1), &many(2)).last().unwrap(), "and 12 more");
    }

    #[test]
    fn every_database_must_be_there() {
        let of = |databases: Value| content(json!({ "databases": databases }));
        let rows = |count: u64| json!({ "rows": { "t": count } });
        let then = of(json!({ "a": rows(1), "b": rows(1) }));
        for (now, expected) in [
            (of(json!({ "a": rows(1), "b": rows(1), "c": rows(1) })), &[][..]),
            (of(json!({ "a": rows(2), "b": rows(1) })), &["a: t has 2 rows, and had 1"]),
            (of(json!({ "b": rows(1) })), &["a is not there"]),
            (of(json!({})), &["a is not there", "b is not there"]),
            (content(json!({})), &["it tells no databases, and had a, b"]),
        ] {
            assert_eq!(differences(&then, &now), expected, "{now:?}");
        }
    }

    #[test]
    fn what_could_not_be_compared_is_named() {
        let then = content(json!({ "tables": 2, "extensions": ["x"], "rows": { "a": null, "b": 1 } }));
        let now = content(json!({ "tables": 2, "rows": { "a": 7, "b": 1 } }));
        let compared = compare(&then, &now);
        assert_eq!((compared.differences.len(), compared.left_out), (0, vec!["extensions".into(), "rows of a".into()]));
        assert_eq!(changed(&then, &now), Some(Vec::new()), "what nobody counted has not grown");
        assert_eq!(differences(&then, &content(json!({ "tables": 2, "rows": { "b": 1 } }))), ["a is not there"]);
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
    fn what_tells_nothing_in_common_was_not_compared() {
        for (then, now, is_empty) in [
            (json!({ "tables": 1 }), json!({ "tables": 1 }), false),
            (json!({ "tables": 1 }), json!({ "wal_lsn": 1 }), false),
            (json!({ "extensions": [] }), json!({ "wal_lsn": 1 }), true),
            (json!({}), json!({ "tables": 1, "rows": { "a": 1 } }), true),
            (json!({ "databases": {} }), json!({ "databases": {} }), true),
        ] {
            assert_eq!(compare(&content(then.clone()), &content(now)).is_empty(), is_empty, "{then}");
        }
    }
}
