//! The rollback manifest: what to go back to, how, in which order, and what will be lost (design §6).
//!
//! Plain JSON for people and programs. Times are RFC 3339 in UTC, digests `sha256:…`, sizes bytes, durations seconds.
//! Readers reject a major `schema_version` or an enum value that they do not know.

mod decision;
mod release;
mod source;
mod store;
mod way_back;

pub use decision::{Decision, Override, Policy};
pub use release::{From, Instance, Pipeline, ProbeKind, Release, Severity, To};
pub use source::{
    Attempt, Change, Consistency, Content, SnapshotRecord, SourceOutcome, SourceRecord, StandIn, Verification,
    VerifyMode,
};
pub use store::{CopyRecord, CopyState, LockMode, ObjectLock, StoreRecord};
pub use way_back::{Commands, Measured, Objectives, Playbook, Reconciliation, Step};

use super::audit::AuditLink;
use super::release_id::ReleaseId;
use super::version::Version;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The schema that this program writes, and the newest that it reads.
pub const SCHEMA_VERSION: u32 = 1;

/// The record of one run of the gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// The major version of this schema.
    pub schema_version: u32,
    /// The identifier of the release.
    pub id: ReleaseId,
    /// What the run was for.
    #[serde(default)]
    pub purpose: Purpose,
    /// How the run ended.
    pub state: State,
    /// When the manifest was written.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
    /// The program that wrote it.
    pub tool: Tool,
    /// The record before this one in the environment's ledger; absent in the first, and in runs that never held the lease.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// The newest line of the environment's audit before the one of this run; absent where it was not looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditLink>,
    /// What is deployed.
    pub application: String,
    /// Where it is deployed.
    pub environment: Environment,
    /// From which version to which.
    pub release: Release,
    /// The CI run that asked.
    pub pipeline: Pipeline,
    /// The verdict and all that led to it.
    pub decision: Decision,
    /// What was captured, in the order in which it would be restored.
    pub sources: Vec<SourceRecord>,
    /// Where the snapshots are.
    pub store: StoreRecord,
    /// What the environment promises.
    pub objectives: Objectives,
    /// What was measured.
    pub measured: Measured,
    /// The way back.
    pub rollback: Playbook,
    /// What `reconcile` compares with the running system.
    pub reconciliation: Reconciliation,
}

/// What a run was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A deploy: the run ends in a verdict on a release.
    #[default]
    Gate,
    /// No deploy: the snapshots count for comparison, and no release is judged.
    Snapshot,
    /// The state before a rollback, saved as it is: broken as it may be, nothing is ever compared with it.
    Safety,
}

/// How a run of the gate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Every check passed; the deploy may go on.
    Passed,
    /// Something refused.
    Refused,
    /// The deadline passed.
    TimedOut,
    /// A signal ended the run.
    Cancelled,
    /// The run failed in a way that nobody foresaw.
    Error,
}

/// The program that wrote a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// Its version.
    pub version: String,
}

/// The record before this one: the ledger is a hash chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Previous {
    /// Its identifier.
    pub id: ReleaseId,
    /// The digest of its `manifest.json`, `sha256:…`.
    pub digest: String,
}

/// Where the application is deployed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// Its name, such as `production`.
    pub name: String,
    /// Its tier, if the configuration names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
}

impl PartialEq for Version {
    /// Documents are equal when they say the same; see [`Version::is_same_release`] for releases.
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

/// Stands for [`Timestamp`] in JSON Schemas.
#[derive(JsonSchema)]
#[schemars(transparent)]
#[allow(dead_code, reason = "exists for its schema only")]
struct DateTime(#[schemars(extend("format" = "date-time"))] String);

impl Manifest {
    /// Returns the document as it is stored: indented JSON with a final newline.
    ///
    /// # Errors
    /// A value that JSON cannot hold; no manifest of ours has one.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }
}
