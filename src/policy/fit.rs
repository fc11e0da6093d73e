//! Will it be done in time? A database grows, and a deadline that was set when it was small stays.

use crate::model::finding::{Finding, FindingCode};
use std::time::Duration;

/// What the last comparable release took.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Bytes of all its sources.
    pub bytes: u64,
    /// How long it took to capture and to read them back.
    pub took: Duration,
}

/// Warns if as many bytes as there are now will take longer than there is time, at the pace of last time.
///
/// Little data tells no pace, so that up to 64 MiB are never warned of.
pub fn judge(last: Pace, bytes_now: u64, left: Duration) -> Option<Finding> {
    const LITTLE: u64 = 64 << 20;
    if last.bytes < LITTLE || bytes_now < LITTLE {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate needs no more than 52 bits")]
    let expected = last.took.mul_f64(bytes_now as f64 / last.bytes as f64);
    (expected > left).then(|| {
        let message = format!(
            "{bytes_now} bytes will take about {} s at the pace of the last release, and {} s are left",
            expected.as_secs(),
            left.as_secs()
        );
        Finding::warning(FindingCode::MayNotFit, message)
            .hint("raise --timeout or [gate] timeout, or take a snapshot ahead of the deploy with `holdpoint snapshot`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_data_than_time_is_a_warning() {
        let last = Pace { bytes: 1 << 30, took: Duration::from_secs(60) };
        let warns = |bytes: u64, left: u64| judge(last, bytes, Duration::from_secs(left)).is_some();
        assert!(!warns(1 << 30, 61) && warns(1 << 30, 59));
        assert!(!warns(3 << 30, 181) && warns(3 << 30, 179));
        assert!(!warns(1 << 20, 0));
        assert_eq!(judge(Pace { bytes: 1, ..last }, 1 << 40, Duration::ZERO), None);
    }
}
