//! JSON Schemas, generated from the types.

use super::verdict::VerdictDocument;
use crate::model::manifest::Manifest;
use schemars::{JsonSchema, Schema, generate::SchemaSettings};

/// Returns the schema of a rollback manifest.
pub fn manifest_schema() -> Schema {
    schema::<Manifest>("urn:holdpoint:schema:manifest:1")
}

/// Returns the schema of the document that `--format json` prints.
pub fn verdict_schema() -> Schema {
    schema::<VerdictDocument>("urn:holdpoint:schema:verdict:1")
}

/// Generates the schema (JSON Schema 2020-12) of what `T` writes.
fn schema<T: JsonSchema>(id: &str) -> Schema {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), id.into());
    schema
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::model::finding::{Finding, FindingCode};

    fn accepts(schema: &Schema, document: &serde_json::Value) -> bool {
        jsonschema::validator_for(schema.as_value()).unwrap().is_valid(document)
    }

    #[test]
    fn the_manifest_schema_accepts_what_we_write_and_no_other() {
        let schema = manifest_schema();
        for manifest in [sample::passed(), sample::refused(), sample::hostile()] {
            let mut json = serde_json::to_value(&manifest).unwrap();
            assert!(accepts(&schema, &json));
            json["state"] = "maybe".into();
            assert!(!accepts(&schema, &json));
        }
    }

    #[test]
    fn the_verdict_schema_accepts_what_we_print() {
        let findings = vec![Finding::refusal(FindingCode::SizeShrank, "x").of_source("uploads")];
        let document = serde_json::to_value(VerdictDocument::of_findings("doctor", findings)).unwrap();
        assert_eq!((&document["verdict"], &document["exit_code"]), (&"refuse".into(), &12.into()));
        assert!(accepts(&verdict_schema(), &document));
        let document = VerdictDocument::of_manifest("gate", &sample::passed(), Some("m.json".into()));
        assert!(accepts(&verdict_schema(), &serde_json::to_value(document).unwrap()));
        assert!(!accepts(&verdict_schema(), &serde_json::json!({"verdict": "pass"})));
    }
}
