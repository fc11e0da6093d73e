//! Keys, schema and parser know of each other.

use super::super::audit::AUDIT;
use super::super::keys::{
    BASE_BACKUP, CHECK, DISCOVERY, DRILL, ENVIRONMENT, EXPECT, Form, GATE, PROBES, RETRY, ROLLBACK, ROOT, SOURCES,
    Section,
};
use super::super::overrides::OVERRIDE;
use super::super::policy::{POLICY, RAISE, SEVERITY_POLICY, TIER_POLICY};
use super::super::retention::{FLOOR, RETENTION};
use super::super::stores::{CACHE, COPY, OBJECT_LOCK, STORE};
use super::super::webhooks::WEBHOOK;
use super::super::windows::{BLACKOUT, WINDOW};
use super::*;
use std::collections::BTreeMap;

/// Every table of the file: how it is written, and the keys that it has.
fn tables() -> Vec<(String, &'static Section)> {
    let mut tables = vec![
        (String::new(), &ROOT),
        ("[store]\n".to_owned(), &STORE),
        ("[store.cache]\n".to_owned(), &CACHE),
        ("[store.object_lock]\n".to_owned(), &OBJECT_LOCK),
        ("[store.copies.far]\n".to_owned(), &COPY),
        ("[discovery]\n".to_owned(), &DISCOVERY),
        ("[[webhook]]\n".to_owned(), &WEBHOOK),
        ("[[override]]\n".to_owned(), &OVERRIDE),
        ("[audit]\n".to_owned(), &AUDIT),
        ("[gate]\n".to_owned(), &GATE),
        ("[gate.retry]\n".to_owned(), &RETRY),
        ("[retention]\n".to_owned(), &RETENTION),
        ("[retention.floor]\n".to_owned(), &FLOOR),
        ("[drill]\n".to_owned(), &DRILL),
        ("[[drill.check]]\n".to_owned(), &CHECK),
        ("[policy]\n".to_owned(), &POLICY),
        ("[policy.patch]\n".to_owned(), &SEVERITY_POLICY),
        ("[policy.patch.tier.t]\n".to_owned(), &TIER_POLICY),
        ("[[policy.raise]]\n".to_owned(), &RAISE),
        ("[environment.e]\n".to_owned(), &ENVIRONMENT),
        ("[environment.e.rollback]\n".to_owned(), &ROLLBACK),
        ("[[environment.e.window]]\n".to_owned(), &WINDOW),
        ("[[environment.e.blackout]]\n".to_owned(), &BLACKOUT),
        ("[[source]]\nkind = \"sqlite\"\nname = \"a\"\npath = \"p\"\n[source.expect]\n".to_owned(), &EXPECT),
        (
            "[[source]]\nkind = \"postgres\"\nname = \"a\"\nurl = \"u\"\nmethod = \"restore-point\"\n[source.base_backup]\n"
                .to_owned(),
            &BASE_BACKUP,
        ),
    ];
    tables.extend(SOURCES.iter().map(|kind| (format!("[[source]]\nkind = \"{}\"\n", kind.name), &kind.section)));
    tables.extend(
        PROBES.iter().map(|kind| (format!("[environment.e.deployed]\nkind = \"{}\"\n", kind.name), &kind.section)),
    );
    tables
}

#[test]
fn every_known_key_is_read() {
    for (head, section) in tables() {
        for key in section.all().filter(|key| key.name != "kind") {
            // No key takes a date: whoever reads the key minds it.
            let text = format!("{head}{} = 1979-05-27\n", key.name);
            let minded = mistakes(&text)
                .iter()
                .any(|mistake| mistake.contains("not a date") || mistake.contains("belongs to method"));
            assert!(minded, "nobody reads `{}` of {}", key.name, section.name);
        }
    }
}

#[test]
fn every_key_of_the_file_is_in_the_schema_and_the_other_way_round() {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let as_json = |text: &str| serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
    let errors: Vec<_> = validator.iter_errors(&as_json(WHOLE)).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");

    // The whole file uses every key: so the schema lacks none of them, and each of its keys is accepted.
    let mut used = Vec::new();
    keys_of(&as_json(WHOLE), &mut used);
    for (_, section) in tables() {
        for key in section.all() {
            assert!(used.iter().any(|name| name == key.name), "tests/whole.toml does not use `{}`", key.name);
        }
    }
    for (head, section) in tables() {
        let text = format!("{head}no_such_key = 1\n");
        assert!(mistakes(&text).iter().any(|mistake| mistake.contains("no_such_key")), "{}", section.name);
        assert!(!validator.is_valid(&as_json(&text)), "{}", section.name);
        for later in section.later {
            let text = format!("{head}{later} = 1\n");
            let known = mistakes(&text).iter().any(|mistake| mistake.contains("is not supported by this version"));
            assert!(known, "{later}");
            assert!(!validator.is_valid(&as_json(&text)), "{later}");
        }
    }
}

fn keys_of(value: &serde_json::Value, keys: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                keys.push(key.clone());
                keys_of(value, keys);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| keys_of(item, keys)),
        _ => {}
    }
}

#[test]
fn a_section_names_each_key_once() {
    for (_, section) in tables() {
        let mut seen = BTreeMap::new();
        for key in section.all() {
            assert!(seen.insert(key.name, ()).is_none(), "{} of {}", key.name, section.name);
            assert!(!section.later.contains(&key.name));
            assert!(!matches!(key.form, Form::Kinds(kinds) if kinds.is_empty()));
        }
    }
}
