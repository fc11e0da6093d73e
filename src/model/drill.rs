//! A drill: a restore into an isolated place, with checks and a measured recovery time.

use super::finding::Finding;
use super::manifest::Content;
use super::release_id::ReleaseId;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a drill found, as the ledger records it and a key signs it.
///
/// It names what it is about, so that the record of one release cannot pass for that of another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// The application.
    pub application: String,
    /// The environment whose release was restored.
    pub environment: String,
    /// The release.
    pub release: ReleaseId,
    /// The digest of its manifest, `sha256:…`.
    pub manifest_digest: String,
    /// Whether everything was restored, isolated, right, in time, and cleaned up.
    pub result: DrillResult,
    /// Which password opened the repository.
    pub key: DrillKey,
    /// Who asked.
    pub by: String,
    /// When it began.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// The recovery time in seconds: from its beginning to the end of the last check.
    pub seconds: f64,
    /// The recovery time that the environment promises, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<u64>,
    /// How old the oldest of the restored data was when the drill began, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_age_seconds: Option<f64>,
    /// How old the data may be, as the environment promises, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<u64>,
    /// What became of each source.
    pub sources: Vec<DrilledSource>,
    /// What became of the checks that the configuration asks for.
    pub checks: Vec<DrilledCheck>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// The version of holdpoint.
    pub tool_version: String,
}

/// How a drill, or a part of it, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrillResult {
    /// As it should.
    Passed,
    /// Not as it should; a finding says why.
    Failed,
    /// It was not come to.
    NotTried,
}

impl DrillResult {
    /// Returns the words for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NotTried => "not tried",
        }
    }
}

/// Which password opened the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrillKey {
    /// The one that every gate uses.
    Daily,
    /// The one that lies in escrow: the daily one was not used.
    Escrow,
}

/// One source of a drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrilledSource {
    /// Its name.
    pub name: String,
    /// Its kind, such as `postgres`.
    pub kind: String,
    /// Its snapshot, 64 hexadecimal digits.
    pub snapshot: String,
    /// Where it was restored to, in words.
    pub place: String,
    /// What became of it.
    pub result: DrillResult,
    /// Its size as captured, in bytes.
    pub bytes: u64,
    /// How long its restore took, with the making of the place, in seconds.
    pub seconds: f64,
    /// What the restored data say of themselves.
    #[serde(default)]
    pub content: Content,
}

/// One check of the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DrilledCheck {
    /// Its name.
    pub name: String,
    /// The source that it looks at; absent for one that looks at all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What became of it.
    pub result: DrillResult,
    /// What was expected, in words.
    pub expected: String,
    /// What was answered, without secrets: a right answer of up to 64 characters, or a wrong one, cut after 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
}
