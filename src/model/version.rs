//! Versions of an application, and how two of them compare.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How the configuration wants versions to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versioning {
    /// Semantic versions (semver.org), with or without a leading `v`.
    #[default]
    Semver,
    /// Any text, compared for equality.
    Opaque,
}

/// One version, as it was written, with its semantic reading where it has one.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Version {
    text: String,
    semver: Option<semver::Version>,
}

/// Why a text is not a version.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// Nothing was given.
    #[error("the version is empty")]
    Empty,
    /// The text is not a semantic version.
    #[error("`{text}` is not a semantic version")]
    NotSemver {
        /// What was given.
        text: String,
        /// What the parser minds.
        source: semver::Error,
    },
}

impl Version {
    /// Reads a version; surrounding white space is ignored.
    ///
    /// # Errors
    /// An empty text, or one that is not semver where `versioning` demands it.
    pub fn parse(text: &str, versioning: Versioning) -> Result<Self, VersionError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(VersionError::Empty);
        }
        let semver = match versioning {
            Versioning::Opaque => None,
            Versioning::Semver => {
                Some(parse_semver(text).map_err(|source| VersionError::NotSemver { text: text.to_owned(), source })?)
            }
        };
        Ok(Self { text: text.to_owned(), semver })
    }

    /// Returns the version as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the semantic reading, unless versions are opaque.
    pub fn semver(&self) -> Option<&semver::Version> {
        self.semver.as_ref()
    }

    /// Says whether both name the same release: `v1.4.0` is `1.4.0`, and build metadata does not count.
    pub fn is_same_release(&self, other: &Self) -> bool {
        match (&self.semver, &other.semver) {
            (Some(one), Some(two)) => one.cmp_precedence(two).is_eq(),
            _ => self.text == other.text,
        }
    }

    /// Says whether both name the same build of the same release: here build metadata counts.
    pub fn is_same_build(&self, other: &Self) -> bool {
        match (&self.semver, &other.semver) {
            (Some(one), Some(two)) => one == two,
            _ => self.text == other.text,
        }
    }

    /// Says whether the build metadata, where both have it, tell two builds of one release.
    pub fn may_be_same_build(&self, other: &Self) -> bool {
        let is_stripped = [self, other]
            .into_iter()
            .any(|version| version.semver.as_ref().is_none_or(|semver| semver.build.is_empty()));
        self.is_same_release(other) && (is_stripped || self.is_same_build(other))
    }
}

fn parse_semver(text: &str) -> Result<semver::Version, semver::Error> {
    let number = text.strip_prefix(['v', 'V']).unwrap_or(text);
    semver::Version::parse(number)
}

impl From<String> for Version {
    /// Reads a version from a document, whose kind of versioning is not known: semver where it can be.
    fn from(text: String) -> Self {
        let semver = parse_semver(&text).ok();
        Self { text, semver }
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.text
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn semver(text: &str) -> Version {
        Version::parse(text, Versioning::Semver).unwrap()
    }

    #[test]
    fn a_leading_v_and_build_metadata_do_not_make_another_release() {
        assert!(semver("v1.4.0").is_same_release(&semver("1.4.0")));
        assert!(semver("1.4.0+build.7").is_same_release(&semver("1.4.0")));
        assert!(!semver("1.4.0-rc.1").is_same_release(&semver("1.4.0")));
        assert_eq!(semver(" v1.4.0+b ").to_string(), "v1.4.0+b");
    }

    #[test]
    fn build_metadata_tell_builds_of_one_release_apart() {
        assert!(semver("v1.4.0+7").is_same_build(&semver("1.4.0+7")));
        assert!(!semver("1.4.0+7").is_same_build(&semver("1.4.0+8")));
        assert!(!semver("1.4.0+7").is_same_build(&semver("1.4.0")));
        // Tags of images, for one, have no place for it.
        assert!(semver("1.4.0+7").may_be_same_build(&semver("1.4.0")));
        assert!(!semver("1.4.0+7").may_be_same_build(&semver("1.4.0+8")));
        assert!(!semver("1.4.0").may_be_same_build(&semver("1.4.1")));
    }

    #[test]
    fn opaque_versions_compare_as_text() {
        let opaque = |text| Version::parse(text, Versioning::Opaque).unwrap();
        assert!(opaque("2026-11-a").is_same_release(&opaque("2026-11-a")));
        assert!(!opaque("v1.0.0").is_same_release(&opaque("1.0.0")));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        assert!(matches!(Version::parse("1.4", Versioning::Semver), Err(VersionError::NotSemver { .. })));
        assert!(matches!(Version::parse("  ", Versioning::Opaque), Err(VersionError::Empty)));
    }
}
