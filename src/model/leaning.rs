//! Snapshots that lean on others: a restore point is worth nothing without a base backup from before it.

use super::manifest::Content;
use super::release_id::ReleaseId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The key of a source's content that says what its snapshot leans on: a [`Base`].
pub const BASE_BACKUP: &str = "base_backup";

/// What a source needs of another one.
#[derive(Debug, Clone, PartialEq)]
pub struct LeansOn {
    /// The source whose newest snapshot is needed.
    pub source: String,
    /// How that one is captured.
    pub method: &'static str,
    /// How old it may be.
    pub within: Duration,
    /// Facts that it must have in its content, such as the timeline.
    pub same: Content,
}

/// The snapshot that another one leans on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Its source.
    pub source: String,
    /// The release that it is of.
    pub release: ReleaseId,
    /// Its id in the repository.
    pub snapshot: String,
}

impl Base {
    /// Reads what a source's content says; `None` if its snapshot leans on no other.
    pub fn of(content: &Content) -> Option<Self> {
        serde_json::from_value(content.get(BASE_BACKUP)?.clone()).ok()
    }
}
