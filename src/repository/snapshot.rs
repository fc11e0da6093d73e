//! Snapshot files: when what was captured, and the root of its tree.

use super::id::Id;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A snapshot as restic stores it. Times of other clients carry their zone; they are read as moments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When the capture began.
    pub time: Timestamp,
    /// The snapshot that unchanged files were compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Id>,
    /// The root of the tree.
    pub tree: Id,
    /// What was captured: absolute paths.
    pub paths: Vec<String>,
    /// The host; ours is the application.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Who ran the program.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// That user's number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// That user's group.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// Patterns that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Tags, such as `version=1.4.0`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The snapshot that this one was made from by editing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Id>,
    /// The program that wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    /// What the capture found and added; clients before 0.17 write none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// What a capture found and added, as `restic snapshots` shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// When the capture began.
    pub backup_start: Timestamp,
    /// When the capture ended.
    pub backup_end: Timestamp,
    /// Files that the parent did not have.
    pub files_new: u64,
    /// Files that differ from the parent's.
    pub files_changed: u64,
    /// Files that are as in the parent.
    pub files_unmodified: u64,
    /// Directories that the parent did not have.
    pub dirs_new: u64,
    /// Directories that differ from the parent's.
    pub dirs_changed: u64,
    /// Directories that are as in the parent.
    pub dirs_unmodified: u64,
    /// Blobs of file content that were added.
    pub data_blobs: u64,
    /// Blobs of trees that were added.
    pub tree_blobs: u64,
    /// Bytes that were added, before compression.
    pub data_added: u64,
    /// Bytes that were added, as stored.
    pub data_added_packed: u64,
    /// Files in all.
    pub total_files_processed: u64,
    /// Bytes in all.
    pub total_bytes_processed: u64,
}

impl Snapshot {
    /// Returns the value of the tag `key=value`.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.tags.iter().find_map(|tag| tag.strip_prefix(key)?.strip_prefix('='))
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_of_restic_reads() {
        let json = r#"{"time":"2026-11-20T21:30:00.123456789+01:00","tree":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","paths":["/srv"],"hostname":"h","username":"root","tags":["version=1.4.0","x"]}"#;
        let snapshot: Snapshot = serde_json::from_str(json).unwrap();
        assert_eq!(snapshot.tag("version"), Some("1.4.0"));
        assert_eq!(snapshot.tag("x"), None);
        assert_eq!(snapshot.time.to_string(), "2026-11-20T20:30:00.123456789Z");
    }
}
