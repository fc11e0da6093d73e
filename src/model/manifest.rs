//! The rollback manifest: what to go back to, how, in which order, and what will be lost (design §6).
//!
//! Plain JSON for people and programs. Times are RFC 3339 in UTC, digests `sha256:…`, sizes bytes, durations seconds.
//! Readers reject a major `schema_version` or an enum value that they do not know.

use super::finding::Finding;
use super::reconciliation::Side;
use super::release_id::ReleaseId;
use super::verdict::Verdict;
use super::version::Version;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema that this program writes, and the newest that it reads.
pub const SCHEMA_VERSION: u32 = 1;

/// Facts of one kind of source, such as `tables` or `integrity_check`.
pub type Content = BTreeMap<String, serde_json::Value>;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
}

/// The rules behind a decision.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// The digest of the configuration that was in force, `sha256:…`; absent without a configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_digest: Option<String>,
    /// The rules that decided something.
    pub rules_fired: Vec<String>,
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
}

/// One source, and what became of it in this run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SourceRecord {
    /// Its name.
    pub name: String,
    /// Its kind, such as `files`.
    pub kind: String,
    /// Whether its failure refuses.
    pub required: bool,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Its place in the order of a restore; sources without one come last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_order: Option<u32>,
    /// What tells this source from another of the same name, such as a path or a server's identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Whether that is what a server says of itself, so that another one means another server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub identity_bound: bool,
    /// The version of the program or library that captured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_version: Option<String>,
    /// The version of the server it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_version: Option<String>,
    /// How it was captured, such as `walk`, `stream` or `online-backup`.
    pub method: String,
    /// What its consistency rests on.
    pub consistency: Consistency,
    /// When the capture began; absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub started_at: Option<Timestamp>,
    /// When the capture ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub finished_at: Option<Timestamp>,
    /// How many times it was tried, and why the earlier tries failed.
    pub attempts: Vec<Attempt>,
    /// What became of it.
    pub outcome: SourceOutcome,
    /// Its snapshot; absent unless it was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotRecord>,
    /// Its size as captured.
    pub bytes: u64,
    /// What it added to the repository, compressed and encrypted.
    pub bytes_added: u64,
    /// How many files, directories and other nodes it has.
    pub items: u64,
    /// Facts of its kind.
    #[serde(default)]
    pub content: Content,
    /// Its size against the last comparable snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// The proof that it can be read back; absent unless it was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Verification>,
}

/// What the consistency of a snapshot rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Each file was read while it did not change; files were read one after another.
    PerFile,
    /// The whole is one transaction of the database.
    Transaction,
    /// The program that wrote the stream answers for it.
    Program,
}

/// One try to capture a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// When it began.
    #[schemars(with = "DateTime")]
    pub started_at: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// Why it failed; absent for the one that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceOutcome {
    /// Captured, read back, and published as a snapshot.
    Verified,
    /// Captured, but not proved; no snapshot was published.
    Unverified,
    /// The capture failed.
    Failed,
    /// The run ended before the source was captured.
    NotCaptured,
}

/// One snapshot in the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotRecord {
    /// Its id in the repository, 64 hexadecimal digits.
    pub id: String,
    /// The id of its root tree.
    pub tree: String,
    /// Its tags.
    pub tags: Vec<String>,
}

/// The size of a source against the last comparable snapshot: the last one that passed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The release that it is compared with.
    pub release: ReleaseId,
    /// Its size then.
    pub bytes_before: u64,
    /// Its size now over its size then; absent if it was empty then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

/// The proof that a snapshot can be read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verification {
    /// What was read back.
    pub mode: VerifyMode,
    /// Bytes read from the store, as stored.
    pub bytes_read: u64,
    /// Blobs whose content was compared with their id.
    pub blobs: u64,
    /// What the snapshot is: `sha256:` and the id of its root tree, which covers every byte below.
    pub digest: String,
    /// When the reading ended.
    #[schemars(with = "DateTime")]
    pub finished_at: Timestamp,
}

/// What is read back from the store before a snapshot counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VerifyMode {
    /// Everything that this run added, the trees of the rest, and presence and size of its packs.
    #[default]
    New,
    /// Every byte of the snapshot.
    All,
    /// Nothing; a warning says so.
    None,
}

/// Where the snapshots are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreRecord {
    /// The location without user information.
    pub location: String,
    /// The location of the restic repository inside the store, as `restic -r` takes it.
    pub repository: String,
    /// The id of the repository; absent if it could not be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_id: Option<String>,
    /// How what the snapshots need is kept from being deleted; absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_lock: Option<ObjectLock>,
    /// Copies in other stores, by name.
    pub copies: Vec<CopyRecord>,
}

/// A copy in another store, and what this run made of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CopyRecord {
    /// Its name in the configuration.
    pub name: String,
    /// The location without user information; `--store` takes it.
    pub location: String,
    /// The location of the restic repository inside it, as `restic -r` takes it.
    pub repository: String,
    /// Whether its failure refuses.
    pub required: bool,
    /// Whether the snapshots of this release are in it.
    pub state: CopyState,
    /// How many objects this run added to it before this manifest.
    pub objects: u64,
    /// Their sizes, added up, in bytes.
    pub bytes: u64,
    /// When the last of them had been read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub verified_at: Option<Timestamp>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// All that the release needs is in it; what this run added was read back.
    Verified,
    /// It could not be brought up to date.
    Failed,
    /// The run ended before its turn came.
    NotCopied,
}

/// How objects are kept from being deleted by the store itself (S3 Object Lock).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectLock {
    /// Who may lift it.
    pub mode: LockMode,
    /// Until when all that the snapshots need is locked at least; a later run that needs it again extends it.
    #[schemars(with = "DateTime")]
    pub retain_until: Timestamp,
}

/// Who may lift a lock of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Whoever has the right to bypass it.
    Governance,
    /// Nobody.
    Compliance,
}

/// What the environment promises, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Objectives {
    /// How old the data may be after a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<u64>,
    /// How long a restore may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<u64>,
}

/// What was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measured {
    /// How long all captures took together, side by side.
    pub capture_seconds: f64,
    /// How long reading back took.
    pub verify_seconds: f64,
    /// How long a restore would take, by the speed of reading back; absent if nothing was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_seconds_estimate: Option<f64>,
    /// When a restore of this environment was last practised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub last_drill: Option<Timestamp>,
}

/// The way back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Playbook {
    /// The way back in one sentence.
    pub summary: String,
    /// Data written after this moment is lost by a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub data_loss_from: Option<Timestamp>,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// What a rollback leaves as it is.
    pub not_reverted: Vec<String>,
    /// What must hold before the steps may be taken, such as a schema version.
    #[serde(default)]
    pub requires: BTreeMap<String, String>,
}

/// One step of the way back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Its place, from 1.
    pub order: u32,
    /// The source that it restores, if it restores one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it does, in words.
    pub action: String,
    /// The command to run, ready to copy into a POSIX shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether it overwrites or deletes something.
    pub destructive: bool,
    /// How long it takes, by what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_seconds: Option<f64>,
}

/// What `reconcile` compares with the running system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reconciliation {
    /// The side of the release that should run after the deploy.
    pub expected: Side,
    /// Every version text that counts as the expected one.
    pub accept: Vec<Version>,
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
