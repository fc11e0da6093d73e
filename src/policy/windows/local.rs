//! From the clock of an environment to moments, across the changes of that clock.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// Which moment is meant where the clock shows a time twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twice {
    /// The first one.
    First,
    /// The second one.
    Second,
}

/// Returns the moment at which the clock of `zone` shows `local`. A time that the clock jumps over is the moment when it jumps:
/// it is later than that from there on.
///
/// Both directions keep the order of times: of two times the later one never comes to an earlier moment.
pub(super) fn moment(zone: &TimeZone, local: DateTime, twice: Twice) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    match (ambiguous.offset(), twice) {
        (AmbiguousOffset::Gap { .. }, _) => {
            let (before, after) = (ambiguous.earlier().ok()?, ambiguous.later().ok()?);
            let jump = zone.following(before).next().map(|transition| transition.timestamp());
            Some(jump.filter(|jump| *jump <= after).unwrap_or(after))
        }
        (_, Twice::First) => ambiguous.earlier().ok(),
        (_, Twice::Second) => ambiguous.later().ok(),
    }
}

/// Shows a moment by the clock of `zone`, such as `Mon 2026-11-23 09:00 CET`.
pub(super) fn shown(zone: &TimeZone, at: Timestamp) -> String {
    at.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
}

/// Returns the name of a time zone.
pub(super) fn name(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("UTC")
}
