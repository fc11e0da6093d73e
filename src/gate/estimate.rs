//! How long the restore of a source takes: by the last drill that passed, else by the speed of reading back.

use crate::model::drill::DrilledSource;
use crate::model::manifest::SourceRecord;
use std::collections::BTreeMap;

/// What is known of the speed of restores.
#[derive(Debug, Clone, Default)]
pub struct Speed {
    /// The speed at which this run read its snapshots back, in bytes a second, if it read enough to tell.
    pub read_back: Option<f64>,
    /// The sources of the last drill that passed.
    pub drilled: Vec<DrilledSource>,
    /// What the runs that captured the snapshots which stand in reckoned, in seconds, by source.
    pub reckoned: BTreeMap<String, f64>,
}

impl Speed {
    /// Returns about how long a restore of a source takes, in seconds.
    pub fn seconds(&self, source: &SourceRecord) -> Option<f64> {
        let drilled = self.drilled.iter().find(|one| one.name == source.name && one.kind == source.kind);
        // A restore point is small, and how much log a recovery replays nobody knows.
        let is_point = source.method == "restore-point";
        match drilled.filter(|drilled| drilled.seconds > 0.0) {
            Some(drilled) if is_point || drilled.bytes == 0 => Some(drilled.seconds),
            // What a restore does whatever the size is part of it: less data is hardly quicker.
            Some(drilled) => Some(drilled.seconds * (as_number(source.bytes) / as_number(drilled.bytes)).max(1.0)),
            None => {
                let by_speed = self.read_back.filter(|_| !is_point).map(|speed| as_number(source.bytes) / speed);
                by_speed.or_else(|| self.reckoned.get(&source.name).copied())
            }
        }
    }

    /// Returns about how long a restore of all of them takes, in seconds; `None` if nothing was measured.
    pub fn total(&self, sources: &[SourceRecord]) -> Option<f64> {
        let known = sources.iter().filter(|source| source.snapshot.is_some()).filter_map(|source| self.seconds(source));
        known.fold(None, |sum, seconds| Some(sum.unwrap_or(0.0) + seconds))
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
fn as_number(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::sample;

    #[test]
    fn a_drill_is_believed_before_the_speed_of_reading_back() {
        let manifest = sample::passed("20261120T213000Z-1.4.0-3f9c2ab1");
        let mut source = manifest.sources[0].clone();
        let drilled = DrilledSource {
            name: source.name.clone(),
            kind: source.kind.clone(),
            snapshot: String::new(),
            place: String::new(),
            result: crate::model::drill::DrillResult::Passed,
            bytes: 10,
            seconds: 4.0,
            content: Default::default(),
        };
        source.bytes = 20;
        let mut speed = Speed { read_back: Some(5.0), ..Speed::default() };
        assert_eq!(speed.seconds(&source), Some(4.0));
        speed.drilled.push(DrilledSource { seconds: 3.0, ..drilled.clone() });
        assert_eq!((speed.seconds(&source), speed.total(std::slice::from_ref(&source))), (Some(6.0), Some(6.0)));
        source.method = "restore-point".to_owned();
        assert_eq!(speed.seconds(&source), Some(3.0), "how much log is replayed does not grow with its size");
        speed.drilled.clear();
        assert_eq!((speed.seconds(&source), speed.total(&[source])), (None, None));
    }
}
