//! How long restores take: by the newest drill of the environment, or by what the gate reckoned.

use crate::ledger::drills::StoredDrill;
use crate::model::drill::{Drill, DrillResult};
use crate::model::manifest::{Manifest, SourceRecord};
use std::collections::BTreeMap;

/// What is known of the time that restores take.
#[derive(Debug, Default)]
pub(super) struct Estimates {
    sources: BTreeMap<String, (f64, String)>,
}

impl Estimates {
    /// Collects them for every source of a manifest: by the newest drill that passed and is believed, if there is one, and
    /// else by the gate. A drill of other data is scaled by their sizes.
    pub(super) fn collect(drilled: Option<&StoredDrill>, manifest: &Manifest) -> Self {
        let mut estimates = Self::default();
        for record in manifest.sources.iter().filter(|record| record.snapshot.is_some()) {
            let by_drill = drilled.and_then(|StoredDrill { at, drill, .. }| {
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
        estimates
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::manifest::digest;
    use crate::ledger::sample;

    /// A drill of uploads, of so many bytes in so many seconds.
    fn drilled(result: DrillResult, bytes: u64, seconds: f64) -> StoredDrill {
        let at = "2026-11-19T23:00:00Z";
        let drill = serde_json::json!({
            "application": "shop", "environment": "staging", "release": "20261119T213000Z-1.3.0-3f9c2ab1",
            "manifest_digest": digest(b"x"), "result": "passed", "key": "daily", "by": "ada", "started_at": at,
            "seconds": seconds,
            "sources": [{
                "name": "uploads", "kind": "files", "snapshot": "00", "place": "a directory", "result": result,
                "bytes": bytes, "seconds": seconds,
            }],
            "checks": [], "findings": [], "tool_version": "0.1.0",
        });
        let drill = serde_json::from_value(drill).unwrap();
        StoredDrill { at: at.parse().unwrap(), drill, bytes: Vec::new(), signature: None }
    }

    #[test]
    fn the_newest_drill_that_passed_tells_the_time_or_else_the_gate() {
        let mut manifest = sample::passed("20261120T213000Z-1.4.0-3f9c2ab1");
        let told = |drill: Option<&StoredDrill>, manifest: &Manifest| {
            let estimates = Estimates::collect(drill, manifest);
            estimates.of("uploads").map(|(seconds, by)| (seconds, by.to_owned()))
        };
        assert_eq!(told(None, &manifest), None);
        let step = serde_json::json!({
            "order": 1, "source": "uploads", "action": "restore", "destructive": true, "estimate_seconds": 7.0,
        });
        manifest.rollback.steps = vec![serde_json::from_value(step).unwrap()];
        let by_gate = Some((7.0, "estimated by the gate".to_owned()));
        assert_eq!(told(None, &manifest), by_gate);
        let measured = |seconds| Some((seconds, "measured by the drill of 2026-11-19".to_owned()));
        let of = |result, bytes, seconds| told(Some(&drilled(result, bytes, seconds)), &manifest);
        // Twice the bytes take twice as long.
        assert_eq!(of(DrillResult::Passed, 5, 3.0), measured(6.0));
        assert_eq!(of(DrillResult::Passed, 20, 4.0), measured(4.0), "fewer bytes are hardly quicker");
        assert_eq!(of(DrillResult::Failed, 10, 1.0), by_gate, "an optional source may fail in a drill that passed");
    }
}
