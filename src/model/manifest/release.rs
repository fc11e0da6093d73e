//! What is released: from which version to which, and which CI run asked.

use super::DateTime;
use crate::model::version::Version;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One version on its way into one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Release {
    /// What ran before.
    pub from: From,
    /// What is to run.
    pub to: To,
}

/// What ran before the release, as far as it could be observed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct From {
    /// The version; absent for a first release, or where nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// Its commit, where the probe or the ledger tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// When it was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub observed_at: Option<Timestamp>,
    /// How it became known.
    pub probe: ProbeKind,
    /// What each instance answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Instance>,
}

/// How the deployed version became known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// The running application answered over HTTP.
    Http,
    /// A configured command printed it.
    Command,
    /// A configured file holds it.
    File,
    /// The cluster's API told it.
    Kubernetes,
    /// The caller said so, by `--from` or `--deployed`.
    Given,
    /// The caller said that nothing is deployed, by `--first`.
    First,
    /// Nothing could observe it.
    None,
}

/// What one instance of the application answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// Its address without user information, or the command or file that was asked.
    pub name: String,
    /// The version, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The commit, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Why it gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What is to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct To {
    /// The version.
    pub version: Version,
    /// The commit, in full.
    pub commit: String,
    /// The branch or tag, if known.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "ref")]
    pub reference: Option<String>,
    /// How large a step this is.
    pub severity: Severity,
    /// Paths that changed since the deployed commit, where git can tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed_paths: Vec<String>,
}

/// How large a step a release is, by its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is deployed yet.
    First,
    /// Only the patch number rises.
    Patch,
    /// The minor number rises.
    Minor,
    /// The major number rises.
    Major,
    /// To, from or between pre-releases of one version.
    PreRelease,
    /// The version goes down.
    Downgrade,
    /// The version is the one that runs.
    Same,
    /// The versions do not tell.
    Unknown,
}

impl Severity {
    /// Every severity.
    pub const ALL: [Self; 8] = [
        Self::First,
        Self::Patch,
        Self::Minor,
        Self::Major,
        Self::PreRelease,
        Self::Downgrade,
        Self::Same,
        Self::Unknown,
    ];

    /// Returns the word for it, as in `[policy.pre-release]`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Patch => "patch",
            Self::Minor => "minor",
            Self::Major => "major",
            Self::PreRelease => "pre-release",
            Self::Downgrade => "downgrade",
            Self::Same => "same",
            Self::Unknown => "unknown",
        }
    }
}

/// The CI run that asked; all fields are absent outside of CI.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pipeline {
    /// The CI system, such as `github`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// A link to the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_url: Option<String>,
    /// Who started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Which attempt of the same run it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<String>,
    /// The repository that is deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}
