//! How long a gate will take, by what it took before.

use super::super::ways::span;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{Manifest, Purpose, SourceOutcome, State};
use std::time::Duration;

/// What one earlier gate took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took {
    /// To capture and to read back.
    pub work: Duration,
    /// From its start to its record.
    pub whole: Duration,
}

/// What a gate is expected to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// To capture and to read back.
    pub work: Duration,
    /// From its start to its record.
    pub whole: Duration,
    /// How many earlier gates say so; never zero.
    pub gates: usize,
}

/// Returns what the gate of a release took; `None` for one that says nothing of the next: it did not pass, was no gate, or
/// left sources to older snapshots.
pub fn took(release: &Manifest) -> Option<Took> {
    let stood_in = release.sources.iter().any(|source| source.outcome == SourceOutcome::StoodIn);
    if release.state != State::Passed || release.purpose != Purpose::Gate || stood_in {
        return None;
    }
    let seconds = release.measured.capture_seconds + release.measured.verify_seconds;
    let work = Duration::try_from_secs_f64(seconds).ok()?;
    let whole = release.id.started_at().and_then(|started| release.created_at.duration_since(started).try_into().ok());
    Some(Took { work, whole: work.max(whole.unwrap_or_default()) })
}

/// Returns the medians; of an even number the longer of the middle ones.
pub fn expect(took: &[Took]) -> Option<Expected> {
    let median = |of: fn(&Took) -> Duration| {
        let mut sorted: Vec<_> = took.iter().map(of).collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    };
    Some(Expected { work: median(|took| took.work)?, whole: median(|took| took.whole)?, gates: took.len() })
}

impl Expected {
    /// Says by how many earlier gates.
    pub fn by(&self) -> String {
        match self.gates {
            1 => "the last release".to_owned(),
            gates => format!("the median of the last {gates} releases"),
        }
    }
}

/// Refuses if there is less time before the deadline than capturing and reading back take.
pub fn judge_deadline(expected: Expected, left: Duration) -> Option<Finding> {
    (expected.work > left).then(|| {
        let message = format!(
            "capturing and reading back take {} by {}, and {} are left before the deadline",
            span(expected.work.as_secs_f64()),
            expected.by(),
            span(left.as_secs_f64()),
        );
        Finding::refusal(FindingCode::DeadlineTooShort, message)
            .hint("raise --timeout or [gate] timeout, or take a snapshot ahead of the deploy with `holdpoint snapshot`")
    })
}
