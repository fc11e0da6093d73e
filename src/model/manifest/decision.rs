//! The verdict of a run, and what led to it.

use super::DateTime;
use crate::model::finding::{Finding, FindingCode};
use crate::model::rule::Rule;
use crate::model::verdict::Verdict;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The verdict and all that led to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// Whether the deploy may go on.
    pub result: Verdict,
    /// The exit code of the run.
    pub exit_code: u8,
    /// Every finding, refusals first.
    pub findings: Vec<Finding>,
    /// What the rules said.
    pub policy: Policy,
    /// Who took it upon themselves to go on all the same.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "override")]
    pub overridden: Option<Override>,
    /// The change ticket, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
}

/// The rules behind a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// The digest of the configuration that was in force, `sha256:…`; absent without a configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<String>,
    /// The names of the rules that decided something.
    pub rules_fired: Vec<String>,
    /// The same rules with what they looked at and what they decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// What the release had to have, as `require` names it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<String>,
    /// How many persons must approve before the release is admitted; absent if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<u32>,
}

/// A refusal that a person turned into a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Override {
    /// Why.
    pub reason: String,
    /// Who answers for it.
    pub approved_by: String,
    /// The change ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// When.
    #[schemars(with = "DateTime")]
    pub at: Timestamp,
    /// The codes of the refusals that were set aside.
    #[serde(default)]
    pub codes: Vec<FindingCode>,
    /// Until when the pass counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub expires_at: Option<Timestamp>,
    /// The fingerprint of the key by which they proved who they are; without it the name is what the caller wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Their signature, which was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}
