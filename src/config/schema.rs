//! The JSON Schema of the configuration, made from the keys that the parser knows.

use super::keys::{Form, Key, Kind, ROOT, Section};
use serde_json::{Map, Value, json};

/// Returns the JSON Schema (draft 2020-12) of `holdpoint.toml`, for `holdpoint schema config` and for editors.
pub fn schema() -> Value {
    let mut schema = section(&ROOT, None);
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("holdpoint.toml"));
    schema.insert("$defs".to_owned(), json!({ "text": text() }));
    Value::Object(schema)
}

/// A string, or where it is kept.
fn text() -> Value {
    let place = |key: &str| {
        json!({
            "type": "object",
            "properties": { key: { "type": "string", "minLength": 1 } },
            "required": [key],
            "additionalProperties": false
        })
    };
    json!({ "oneOf": [{ "type": "string" }, place("env"), place("file")] })
}

fn text_like(example: &str) -> Value {
    json!({ "$ref": "#/$defs/text", "examples": [example] })
}

fn section(section: &Section, kind: Option<&str>) -> Map<String, Value> {
    let properties: Map<_, _> = section.all().map(|key| (key.name.to_owned(), property(key, kind))).collect();
    let required: Vec<_> = section.all().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.insert("additionalProperties".to_owned(), json!(false));
    schema
}

fn property(key: &Key, kind: Option<&str>) -> Value {
    let mut schema = match kind {
        Some(kind) if key.name == "kind" => json!({ "const": kind }),
        _ => form(&key.form),
    };
    if let Value::Object(fields) = &mut schema {
        fields.insert("description".to_owned(), json!(key.doc));
    }
    schema
}

fn form(form_of_value: &Form) -> Value {
    match form_of_value {
        Form::Name => json!({ "type": "string", "minLength": 1 }),
        Form::Argument => json!({ "type": "string" }),
        Form::Text => json!({ "$ref": "#/$defs/text" }),
        Form::Choice(words) => {
            json!({ "anyOf": [{ "enum": words }, { "$ref": "#/$defs/text", "not": { "type": "string" } }] })
        }
        Form::Boolean => json!({ "type": "boolean" }),
        Form::Integer(least) => json!({ "type": "integer", "minimum": least }),
        Form::Duration => text_like("15m"),
        Form::Bytes => json!({
            "oneOf": [{ "type": "integer", "minimum": 0 }, { "$ref": "#/$defs/text" }],
            "examples": ["1MiB"]
        }),
        Form::Percent => text_like("30%"),
        Form::Either(one, other) => json!({ "anyOf": [form(one), form(other)] }),
        Form::List(item, least) => json!({ "type": "array", "items": form(item), "minItems": least }),
        Form::Map(item) => json!({ "type": "object", "additionalProperties": form(item) }),
        Form::Table(of) => Value::Object(section(of, None)),
        Form::Kinds(kinds) => json!({ "oneOf": kinds.iter().map(kind).collect::<Vec<_>>() }),
    }
}

fn kind(kind: &Kind) -> Value {
    Value::Object(section(&kind.section, Some(kind.name)))
}
