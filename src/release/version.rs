//! Versions and commits as people and programs give them.

use crate::model::release_id::path_component;
use crate::model::version::{Version, VersionError, Versioning};

/// The longest a version may be in the name of a record: names of files end at 255 bytes, and identifiers add to it.
const LONGEST: usize = 200;

/// Reads a version; says in words why a text is none.
pub(super) fn read(text: &str, versioning: Versioning) -> Result<Version, String> {
    let text = text.trim();
    if text.contains(char::is_control) {
        return Err(format!("{} is not a version: it has line breaks or other control characters", excerpt(text)));
    }
    if path_component(text).len() > LONGEST {
        return Err(format!("{} is too long for a version", excerpt(text)));
    }
    Version::parse(text, versioning).map_err(|error| match error {
        VersionError::Empty => error.to_string(),
        VersionError::NotSemver { source, .. } => format!("{} is not a semantic version ({source})", excerpt(text)),
    })
}

/// Says whether a text can be a commit: 7 to 64 hexadecimal digits.
pub(super) fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Returns the beginning of a text in backticks, with control characters escaped.
pub(super) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 60;
    let start: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().count() > SHOWN { format!("`{start}…`") } else { format!("`{start}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_version_is_explained() {
        for (text, versioning, expected) in [
            ("", Versioning::Opaque, "the version is empty"),
            ("a\nb", Versioning::Opaque, "`a\\nb` is not a version: it has line breaks or other control characters"),
            (
                "1.4",
                Versioning::Semver,
                "`1.4` is not a semantic version (unexpected end of input while parsing minor version number)",
            ),
        ] {
            assert_eq!(read(text, versioning).unwrap_err(), expected);
        }
        assert!(read(&"ä".repeat(80), Versioning::Opaque).unwrap_err().ends_with("…` is too long for a version"));
        assert_eq!(read(" v1.4.0\n", Versioning::Semver).unwrap().as_str(), "v1.4.0");
    }

    #[test]
    fn commits_are_hexadecimal() {
        assert!(is_commit("3f9c2ab") && is_commit(&"a".repeat(64)));
        assert!(!is_commit("3f9c2a") && !is_commit("HEAD123") && !is_commit(&"a".repeat(65)) && !is_commit(""));
    }
}
