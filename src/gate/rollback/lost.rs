//! What a restore loses: the time since each capture, and the rows where the source can tell.

use super::survey::Present;
use crate::model::way::{Loss, SourceLoss};
use crate::policy::restored;
use jiff::Timestamp;

/// Says what restoring each source that has a snapshot loses.
pub(super) fn lost(presents: &[Present<'_>], now: Timestamp, has_begun: bool) -> Vec<SourceLoss> {
    presents.iter().filter(|present| present.record.snapshot.is_some()).map(|one| of(one, now, has_begun)).collect()
}

fn of(present: &Present<'_>, now: Timestamp, has_begun: bool) -> SourceLoss {
    let record = present.record;
    let loss = SourceLoss {
        source: record.name.clone(),
        since: record.captured_at(),
        seconds: record.captured_at().map(|since| seconds(since, now)),
        tables: Vec::new(),
        more_rows: None,
        files_differ: None,
        not_counted: None,
    };
    // What was restored already has lost nothing any more.
    if has_begun {
        let why = "the rollback has begun: what was there is in its safety snapshot".to_owned();
        return SourceLoss { not_counted: Some(why), ..loss };
    }
    match &present.touched {
        Some(Ok(files)) => return SourceLoss { files_differ: Some(*files), ..loss },
        Some(Err(why)) => return SourceLoss { not_counted: Some(why.clone()), ..loss },
        None => {}
    }
    match &present.content {
        Err(why) => SourceLoss { not_counted: Some(why.clone()), ..loss },
        Ok(content) => match restored::changed(&record.content, content) {
            None => SourceLoss { not_counted: Some("it tells no rows".to_owned()), ..loss },
            Some(tables) => {
                let more = tables.iter().map(restored::more).sum();
                SourceLoss { tables, more_rows: Some(more), ..loss }
            }
        },
    }
}

/// Returns what all of them lose together.
pub(super) fn together(lost: &[SourceLoss]) -> Loss {
    let since =
        lost.iter().filter_map(|loss| loss.since).min().filter(|_| lost.iter().all(|loss| loss.since.is_some()));
    let seconds = since.and_then(|_| lost.iter().filter_map(|loss| loss.seconds).reduce(f64::max));
    // A sum that leaves some out would look like the whole.
    let is_counted = |loss: &SourceLoss| loss.more_rows.is_some() || loss.files_differ.is_some();
    let rows = match lost.iter().all(is_counted) {
        true => lost.iter().filter_map(|loss| loss.more_rows).reduce(u64::saturating_add).filter(|rows| *rows > 0),
        false => None,
    };
    Loss { since, seconds, rows, dropped: false }
}

/// Returns how many seconds lie between two moments; none if the clock went back.
pub(super) fn seconds(since: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(since).as_secs_f64().max(0.0)
}
