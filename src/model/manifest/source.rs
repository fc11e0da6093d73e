//! What became of a source: its capture, its snapshot, and the proof that it can be read back.

use super::DateTime;
use crate::model::release_id::ReleaseId;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Facts of one kind of source, such as `tables` or `integrity_check`.
pub type Content = BTreeMap<String, serde_json::Value>;

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
    /// When its capture by this run began; absent if it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub started_at: Option<Timestamp>,
    /// When its capture by this run ended.
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
    /// The digest of what the configuration says of it, `sha256:…`; what was captured under another one is another thing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Where its snapshot comes from, if not from this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<StandIn>,
}

impl SourceRecord {
    /// Returns when the capture of what its snapshot holds began, by this run or by the one whose snapshot stands in: what was
    /// written since is not in it.
    pub fn captured_at(&self) -> Option<Timestamp> {
        self.stand_in.as_ref().map_or(self.started_at, |stand_in| Some(stand_in.captured_at))
    }

    /// Returns the release whose run captured its snapshot; `own` is the one that this record is of.
    pub fn captured_by<'a>(&'a self, own: &'a ReleaseId) -> &'a ReleaseId {
        self.stand_in.as_ref().map_or(own, |stand_in| &stand_in.release)
    }

    /// Says whether its bytes were captured by this run: what stood in took no time, and tells nothing of how long a capture
    /// takes.
    pub fn was_captured_here(&self) -> bool {
        matches!(self.outcome, SourceOutcome::Verified | SourceOutcome::Unverified)
    }

    /// Says whether this run has seen its snapshot to be whole in the store, whoever captured it.
    pub fn is_proved(&self) -> bool {
        matches!(self.outcome, SourceOutcome::Verified | SourceOutcome::StoodIn)
    }
}

/// The older snapshot that stands in for a source that this run did not capture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StandIn {
    /// The release whose run captured it.
    pub release: ReleaseId,
    /// When its capture began: what was written since is not in it.
    #[schemars(with = "DateTime")]
    pub captured_at: Timestamp,
    /// The rule that let it stand in, such as `policy.patch.reuse_within`.
    pub rule: String,
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
    /// Not captured: an older snapshot stands in, and was seen to be whole in the store by this run.
    StoodIn,
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
