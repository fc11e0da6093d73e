//! Lines of the audit that were kept elsewhere, such as in the file that `[audit] file` names.

use super::super::manifest::digest;
use crate::model::audit::AuditLine;
use std::collections::BTreeMap;

/// What a file says of the lines of one environment.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The digest of each of its lines.
    pub digests: BTreeMap<u64, String>,
    /// The lines of the file that are none of an audit, counted from 1.
    pub unreadable: Vec<usize>,
}

/// Reads lines that were kept; those of other environments, which may be in the same file, are passed over.
pub fn kept(bytes: &[u8], application: &str, environment: &str) -> Kept {
    let mut kept = Kept::default();
    for (place, text) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match serde_json::from_slice::<AuditLine>(text) {
            Ok(line) if (line.application.as_str(), line.environment.as_str()) == (application, environment) => {
                let found = digest(text);
                // Two lines of one number: the first was cut off, and what is there now came after it.
                kept.digests.entry(line.number).or_insert(found);
            }
            Ok(_) => {}
            Err(_) => kept.unreadable.push(place + 1),
        }
    }
    kept
}
