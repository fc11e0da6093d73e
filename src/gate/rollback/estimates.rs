//! How long restores take: by the newest drill of the environment, or by what the gate reckoned.

use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::events::Event;
use crate::model::drill::{Drill, DrillResult};
use crate::model::manifest::{Manifest, SourceRecord};
use crate::model::release_id::ReleaseId;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// How many releases are looked at for a drill.
const DRILLED_WITHIN: usize = 20;

/// What is known of the time that restores take.
#[derive(Debug, Default)]
pub(super) struct Estimates {
    sources: BTreeMap<String, (f64, String)>,
}

impl Estimates {
    /// Collects them for every source of a manifest. A drill of other data is scaled by their sizes.
    ///
    /// # Errors
    /// The store's own; an event of this release that cannot be read.
    pub(super) fn collect(ledger: &Ledger, manifest: &Manifest) -> Result<Self> {
        let drilled = newest_drill(ledger, manifest)?;
        let mut estimates = Self::default();
        for record in manifest.sources.iter().filter(|record| record.snapshot.is_some()) {
            let by_drill = drilled.as_ref().and_then(|(at, drill)| {
                let seconds = measured(drill, record)?;
                Some((seconds, format!("measured by the drill of {}", at.strftime("%Y-%m-%d"))))
            });
            let step = manifest.rollback.steps.iter().find(|step| step.source.as_deref() == Some(&*record.name));
            let by_gate = step.and_then(|step| step.estimate_seconds);
            let by_gate = by_gate.map(|seconds| (seconds, "estimated by the gate".to_owned()));
            if let Some(estimate) = by_drill.or(by_gate) {
                estimates.sources.insert(record.name.clone(), estimate);
            }
        }
        Ok(estimates)
    }

    /// Returns how long the restore of a source takes, in seconds, and who says so.
    pub(super) fn of(&self, source: &str) -> Option<(f64, &str)> {
        self.sources.get(source).map(|(seconds, by)| (*seconds, by.as_str()))
    }
}

/// Returns how long a drill says that a restore of this source takes.
fn measured(drill: &Drill, record: &SourceRecord) -> Option<f64> {
    let same = |one: &&crate::model::drill::DrilledSource| one.name == record.name && one.kind == record.kind;
    let drilled = drill.sources.iter().find(same).filter(|one| one.result == DrillResult::Passed)?;
    if drilled.bytes == 0 || record.bytes == 0 {
        return Some(drilled.seconds);
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
    let scale = record.bytes as f64 / drilled.bytes as f64;
    // What a restore does whatever the size is part of it: less data is hardly quicker.
    Some(drilled.seconds * scale.max(1.0))
}

/// Finds the newest drill of this environment that passed.
fn newest_drill(ledger: &Ledger, manifest: &Manifest) -> Result<Option<(Timestamp, Drill)>> {
    let mut newest = of_release(ledger, manifest, &manifest.id)?;
    // Releases that came later may be drilled by now, and those before may have been drilled since.
    for listed in ledger.list(DRILLED_WITHIN)? {
        // What cannot be read tells no time; whether the ledger is whole others say.
        let Ok(found) = of_release(ledger, manifest, &listed.id) else { continue };
        newest = match (newest, found) {
            (Some(one), Some(two)) => Some(if two.0 > one.0 { two } else { one }),
            (one, two) => one.or(two),
        };
    }
    Ok(newest)
}

fn of_release(ledger: &Ledger, manifest: &Manifest, id: &ReleaseId) -> Result<Option<(Timestamp, Drill)>> {
    let drills = ledger.events(id)?.into_iter().filter_map(|record| match record.event {
        Event::Drilled { at, drill } => Some((at, *drill)),
        _ => None,
    });
    let counts = |(_, drill): &(Timestamp, Drill)| {
        let here = drill.application == manifest.application && drill.environment == manifest.environment.name;
        here && drill.result == DrillResult::Passed && drill.release == *id
    };
    Ok(drills.filter(counts).max_by_key(|(at, _)| *at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sample;
    use crate::storage::LocalStorage;
    use std::sync::Arc;

    const OLDER: &str = "20261119T213000Z-1.3.0-3f9c2ab1";
    const NEWER: &str = "20261120T213000Z-1.4.0-3f9c2ab1";

    /// A drill of uploads, of so many bytes in so many seconds.
    fn drilled(release: &str, at: &str, result: DrillResult, bytes: u64, seconds: f64) -> Event {
        let drill = serde_json::json!({
            "application": "shop", "environment": "staging", "release": release, "manifest_digest": "sha256:00",
            "result": result, "key": "daily", "by": "ada", "started_at": at, "seconds": seconds,
            "sources": [{
                "name": "uploads", "kind": "files", "snapshot": "00", "place": "a directory", "result": result,
                "bytes": bytes, "seconds": seconds,
            }],
            "checks": [], "findings": [], "tool_version": "0.1.0",
        });
        Event::Drilled { at: at.parse().unwrap(), drill: serde_json::from_value(drill).unwrap() }
    }

    #[test]
    fn the_newest_drill_that_passed_tells_the_time_or_else_the_gate() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        let older = sample::passed(OLDER);
        let mut newer = sample::passed(NEWER);
        ledger.record(&older).unwrap();
        let told = |ledger: &Ledger, manifest: &Manifest| {
            let estimates = Estimates::collect(ledger, manifest).unwrap();
            estimates.of("uploads").map(|(seconds, by)| (seconds, by.to_owned()))
        };
        assert_eq!(told(&ledger, &newer), None);
        let step = serde_json::json!({
            "order": 1, "source": "uploads", "action": "restore", "destructive": true, "estimate_seconds": 7.0,
        });
        newer.rollback.steps = vec![serde_json::from_value(step).unwrap()];
        assert_eq!(told(&ledger, &newer), Some((7.0, "estimated by the gate".to_owned())));

        let write = |id: &str, event: &Event| drop(ledger.record_event(&ReleaseId::parse(id).unwrap(), event).unwrap());
        write(OLDER, &drilled(OLDER, "2026-11-19T23:00:00Z", DrillResult::Passed, 5, 3.0));
        let measured = |day: &str| format!("measured by the drill of {day}");
        // Twice the bytes take twice as long.
        assert_eq!(told(&ledger, &newer), Some((6.0, measured("2026-11-19"))));
        write(NEWER, &drilled(NEWER, "2026-11-20T23:00:00Z", DrillResult::Passed, 20, 4.0));
        assert_eq!(told(&ledger, &newer), Some((4.0, measured("2026-11-20"))), "fewer bytes are hardly quicker");
        write(NEWER, &drilled(NEWER, "2026-11-21T23:00:00Z", DrillResult::Failed, 10, 1.0));
        // The record of one release beside another one is no record of it.
        write(NEWER, &drilled(OLDER, "2026-11-22T23:00:00Z", DrillResult::Passed, 10, 1.0));
        assert_eq!(told(&ledger, &newer), Some((4.0, measured("2026-11-20"))));
    }
}
