//! The ways back from a release, weighed: what each takes, what it loses, and which one is recommended.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A way back from a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WayKind {
    /// The older version is deployed again; the data stays as it is.
    CodeOnly,
    /// A program of the configuration takes the schema back, and the older version is deployed again.
    DownMigration,
    /// Every source is restored, and the older version is deployed again.
    FullRestore,
    /// A cluster is recovered to a moment that a person chooses.
    PointInTime,
    /// A mended version is deployed; nothing goes back.
    RollForward,
}

impl WayKind {
    /// Every way, in the order in which they are preferred unless the configuration says otherwise: what loses least first,
    /// and last the one of which nobody knows how long it takes.
    pub const ALL: [Self; 5] =
        [Self::CodeOnly, Self::DownMigration, Self::PointInTime, Self::FullRestore, Self::RollForward];

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CodeOnly => "code-only",
            Self::DownMigration => "down-migration",
            Self::FullRestore => "full-restore",
            Self::PointInTime => "point-in-time",
            Self::RollForward => "roll-forward",
        }
    }

    /// Says whether `rollback` executes it; the others are for a person.
    pub fn is_executed(self) -> bool {
        matches!(self, Self::CodeOnly | Self::DownMigration | Self::FullRestore)
    }
}

impl fmt::Display for WayKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One way back, weighed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Way {
    /// Which one.
    pub way: WayKind,
    /// Whether it can be gone.
    pub possible: bool,
    /// What keeps it from being gone; empty if nothing does.
    pub why_not: Vec<String>,
    /// How long its known parts take together, in seconds; absent if none of them is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What the time is made of, and what of it is unknown.
    pub takes: String,
    /// What it loses; absent if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loses: Option<Loss>,
    /// What stays as the newer version left it.
    pub leaves_behind: Vec<String>,
    /// The command that goes it, ready to copy into a POSIX shell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What a person does, in order, where no command of holdpoint goes it.
    pub by_hand: Vec<String>,
    /// Whether it is the one that is recommended.
    pub recommended: bool,
    /// What the criteria say of it.
    pub reasons: Vec<String>,
}

/// What a way loses: whatever was written in a span of time, or what a migration drops.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Loss {
    /// The beginning of that span; absent if it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How long it is by now, in seconds; absent if that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// How many rows more there are now, at the least: changed rows are not counted. Absent if there are none, or if not
    /// every database was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Whether it is what a migration drops, of which nobody knows how much.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dropped: bool,
}

/// What a restore of one source loses.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceLoss {
    /// The source.
    pub source: String,
    /// When its capture began: what was written since is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How long ago that was, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The tables with another number of rows; rows that were changed are not counted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableLoss>,
    /// How many rows more there are now in the tables that grew; absent if nobody counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_rows: Option<u64>,
    /// How many files are not as they were captured, or are not there; absent if nobody compared them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_differ: Option<u64>,
    /// Why nobody counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_counted: Option<String>,
}

/// One table that has another number of rows than its snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableLoss {
    /// The table.
    pub table: String,
    /// Its rows in the snapshot; absent if it is not in there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<u64>,
    /// Its rows now; absent if it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<u64>,
}
