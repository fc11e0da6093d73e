//! What a snapshot of a database holds, in a few lines for people.

use super::units::{count, counted};
use crate::model::manifest::{Content, SourceRecord};
use serde_json::Value;

/// Where in time a snapshot is, by the keys of its content.
const POINTS: [(&str, &str); 6] = [
    ("restore_point", "restore point"),
    ("wal_lsn", "WAL at"),
    ("timeline", "timeline"),
    ("gtid", "GTID"),
    ("replication_offset", "replication offset"),
    ("oplog", "oplog"),
];

/// Returns names and values of what is known of a source beyond its size; nothing for files.
pub(super) fn facts(record: &SourceRecord) -> Vec<(&'static str, String)> {
    let content = &record.content;
    let server = [record.server_version.clone(), record.server_version.as_ref().and(record.identity.clone())];
    let server = server.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let lines = [
        ("Server", Some(server).filter(|server| !server.is_empty())),
        ("Holds", holds(content)),
        ("Schema version", schema_version(content)),
        ("Taken at", point(content)),
    ];
    lines.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn holds(content: &Content) -> Option<String> {
    let tables = content.get("tables").and_then(Value::as_u64)?;
    let rows = content.get("rows").and_then(Value::as_object);
    let rows = rows.map(|rows| rows.values().filter_map(Value::as_u64).sum::<u64>());
    let rows = rows.map(|rows| format!(", {} rows", count(rows))).unwrap_or_default();
    Some(format!("{}{rows}", counted(tables, "table")))
}

fn schema_version(content: &Content) -> Option<String> {
    let version = content.get("schema_version").map(plain)?;
    let tool = content.get("schema_version_from").map(|tool| format!(" ({})", plain(tool))).unwrap_or_default();
    let dirty = content.get("schema_version_dirty") == Some(&Value::Bool(true));
    let dirty = if dirty { ", a migration broke off half-way" } else { "" };
    Some(format!("{version}{tool}{dirty}"))
}

fn point(content: &Content) -> Option<String> {
    let mut points: Vec<_> =
        POINTS.iter().filter_map(|(key, name)| Some(format!("{name} {}", plain(content.get(*key)?)))).collect();
    if let Some(binlog) = content.get("binlog").and_then(Value::as_object) {
        points.push(format!("binlog {}", binlog.values().map(plain).collect::<Vec<_>>().join(":")));
    }
    (!points.is_empty()).then(|| points.join(", "))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_database_holds_is_told_in_words() {
        let content: Content = serde_json::from_value(json!({
            "tables": 2, "rows": {"a": 1000, "b": 234}, "schema_version": "42", "schema_version_from": "flyway",
            "wal_lsn": "0/1A2B", "binlog": {"file": "bin.7", "position": 9},
        }))
        .unwrap();
        assert_eq!(holds(&content).unwrap(), "2 tables, 1,234 rows");
        assert_eq!(schema_version(&content).unwrap(), "42 (flyway)");
        assert_eq!(point(&content).unwrap(), "WAL at 0/1A2B, binlog bin.7:9");
        assert_eq!((holds(&Content::new()), point(&Content::new())), (None, None));
    }
}
