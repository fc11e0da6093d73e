//! `backup_manifest`: what the server says that a base backup holds.
//!
//! JSON, as described in "Backup Manifest Format" of PostgreSQL's documentation. Its last line is the SHA-256 checksum of
//! all lines before it.

use crate::source::postgres::wal::Lsn;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// A manifest that has its own checksum.
#[derive(Debug)]
pub(super) struct BackupManifest<'a> {
    /// The server, from version 17 on.
    pub system_identifier: Option<u64>,
    files: Vec<File<'a>>,
    /// The parts of the log that a recovery needs.
    pub ranges: Vec<WalRange>,
}

/// One file of the backup.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListedFile<'m> {
    /// Its path below the data directory.
    pub path: Cow<'m, [u8]>,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256; `None` if the manifest has none, or one of another kind.
    pub sha256: Option<[u8; 32]>,
}

/// A part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WalRange {
    /// The timeline that it is on.
    pub timeline: u32,
    /// Where it begins.
    pub start: Lsn,
    /// Where it ends.
    pub end: Lsn,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(rename = "PostgreSQL-Backup-Manifest-Version")]
    version: u32,
    #[serde(rename = "System-Identifier", default)]
    system_identifier: Option<u64>,
    #[serde(rename = "Files", borrow)]
    files: Vec<File<'a>>,
    #[serde(rename = "WAL-Ranges", borrow)]
    ranges: Vec<Range<'a>>,
    #[serde(rename = "Manifest-Checksum", borrow)]
    checksum: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct File<'a> {
    #[serde(rename = "Path", borrow, default)]
    path: Option<Cow<'a, str>>,
    /// The path in hexadecimal digits, if it is not UTF-8.
    #[serde(rename = "Encoded-Path", borrow, default)]
    encoded_path: Option<Cow<'a, str>>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm", borrow, default)]
    algorithm: Option<Cow<'a, str>>,
    #[serde(rename = "Checksum", borrow, default)]
    checksum: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Range<'a> {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN", borrow)]
    start: Cow<'a, str>,
    #[serde(rename = "End-LSN", borrow)]
    end: Cow<'a, str>,
}

impl<'a> BackupManifest<'a> {
    /// Reads a manifest and compares it with its own checksum.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let document: Document<'a> =
            serde_json::from_slice(bytes).map_err(|error| format!("it is not what the server writes: {error}"))?;
        // Version 1 is that of PostgreSQL 13 to 16, 2 that of 17 and later.
        if !(1..=2).contains(&document.version) {
            return Err(format!("its version is {}, and only 1 and 2 are understood", document.version));
        }
        if digest(&document.checksum) != Some(Sha256::digest(before_last_line(bytes)).into()) {
            return Err("it does not have the checksum that it says it has".to_owned());
        }
        let range = |range: &Range<'_>| {
            let position = |text: &str| Lsn::parse(text).ok_or_else(|| format!("{text} is not a position in the log"));
            Ok(WalRange { timeline: range.timeline, start: position(&range.start)?, end: position(&range.end)? })
        };
        let ranges = document.ranges.iter().map(range).collect::<Result<_, String>>()?;
        Ok(Self { system_identifier: document.system_identifier, files: document.files, ranges })
    }

    /// Returns every file but those of the log, which the server does not list.
    pub fn files(&self) -> impl Iterator<Item = ListedFile<'_>> {
        self.files.iter().map(|file| {
            let path = match (&file.path, &file.encoded_path) {
                (Some(path), _) => Cow::Borrowed(path.as_bytes()),
                (None, encoded) => Cow::Owned(hex::decode(encoded.as_deref().unwrap_or_default()).unwrap_or_default()),
            };
            let is_sha256 = file.algorithm.as_deref() == Some("SHA256");
            let sha256 = file.checksum.as_deref().filter(|_| is_sha256).and_then(digest);
            ListedFile { path, size: file.size, sha256 }
        })
    }
}

fn digest(digits: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(digits, &mut digest).ok().map(|()| digest)
}

/// Returns everything before the last line, with the end of line before it.
fn before_last_line(bytes: &[u8]) -> &[u8] {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let end = memchr::memrchr(b'\n', text).map_or(0, |at| at + 1);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::sample::manifest;
    use super::*;

    #[test]
    fn a_manifest_is_read_and_its_checksum_compared() {
        let files = [("PG_VERSION", b"15\n".as_slice()), ("base/1/\u{e9}", b"")];
        let text = manifest(&files, "0/2000028", "0/2000100");
        let parsed = BackupManifest::parse(text.as_bytes()).unwrap();
        let listed: Vec<_> = parsed.files().collect();
        assert_eq!((listed.len(), listed[0].path.as_ref(), listed[0].size), (2, b"PG_VERSION".as_slice(), 3));
        assert_eq!(listed[0].sha256, Some(Sha256::digest(b"15\n").into()));
        assert_eq!(parsed.ranges, [WalRange { timeline: 1, start: Lsn(0x200_0028), end: Lsn(0x200_0100) }]);
        let altered = text.replace("\"Size\": 3", "\"Size\": 4");
        assert!(BackupManifest::parse(altered.as_bytes()).unwrap_err().contains("checksum"));
        for (wrong, why) in [("", "not what"), ("{}", "not what")] {
            assert!(BackupManifest::parse(wrong.as_bytes()).unwrap_err().contains(why));
        }
        let newer = text.replace("Version\": 1", "Version\": 3");
        assert!(BackupManifest::parse(newer.as_bytes()).unwrap_err().contains("version is 3"));
    }
}
