//! `[environment.NAME.rollback]`.

use super::keys::ROLLBACK;
use super::types::RollbackConfig;
use super::walk::{Table, Value};
use crate::model::way::WayKind;
use std::collections::BTreeMap;

/// Reads what a rollback runs, and by what its ways are weighed; `sources` are the names of all sources, if those are right.
pub(super) fn rollback(value: &Value<'_>, sources: Option<&[&str]>) -> RollbackConfig {
    let Some(table) = value.table(&ROLLBACK) else {
        return RollbackConfig::default();
    };
    let programs = |value: Option<Value<'_>>| {
        let items = value.and_then(|value| value.list()).unwrap_or_default();
        items.iter().filter_map(|item| item.arguments()).collect()
    };
    RollbackConfig {
        before: programs(table.get("before")),
        redeploy: table.get("redeploy").and_then(|value| value.arguments()),
        after: programs(table.get("after")),
        down_migration: table.get("down_migration").and_then(|value| value.arguments()),
        prefer: prefer(&table),
        // Nothing may be lost: that is a limit, too.
        max_loss: table.get("max_loss").and_then(|value| value.duration()),
        max_duration: table.get("max_duration").and_then(|value| value.some_duration()),
        accepts_schema: table.get("accepts_schema").map(|value| accepts(&value, sources)).unwrap_or_default(),
    }
}

fn prefer(table: &Table<'_>) -> Vec<WayKind> {
    let words = WayKind::ALL.map(|way| (way.as_str(), way));
    let mut ways = Vec::new();
    for item in table.get("prefer").and_then(|value| value.full_list()).unwrap_or_default() {
        let Some(way) = item.choice(&words) else { continue };
        if ways.contains(&way) {
            item.mistake(format!("`prefer` names {way} twice"));
        } else if way == WayKind::DownMigration && table.get("down_migration").is_none() {
            item.mistake("`prefer` names down-migration, and `down_migration` is missing: give its program");
        } else {
            ways.push(way);
        }
    }
    ways
}

fn accepts(value: &Value<'_>, sources: Option<&[&str]>) -> BTreeMap<String, Vec<String>> {
    let mut accepts = BTreeMap::new();
    for (source, item) in value.map() {
        let Some(versions) = item.full_list() else { continue };
        if sources.is_some_and(|sources| !sources.contains(&source)) {
            item.mistake(format!("`{}` names the source \"{source}\", which does not exist", value.name));
        }
        let versions = versions.iter().filter_map(|version| version.name()).map(str::to_owned).collect();
        accepts.insert(source.to_owned(), versions);
    }
    accepts
}
