//! Does the older application run on the schema that it will find?

use crate::model::manifest::Content;
use std::collections::{BTreeMap, BTreeSet};

/// What speaks against the schema that the older application will find; each text follows the name of the source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judged {
    /// It is one that the older application does not run on.
    pub unlike: Vec<String>,
    /// Nobody knows which one it is, or on which the older application runs.
    pub unknown: Vec<String>,
    /// A migration broke off half-way.
    pub unfinished: Vec<String>,
}

impl Judged {
    /// Says whether nothing speaks against it.
    pub fn fits(&self) -> bool {
        self == &Self::default()
    }
}

/// Says whether sources of a kind have a schema at all.
pub fn has_schema(kind: &str) -> bool {
    matches!(kind, "postgres" | "mysql" | "mariadb" | "sqlite")
}

/// Compares what a source will hold (`found`) with what it held while the older application ran on it (`then`, of its
/// snapshot), and with the further versions that the configuration `accepts`.
///
/// A source of several databases has a version for each; `accepts` counts for all of them.
pub fn judge(then: Option<&Content>, accepts: &[String], found: Option<&Content>) -> Judged {
    let mut judged = Judged::default();
    let Some(found) = found else {
        judged.unknown.push("nothing tells which version its schema has".to_owned());
        return judged;
    };
    let then = then.map(versions).unwrap_or_default();
    let found = versions(found);
    let databases: BTreeSet<&String> = then.keys().chain(found.keys()).collect();
    if databases.is_empty() {
        judged.unknown.push("it tells no version of its schema".to_owned());
    }
    for database in databases {
        let of = if database.is_empty() { String::new() } else { format!("{database}: ") };
        let runs_on = then.get(database).map(|told| told.version.as_str());
        let Some(told) = found.get(database) else {
            judged.unknown.push(format!("{of}it tells no version of its schema"));
            continue;
        };
        if told.is_dirty {
            judged.unfinished.push(format!("{of}a migration to {} broke off half-way", told.version));
        }
        let accepted = || accepts.iter().map(String::as_str);
        if runs_on.into_iter().chain(accepted()).any(|version| version == told.version) {
            continue;
        }
        let known: Vec<_> = runs_on.into_iter().chain(accepted()).collect();
        match known.is_empty() {
            true => judged.unknown.push(format!(
                "{of}its schema is {}, and nothing tells on which one the older version runs",
                told.version
            )),
            false => judged.unlike.push(format!(
                "{of}its schema is {}, and the older version runs on {}",
                told.version,
                known.join(", ")
            )),
        }
    }
    judged
}

/// Returns the versions of schemas that a content tells, by database; one that is the only one has no name.
pub fn versions(content: &Content) -> BTreeMap<String, Told> {
    let told = |facts: &dyn Fn(&str) -> Option<serde_json::Value>| {
        let version = match facts("schema_version")? {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        Some(Told { version, is_dirty: facts("schema_version_dirty") == Some(true.into()) })
    };
    let own = told(&|name| content.get(name).cloned()).map(|told| (String::new(), told));
    let databases = content.get("databases").and_then(serde_json::Value::as_object);
    let each = databases
        .into_iter()
        .flatten()
        .filter_map(|(database, facts)| Some((database.clone(), told(&|name| facts.get(name).cloned())?)));
    own.into_iter().chain(each).collect()
}

/// A version of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The version.
    pub version: String,
    /// Whether a migration broke off half-way.
    pub is_dirty: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn content(value: serde_json::Value) -> Content {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_case_of_then_and_now() {
        let version = |version: &str| json!({ "schema_version": version });
        let (none, old) = (json!({}), version("41"));
        for (then, accepts, found, expected) in [
            (Some(&old), &[][..], Some(version("41")), "fits"),
            (Some(&old), &[], Some(version("42")), "unlike"),
            (Some(&old), &["42"], Some(version("42")), "fits"),
            (Some(&old), &["43"], Some(version("42")), "unlike"),
            // Older than the snapshot is as wrong as newer: who knows what it lacks.
            (Some(&old), &[], Some(version("40")), "unlike"),
            (Some(&old), &[], Some(json!({ "schema_version": 41 })), "fits"),
            (Some(&old), &[], Some(none.clone()), "unknown"),
            (Some(&old), &["42"], None, "unknown"),
            (Some(&none), &[], Some(version("41")), "unknown"),
            (Some(&none), &["41"], Some(version("41")), "fits"),
            (Some(&none), &["40"], Some(version("41")), "unlike"),
            (Some(&none), &[], Some(none.clone()), "unknown"),
            (None, &[], Some(version("41")), "unknown"),
            (None, &["41"], Some(version("41")), "fits"),
            (None, &["41"], Some(version("42")), "unlike"),
            (Some(&old), &[], Some(json!({ "schema_version": "41", "schema_version_dirty": true })), "unfinished"),
            (
                Some(&json!({ "databases": { "a": { "schema_version": "1" }, "b": { "schema_version": "2" } } })),
                &[],
                Some(json!({ "databases": { "a": { "schema_version": "1" }, "b": { "schema_version": "2" } } })),
                "fits",
            ),
            (
                Some(&json!({ "databases": { "a": { "schema_version": "1" }, "b": { "schema_version": "2" } } })),
                &[],
                Some(json!({ "databases": { "a": { "schema_version": "1" }, "b": { "schema_version": "1" } } })),
                "unlike",
            ),
            (
                Some(&json!({ "databases": { "a": { "schema_version": "1" } } })),
                &[],
                Some(json!({ "databases": { "a": {} } })),
                "unknown",
            ),
        ] {
            let then = then.cloned().map(content);
            let accepts: Vec<_> = accepts.iter().map(|&version: &&str| version.to_owned()).collect();
            let found = found.map(content);
            let judged = judge(then.as_ref(), &accepts, found.as_ref());
            let said = [
                (judged.fits(), "fits"),
                (!judged.unlike.is_empty(), "unlike"),
                (!judged.unknown.is_empty(), "unknown"),
                (!judged.unfinished.is_empty(), "unfinished"),
            ];
            let said: Vec<_> = said.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
            assert_eq!(said, [expected], "{then:?} {accepts:?} {found:?}: {judged:?}");
        }
    }

    #[test]
    fn the_words_name_what_is_and_what_should_be() {
        let then = content(json!({ "schema_version": "41" }));
        let now = content(json!({ "schema_version": "43" }));
        let judged = judge(Some(&then), &["42".to_owned()], Some(&now));
        assert_eq!(judged.unlike, ["its schema is 43, and the older version runs on 41, 42"]);
    }
}
