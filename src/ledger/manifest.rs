//! Reading a manifest: from bytes that anyone may have written, to a [`Manifest`] or a clear refusal.

use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::{Manifest, SCHEMA_VERSION};
use serde::Deserialize;
use serde_json::error::Category;
use sha2::{Digest, Sha256};

/// The part of a manifest that is read before the rest: a newer schema must not be reported as a missing field.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    schema_version: serde_json::Value,
}

/// Reads a manifest; `origin` is the file or object it came from, for messages.
///
/// # Errors
/// `manifest-invalid`: truncated, not JSON, of another schema, a missing field, or an enum value that is unknown here.
pub fn parse(bytes: &[u8], origin: &str) -> Result<Manifest> {
    let head: Head = serde_json::from_slice(bytes).map_err(|error| unreadable(error, bytes, origin))?;
    match head.schema_version.as_u64() {
        Some(version) if version == u64::from(SCHEMA_VERSION) => {}
        Some(version) if version > u64::from(SCHEMA_VERSION) => {
            let message = format!(
                "manifest {origin} has schema_version {version}, newer than the {SCHEMA_VERSION} that this holdpoint reads"
            );
            return Err(Error::new(ErrorCode::ManifestInvalid, message)
                .hint("use the holdpoint version that wrote the manifest, or a newer one"));
        }
        _ => {
            let message = match &head.schema_version {
                serde_json::Value::Null => format!("manifest {origin} has no schema_version"),
                other => format!("manifest {origin} has the unknown schema_version {other}"),
            };
            return Err(Error::new(ErrorCode::ManifestInvalid, message)
                .hint("name a manifest.json that holdpoint wrote, or a release with --id"));
        }
    }
    serde_json::from_slice(bytes).map_err(|error| unreadable(error, bytes, origin))
}

/// Returns the digest by which the ledger names a manifest: `sha256:` and 64 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn unreadable(error: serde_json::Error, bytes: &[u8], origin: &str) -> Error {
    let (what, hint) = match error.classify() {
        Category::Eof if bytes.trim_ascii().is_empty() => {
            ("is empty", "fetch the manifest again; the ledger holds the original")
        }
        Category::Eof => ("is truncated", "fetch the manifest again; the ledger holds the original"),
        Category::Syntax | Category::Io => {
            ("is not JSON", "name a manifest.json that holdpoint wrote, or a release with --id")
        }
        Category::Data => (
            "is not a valid rollback manifest",
            "manifests are never edited: fetch it again, or use the holdpoint version that wrote it",
        ),
    };
    Error::new(ErrorCode::ManifestInvalid, format!("manifest {origin} {what}")).caused_by(error).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use proptest::prelude::*;

    fn refused(bytes: &[u8]) -> String {
        let error = parse(bytes, "m.json").unwrap_err();
        assert_eq!(error.code(), ErrorCode::ManifestInvalid);
        assert!(!error.hints().is_empty());
        error.chain()
    }

    /// The sample with one member replaced, or removed by `null`.
    fn with(pointer: &str, value: serde_json::Value) -> Vec<u8> {
        let mut json = serde_json::to_value(sample::passed("20261120T213000Z-1.4.0-3f9c2ab1")).unwrap();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            serde_json::Value::Null => parent.remove(name),
            value => parent.insert(name.to_owned(), value),
        };
        serde_json::to_vec(&json).unwrap()
    }

    #[test]
    fn what_was_written_reads_back() {
        let manifest = sample::passed("20261120T213000Z-1.4.0-3f9c2ab1");
        assert_eq!(parse(&manifest.to_json().unwrap(), "m.json").unwrap(), manifest);
    }

    #[test]
    fn each_kind_of_damage_has_its_own_words() {
        let json = sample::passed("20261120T213000Z-1.4.0-3f9c2ab1").to_json().unwrap();
        assert!(refused(&json[..json.len() / 2]).contains("m.json is truncated"));
        assert!(refused(b"").contains("m.json is empty"));
        assert!(refused(b"<html>").contains("m.json is not JSON"));
        assert!(refused(b"{}").contains("no schema_version"));
        assert!(refused(b"[]").contains("no schema_version"));
        assert!(refused(b"7").contains("not a valid rollback manifest"));
        assert!(refused(&with("/schema_version", 2.into())).contains("schema_version 2, newer than the 1"));
        assert!(refused(&with("/schema_version", "1".into())).contains("unknown schema_version"));
        assert!(refused(&with("/schema_version", 0.into())).contains("unknown schema_version 0"));
        assert!(refused(&with("/state", "maybe".into())).contains("unknown variant `maybe`"));
        assert!(refused(&with("/decision", serde_json::Value::Null)).contains("missing field `decision`"));
        assert!(refused(&with("/id", "../../etc/passwd".into())).contains("is not a release id"));
    }

    #[test]
    fn a_newer_schema_is_told_before_its_unknown_fields() {
        assert!(refused(br#"{"schema_version": 9, "entirely": "different"}"#).contains("schema_version 9, newer"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes, "m.json");
        }

        #[test]
        fn mutated_manifests_never_panic(cut in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
                                         byte in any::<u8>(), truncate in any::<bool>()) {
            let mut json = sample::passed("20261120T213000Z-1.4.0-3f9c2ab1").to_json().unwrap();
            let at = at.index(json.len());
            json[at] = byte;
            if truncate {
                json.truncate(cut.index(json.len()));
            }
            match parse(&json, "m.json") {
                Ok(manifest) => drop(manifest.id.date_path()),
                Err(error) => prop_assert_eq!(error.code(), ErrorCode::ManifestInvalid),
            }
        }
    }
}
