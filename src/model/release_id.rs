//! The identifier of one run of the gate: sorts by time, names the version, never repeats.

use super::version::Version;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Characters that may stand in a path component as they are.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'+').remove(b'~');

/// Encodes a name so that it is one component of a path or an object key: `review/x` becomes `review%2Fx`.
pub fn path_component(name: &str) -> String {
    let encoded = utf8_percent_encode(name, PLAIN).to_string();
    // `.` and `..` are not names.
    if encoded.chars().all(|c| c == '.') { encoded.replace('.', "%2E") } else { encoded }
}

/// An identifier such as `20261120T213000Z-1.4.0-3f9c2ab1`: time, version and eight random hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ReleaseId(String);

/// Why a text is not a release identifier.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a release id (such as 20261120T213000Z-1.4.0-3f9c2ab1)")]
pub struct InvalidReleaseId(String);

impl ReleaseId {
    /// Creates the identifier of a run that started at `at`, with `random` to tell it from all others.
    pub fn new(at: Timestamp, version: &Version, random: [u8; 4]) -> Self {
        let time = at.strftime("%Y%m%dT%H%M%SZ");
        Self(format!("{time}-{}-{}", path_component(version.as_str()), hex::encode(random)))
    }

    /// Reads an identifier; the parts are checked, so that it is safe in a path.
    ///
    /// # Errors
    /// The text has another form.
    pub fn parse(text: &str) -> Result<Self, InvalidReleaseId> {
        let invalid = || InvalidReleaseId(text.to_owned());
        let (time, rest) = text.split_once('-').ok_or_else(invalid)?;
        let (version, random) = rest.rsplit_once('-').ok_or_else(invalid)?;
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let time_ok = time.len() == 16
            && time.is_ascii()
            && digits(&time[..8])
            && &time[8..9] == "T"
            && digits(&time[9..15])
            && time.ends_with('Z');
        let random_ok = random.len() == 8 && random.bytes().all(|b| b.is_ascii_hexdigit());
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._+~%".contains(&b);
        if time_ok && random_ok && !version.is_empty() && version.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid())
        }
    }

    /// Returns the identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns when the run started, to the second; `None` if the digits are not a time.
    pub fn started_at(&self) -> Option<Timestamp> {
        let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", self.0.get(..16)?).ok()?;
        time.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    }

    /// Returns `YYYY/MM/DD` of the start, the folders under which the release is kept.
    pub fn date_path(&self) -> String {
        let date = self.0.get(..8).unwrap_or("00000000");
        format!("{}/{}/{}", &date[..4], &date[4..6], &date[6..8])
    }
}

impl TryFrom<String> for ReleaseId {
    type Error = InvalidReleaseId;

    fn try_from(text: String) -> Result<Self, InvalidReleaseId> {
        Self::parse(&text)
    }
}

impl From<ReleaseId> for String {
    fn from(id: ReleaseId) -> Self {
        id.0
    }
}

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::version::Versioning;
    use super::*;

    #[test]
    fn an_id_reads_back_and_is_safe_in_a_path() {
        let version = Version::parse("feature/ä 1", Versioning::Opaque).unwrap();
        let at: Timestamp = "2026-11-20T21:30:00Z".parse().unwrap();
        let id = ReleaseId::new(at, &version, [0x3f, 0x9c, 0x2a, 0xb1]);
        assert_eq!(id.as_str(), "20261120T213000Z-feature%2F%C3%A4%201-3f9c2ab1");
        assert_eq!(id.date_path(), "2026/11/20");
        assert_eq!(ReleaseId::parse(id.as_str()).unwrap(), id);
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in ["", "x", "../../etc/passwd", "20261120T213000Z-../x-3f9c2ab1", "20261120T213000Z--3f9c2ab1"] {
            assert!(ReleaseId::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_become_one_component() {
        assert_eq!(path_component("review/x"), "review%2Fx");
        assert_eq!(path_component(".."), "%2E%2E");
        assert_eq!(path_component("production"), "production");
    }
}
