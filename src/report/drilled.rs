//! The drills of a release, by its events.

use super::units::{duration, time};
use crate::ledger::events::{Event, EventRecord};
use crate::model::drill::{Drill, DrillResult};
use jiff::Timestamp;

/// Returns every drill, newest first, with when it ended.
pub(super) fn drills(events: &[EventRecord]) -> impl Iterator<Item = (Timestamp, &Drill)> {
    events.iter().rev().filter_map(|record| match &record.event {
        Event::Drilled { at, drill } => Some((*at, &**drill)),
        _ => None,
    })
}

/// Returns the last drill, with when it ended.
pub(super) fn last(events: &[EventRecord]) -> Option<(Timestamp, &Drill)> {
    drills(events).next()
}

/// Says in a whole sentence what the last drill proves, if there was one.
pub(super) fn sentence(events: &[EventRecord]) -> Option<String> {
    let (at, drill) = last(events)?;
    Some(match drill.result {
        DrillResult::Passed => {
            format!("It was restored in a drill on {}, within {}.", time(at), duration(drill.seconds))
        }
        DrillResult::Failed | DrillResult::NotTried => {
            let why = drill.findings.first().map(|finding| format!(": {}", finding.in_words())).unwrap_or_default();
            format!("The last drill of this very release, on {}, FAILED{why}.", time(at))
        }
    })
}
