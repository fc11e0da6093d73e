//! Where the snapshots are, how they are kept from being deleted, and their copies.

use super::DateTime;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
