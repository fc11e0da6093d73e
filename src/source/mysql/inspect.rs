//! Is what was read back a whole dump, and does it hold what the server listed?

use super::catalog::{Catalog, Name};
use super::contents::Contents;
use crate::model::finding::{Finding, FindingCode};
use crate::source::Inspection;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How many tables a message names.
const NAMED: usize = 5;

/// Says what a dump holds and what speaks against it; `listed` is what the server listed when it was captured, where that
/// is known. With `reads_version`, the version of the schema is that of a known migration tool's table.
pub(super) fn judge(contents: &Contents, listed: Option<&Catalog>, reads_version: bool) -> Inspection {
    let mut inspection = Inspection::default();
    let incomplete = |message: String| {
        Finding::refusal(FindingCode::ContentIncomplete, message)
            .hint("see what the dump program is, and run it by hand: its output must end with `-- Dump completed`")
    };
    if let Some(why) = &contents.broken {
        inspection.findings.push(incomplete(format!("what was read back is not a whole dump: {why}")));
    } else if !contents.is_complete {
        let message = "what was read back is not a whole dump: the line `-- Dump completed` is not at its end";
        inspection.findings.push(incomplete(message.to_owned()));
    } else if let Some(listed) = listed {
        inspection.findings.extend(missing(contents, listed).map(incomplete));
    }
    let rows: serde_json::Map<String, Value> =
        contents.tables.iter().map(|(name, rows)| (shown(name), (*rows).into())).collect();
    let facts = [
        ("tables", contents.tables.len().into()),
        ("rows", rows.into()),
        ("views", contents.views.len().into()),
        ("triggers", contents.triggers.into()),
        ("routines", contents.routines.into()),
        ("events", contents.events.into()),
    ];
    inspection.content.extend(facts.map(|(name, value)| (name.to_owned(), value)));
    if !contents.sequences.is_empty() {
        inspection.content.insert("sequences".to_owned(), contents.sequences.len().into());
    }
    if let Some((file, position)) = &contents.log {
        let log = json!({ "file": file, "position": position, "exact": true });
        inspection.content.insert("binlog".to_owned(), log);
    }
    if let Some(gtid) = &contents.gtid {
        inspection.content.insert("gtid".to_owned(), gtid.clone().into());
    }
    if let Some(version) = contents.schema_version().filter(|_| reads_version) {
        version.add_to(&mut inspection.content);
    }
    inspection
}

/// Names what the server listed and the dump does not hold.
fn missing(contents: &Contents, listed: &Catalog) -> Option<String> {
    let own = |names: &BTreeSet<Name>, what: &str, has: &dyn Fn(&Name) -> bool| {
        let of_dump = |(database, name): &Name| {
            let database = if contents.names_databases { database.clone() } else { String::new() };
            (database, name.clone())
        };
        let missing: Vec<_> = names.iter().map(of_dump).filter(|name| !has(name)).collect();
        let named = missing.iter().take(NAMED).map(shown).collect::<Vec<_>>().join(", ");
        (!missing.is_empty()).then(|| format!("{} {what} ({named})", missing.len()))
    };
    let fewer = |what: &str, found: u64, listed: u64| {
        (found < listed).then(|| format!("{} of {listed} {what}", listed - found))
    };
    let all = [
        own(&listed.tables, "tables", &|name| contents.tables.contains_key(name)),
        own(&listed.views, "views", &|name| contents.views.contains(name)),
        own(&listed.sequences, "sequences", &|name| contents.sequences.contains(name)),
        fewer("triggers", contents.triggers, listed.triggers),
        fewer("routines", contents.routines, listed.routines),
        fewer("events", contents.events, listed.events),
    ];
    let all: Vec<_> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| format!("the dump lacks what the server listed: {}", all.join(", ")))
}

/// Names a table as `expect.min_rows` does.
pub(super) fn shown((database, table): &Name) -> String {
    if database.is_empty() { table.clone() } else { format!("{database}.{table}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;

    fn codes_and_messages(sql: &str, listed: Option<&Catalog>) -> Vec<String> {
        let contents = Contents::read(&mut sql.as_bytes(), &Cancel::new()).unwrap();
        judge(&contents, listed, true)
            .findings
            .into_iter()
            .map(|finding| format!("{}: {}", finding.code, finding.message))
            .collect()
    }

    #[test]
    fn what_the_server_listed_must_be_there() {
        let name = |table: &str| ("shop".to_owned(), table.to_owned());
        let listed = Catalog {
            tables: [name("a"), name("b")].into(),
            views: [name("v")].into(),
            triggers: 2,
            ..Catalog::default()
        };
        let dump = "CREATE TABLE `a` (x int);\nCREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET @x = 1;\n-- Dump completed\n";
        let lacks =
            "content-incomplete: the dump lacks what the server listed: 1 tables (b), 1 views (v), 1 of 2 triggers";
        assert_eq!(codes_and_messages(dump, Some(&listed)), [lacks]);
        assert_eq!(
            codes_and_messages(&format!("USE `shop`;\n{dump}"), Some(&listed)),
            [lacks.replace("(b)", "(shop.b)").replace("(v)", "(shop.v)")]
        );
        // A snapshot of an earlier run is judged by itself.
        assert_eq!(codes_and_messages(dump, None), [""; 0]);
        let whole = Catalog { tables: [name("a")].into(), triggers: 1, ..Catalog::default() };
        assert_eq!(codes_and_messages(dump, Some(&whole)), [""; 0]);
    }

    #[test]
    fn a_version_by_the_user_s_own_query_stands() {
        let sql =
            "CREATE TABLE `schema_migrations` (\n  `version` text\n);\nINSERT INTO `schema_migrations` VALUES ('1');\n";
        let contents = Contents::read(&mut sql.as_bytes(), &Cancel::new()).unwrap();
        let version = |reads| judge(&contents, None, reads).content.get("schema_version").cloned();
        assert_eq!((version(true), version(false)), (Some("1".into()), None));
    }

    #[test]
    fn what_is_no_dump_is_told() {
        assert!(codes_and_messages("", None)[0].contains("`-- Dump completed` is not at its end"));
        assert!(codes_and_messages("CREATE TABLE `a`", None)[0].contains("it is cut off after 16 bytes"));
    }
}
