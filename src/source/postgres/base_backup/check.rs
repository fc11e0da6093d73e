//! Is a base backup whole? What its tar holds, compared with what its manifest says.

use super::contents::{Contents, Hashed, MANIFEST};
use super::manifest::{BackupManifest, WalRange};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;
use crate::source::postgres::wal::SegmentName;
use serde_json::json;
use std::collections::HashSet;

/// How many files a message names.
const NAMED: usize = 3;
/// Where the log is; what of it the server adds to a backup is not in the manifest.
const LOG: &[u8] = b"pg_wal/";

/// Returns what is known of a base backup, and what speaks against it.
pub(super) fn judge(contents: &Contents) -> (Content, Vec<Finding>) {
    let mut findings: Vec<_> = contents.problems.iter().map(|problem| incomplete(problem.clone())).collect();
    for (what, is_there) in [("PG_VERSION", contents.version.is_some()), ("backup_label", contents.label.is_some())] {
        if !is_there {
            findings.push(incomplete(format!("there is no {what} in it, or it is not one")));
        }
    }
    let mut content = Content::new();
    let files = contents.files.len() + contents.segments.len();
    content.insert("files".to_owned(), json!(files));
    if let Some(version) = &contents.version {
        content.insert("server_major_version".to_owned(), json!(version));
    }
    let Some(bytes) = &contents.manifest else {
        findings.push(incomplete("there is no backup_manifest in it: the backup did not come to its end".to_owned()));
        return (content, findings);
    };
    let manifest = match BackupManifest::parse(bytes) {
        Ok(manifest) => manifest,
        Err(why) => {
            findings.push(damaged(format!("backup_manifest is damaged: {why}")));
            return (content, findings);
        }
    };
    findings.extend(files_differ(contents, &manifest));
    findings.extend(log_ends_early(contents, &manifest));
    let system_identifier = manifest.system_identifier.or(contents.system_identifier);
    if let (Some(one), Some(other)) = (system_identifier, contents.records.as_ref().and_then(|log| log.header()))
        && one != other.system_identifier
    {
        findings.push(damaged(format!("the files are of the server {one}, the log of {}", other.system_identifier)));
    }
    if let Some(identifier) = system_identifier {
        // As text: it needs more digits than every reader of JSON has for numbers.
        content.insert("system_identifier".to_owned(), json!(identifier.to_string()));
    }
    if let (Some(first), Some(last)) = (manifest.ranges.first(), manifest.ranges.last()) {
        content.insert("wal_start_lsn".to_owned(), json!(first.start.to_string()));
        content.insert("wal_end_lsn".to_owned(), json!(last.end.to_string()));
        content.insert("timeline".to_owned(), json!(last.timeline));
    }
    (content, findings)
}

/// Compares the server that a base backup is of, by its content, with the one that the preflight judged.
pub(super) fn is_of_another_server(content: &Content, judged: Option<String>) -> Option<Finding> {
    // Without an identifier in it the backup is not whole, and that is a finding already.
    let found = content.get("system_identifier")?.as_str()?;
    let judged = judged.unwrap_or_else(|| "one that does not say what it is".to_owned());
    (found != judged).then(|| {
        let message = format!("the base backup is of the server {found}, and the one that was looked at is {judged}");
        Finding::refusal(FindingCode::IdentityChanged, message)
            .hint("see what answers at `url`, and that it is only one")
    })
}

/// Compares every file with the manifest.
fn files_differ(contents: &Contents, manifest: &BackupManifest<'_>) -> Vec<Finding> {
    let mut listed = HashSet::new();
    let (mut missing, mut sizes, mut altered) = (Named::default(), Named::default(), Named::default());
    for file in manifest.files() {
        match (contents.files.get(file.path.as_ref()), file.sha256) {
            (None, _) => missing.add(&file.path, ""),
            (Some(Hashed { size, .. }), _) if *size != file.size => {
                sizes.add(&file.path, &format!(" ({size} bytes instead of {})", file.size));
            }
            (Some(hashed), Some(sha256)) if hashed.sha256 == sha256 => {}
            (Some(_), Some(_)) => altered.add(&file.path, ""),
            (Some(_), None) => altered.add(&file.path, " (its checksum is not a SHA-256)"),
        }
        listed.insert(file.path);
    }
    let mut unlisted = Named::default();
    let mut extra: Vec<_> = contents
        .files
        .keys()
        .filter(|path| !path.starts_with(LOG) && path.as_slice() != MANIFEST && !listed.contains(path.as_slice()))
        .collect();
    extra.sort_unstable();
    extra.into_iter().for_each(|path| unlisted.add(path, ""));
    let findings = [
        missing.finding(incomplete, "is in the manifest of the backup and not in the backup"),
        sizes.finding(incomplete, "does not have the size that the manifest of the backup says"),
        altered.finding(damaged, "does not have the checksum that the manifest of the backup says"),
        unlisted.finding(incomplete, "is in the backup and not in its manifest"),
    ];
    findings.into_iter().flatten().collect()
}

/// Says whether the log that a recovery needs is there, up to the end of the backup.
fn log_ends_early(contents: &Contents, manifest: &BackupManifest<'_>) -> Option<Finding> {
    let needs = |range: &WalRange, why: &str| {
        Some(incomplete(format!("the backup needs the log from {} to {}, and {why}", range.start, range.end)))
    };
    let Some(last) = manifest.ranges.last() else {
        return Some(incomplete("the manifest of the backup does not say which part of the log it needs".to_owned()));
    };
    let Some(records) = &contents.records else { return needs(last, "there is none in it") };
    let Some(header) = records.header() else { return needs(last, "its segments cannot be read") };
    if let ([range], Some(label)) = (manifest.ranges.as_slice(), &contents.label) {
        if (label.start, label.timeline) != (range.start, range.timeline) {
            let why = format!("backup_label begins at {} of the timeline {}", label.start, label.timeline);
            return needs(range, &why);
        }
        if records.intact_until() < range.end {
            let why = records.stopped().unwrap_or("no more of it is there");
            return needs(range, &format!("it is whole only up to {}: {why}", records.intact_until()));
        }
        return None;
    }
    // A backup of a standby that changed its timeline meanwhile: the records of the parts are not followed, but their
    // segments must be there.
    let size = header.segment_size;
    manifest.ranges.iter().find_map(|range| {
        let mut at = SegmentName::of(range.timeline, range.start, size).start(size);
        while at < range.end {
            let name = SegmentName::of(range.timeline, at, size);
            if !contents.segments.contains(&name) {
                return needs(range, &format!("{name} is not in it"));
            }
            at.0 += u64::from(size);
        }
        None
    })
}

/// Files of which a few are named.
#[derive(Default)]
struct Named {
    first: Vec<String>,
    count: usize,
}

impl Named {
    fn add(&mut self, path: &[u8], more: &str) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(format!("{}{more}", String::from_utf8_lossy(path)));
        }
    }

    fn finding(self, weigh: fn(String) -> Finding, what: &str) -> Option<Finding> {
        let more = self.count - self.first.len();
        let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (self.count > 0).then(|| weigh(format!("{}{and_more} {what}", self.first.join(", "))))
    }
}

fn incomplete(message: String) -> Finding {
    Finding::refusal(FindingCode::ContentIncomplete, message)
}

fn damaged(message: String) -> Finding {
    Finding::refusal(FindingCode::IntegrityFailed, message)
}
