//! What a prune will do, or did.

use super::manifest::{Purpose, State};
use super::release_id::ReleaseId;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

/// What stays and why, what goes, and what that frees.
#[derive(Debug, Clone, Serialize)]
pub struct PrunePlan {
    /// The environment.
    pub environment: String,
    /// The location of the store.
    pub store: String,
    /// The copy that is pruned; the store itself without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy: Option<String>,
    /// The copy that keeps everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// The releases that have snapshots there, the newest first.
    pub releases: Vec<PrunedRelease>,
    /// Snapshots that no record names, and that go.
    pub unnamed: Vec<UnnamedSnapshot>,
    /// Snapshots of releases that were let go before, and that go now.
    pub leftovers: Vec<String>,
    /// Records that nobody can read: what is older stays.
    pub unreadable: Vec<ReleaseId>,
    /// Whether no rule says what is kept, so that no release goes.
    pub without_rule: bool,
    /// How much is removed and written.
    pub totals: PruneTotals,
    /// What should go, and stays for now.
    pub left: Vec<LeftFile>,
    /// What keeps it from being done now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
}

/// A release, and what becomes of it.
#[derive(Debug, Clone, Serialize)]
pub struct PrunedRelease {
    /// Its id.
    pub id: ReleaseId,
    /// The version that it is.
    pub version: String,
    /// How its run ended.
    pub state: State,
    /// What its run was for.
    pub purpose: Purpose,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Whether it is let go.
    pub goes: bool,
    /// Why it stays.
    pub kept_by: BTreeSet<String>,
    /// The snapshots that it names and that are there; of one that goes, those that are removed.
    pub snapshots: Vec<String>,
    /// How large its sources were when they were captured, in bytes.
    pub bytes: u64,
}

/// A snapshot with our tags that no record names.
#[derive(Debug, Clone, Serialize)]
pub struct UnnamedSnapshot {
    /// Its id.
    pub snapshot: String,
    /// When it was taken.
    pub at: Timestamp,
    /// Its tags.
    pub tags: Vec<String>,
}

/// How much a prune removes and writes; sizes in bytes, as stored.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PruneTotals {
    /// Snapshots that are removed.
    pub snapshots_removed: u64,
    /// Snapshots that stay, whoever wrote them.
    pub snapshots_kept: u64,
    /// Packs that go, since nothing in them is needed.
    pub packs_removed: u64,
    /// Packs whose needed part is written anew.
    pub packs_repacked: u64,
    /// Bytes of all files that are removed.
    pub bytes_removed: u64,
    /// Bytes of all files that are written.
    pub bytes_written: u64,
    /// By how many bytes the store becomes smaller.
    pub freed: i64,
}

/// A file that should go, and stays for now.
#[derive(Debug, Clone, Serialize)]
pub struct LeftFile {
    /// What it is, such as `snapshot`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// Its size.
    pub bytes: u64,
    /// Until when the store keeps it from being deleted, if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<Timestamp>,
    /// Why it stays.
    pub why: String,
}

impl PrunePlan {
    /// Returns the releases that are let go.
    pub fn let_go(&self) -> impl Iterator<Item = &PrunedRelease> {
        self.releases.iter().filter(|release| release.goes)
    }
}
