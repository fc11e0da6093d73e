//! What is stored of a restore point: a small JSON document, for there is nothing else of it to copy.

use crate::model::manifest::Content;
use crate::source::postgres::wal::Lsn;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The version of the document that is written, and the newest that is read.
pub(super) const FORMAT: u32 = 1;

/// A restore point whose segment is in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PointRecord {
    /// The version of this document.
    pub format: u32,
    /// Its name, as in `recovery_target_name`.
    pub name: String,
    /// The position after it, as the server returned it.
    pub lsn: String,
    /// The timeline that it is on.
    pub timeline: u32,
    /// The server that it is of.
    pub system_identifier: String,
    /// The segment of the log that holds its last byte.
    pub wal_segment: String,
    /// The SHA-256 of that segment as it came back from the archive, in hexadecimal digits.
    pub wal_segment_sha256: String,
    /// When it was made, by this machine's clock.
    pub created_at: Timestamp,
    /// The base backup that it counts from.
    pub base_backup: BaseBackupRecord,
}

/// Which base backup a restore point counts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(super) enum BaseBackupRecord {
    /// A snapshot of another source; the manifest says which.
    Source {
        /// The source.
        name: String,
    },
    /// One of pgBackRest.
    PgBackRest {
        /// The stanza.
        stanza: String,
        /// The label of the backup.
        label: String,
    },
    /// One of Barman.
    Barman {
        /// The server, as Barman calls it.
        server: String,
        /// The id of the backup.
        backup: String,
    },
}

impl PointRecord {
    /// Reads a stored document.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is not the record of a restore point: {error}"))?;
        match record.format {
            FORMAT => Ok(record),
            other => Err(format!("it is of the format {other}, and only {FORMAT} is understood")),
        }
    }

    /// Returns the position after the point.
    pub fn position(&self) -> Option<Lsn> {
        Lsn::parse(&self.lsn)
    }

    /// Returns the facts for the manifest.
    pub fn content(&self) -> Content {
        let mut content = Content::from([
            ("restore_point".to_owned(), json!(self.name)),
            ("wal_lsn".to_owned(), json!(self.lsn)),
            ("timeline".to_owned(), json!(self.timeline)),
            ("system_identifier".to_owned(), json!(self.system_identifier)),
            ("wal_segment".to_owned(), json!(self.wal_segment)),
        ]);
        // Which snapshot of another source it is, only the gate knows.
        if !matches!(self.base_backup, BaseBackupRecord::Source { .. }) {
            content.insert("external_base_backup".to_owned(), json!(self.base_backup));
        }
        content
    }
}
