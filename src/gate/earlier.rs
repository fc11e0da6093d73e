//! What earlier runs say of a source: its parent snapshot, its size, how long it took.

use super::capture::{Captured, Known};
use super::request::Request;
use super::survey::Ready;
use super::verify;
use crate::config::SourceConfig;
use crate::error::Result;
use crate::model::finding::Finding;
use crate::model::manifest::{Change, Manifest, SourceRecord};
use crate::policy::fit::{self, Pace};
use crate::repository::Indexed;
use std::collections::BTreeMap;
use std::time::Duration;

/// Returns what is known of each source that is to be captured; `comparable` is the last release that passed.
///
/// # Errors
/// `damaged`, naming a snapshot that cannot be read; the store's own.
pub fn known(
    ready: &[Ready<'_>],
    request: &Request,
    indexed: &Indexed,
    comparable: Option<&Manifest>,
) -> Result<BTreeMap<String, Known>> {
    let recorded = comparable.map_or(&[][..], |last| &last.sources);
    let mut parents = verify::recorded_parents(recorded, indexed);
    if ready.iter().any(|ready| !parents.contains_key(&ready.config.name)) {
        // A source that the last record does not have may have an older snapshot, or one of another client.
        let mut newest = verify::newest_parents(request, indexed)?;
        newest.append(&mut parents);
        parents = newest;
    }
    let known = |source: &SourceConfig| {
        let verified = |record: &&SourceRecord| record.name == source.name && record.snapshot.is_some();
        let known = Known {
            parent: parents.get(&source.name).copied(),
            bytes: recorded.iter().find(verified).map(|record| record.bytes),
        };
        (source.name.clone(), known)
    };
    Ok(ready.iter().map(|ready| known(ready.config)).collect())
}

/// Finds a source in an earlier release, if it was captured in the same way and has a snapshot there.
pub fn record_of<'m>(earlier: &'m Manifest, ready: &Ready<'_>) -> Option<&'m SourceRecord> {
    let (config, method) = (ready.config, ready.source.facts().method);
    let is_it = |record: &&SourceRecord| {
        record.name == config.name && record.kind == config.kind.name() && record.method == method
    };
    earlier.sources.iter().filter(|record| record.snapshot.is_some()).find(is_it)
}

/// Compares the size of a source with that in an earlier release.
pub fn change_since(earlier: &Manifest, before: &SourceRecord, captured: &Captured) -> Change {
    let bytes_before = before.bytes;
    #[expect(clippy::cast_precision_loss, reason = "a ratio of sizes needs no more than 52 bits")]
    let ratio = (bytes_before > 0).then(|| captured.archived.bytes as f64 / bytes_before as f64);
    Change { release: before.captured_by(&earlier.id).clone(), bytes_before, ratio }
}

/// Warns if what there is to capture will not be done in the time that is left, at the pace of the last release.
pub fn check_fit(
    last: &Manifest,
    ready: &[Ready<'_>],
    known: &BTreeMap<String, Known>,
    left: Duration,
) -> Option<Finding> {
    let seconds = last.measured.capture_seconds + last.measured.verify_seconds;
    let took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    // What stood in took no time: it tells nothing of the pace.
    let captured = last.sources.iter().filter(|source| source.was_captured_here());
    let pace = Pace { bytes: captured.map(|source| source.bytes).sum(), took };
    let size = |ready: &Ready<'_>| {
        let before = known.get(&ready.config.name).and_then(|known| known.bytes);
        // Before an estimate, what it was: an estimate counts indexes, too, which a dump does not hold.
        before.or(ready.source.facts().estimated_bytes).unwrap_or(0)
    };
    fit::judge(pace, ready.iter().map(size).sum(), left)
}
