//! Standbys: they may be captured, but whoever captures one should know that it is behind its primary.

use super::connect::Connection;
use super::facts::ServerFacts;
use crate::error::Result;
use crate::model::finding::{Finding, FindingCode};

/// How far the log is replayed, the last transaction in it, and how many seconds ago that was.
const REPLAYED: &str = "SELECT pg_catalog.pg_last_wal_replay_lsn(), pg_catalog.pg_last_xact_replay_timestamp(), \
    round(extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp()))";

/// Warns if the server is a standby, and says how far it is behind.
///
/// # Errors
/// `capture-failed`: it does not answer; the reason of a cancellation.
pub(super) fn warning(connection: &Connection, facts: &ServerFacts) -> Result<Option<Finding>> {
    if !facts.is_in_recovery {
        return Ok(None);
    }
    let row = connection.rows("ask how far the standby is", REPLAYED)?.into_iter().next().unwrap_or_default();
    let value = |at: usize| row.get(at).and_then(Option::as_deref);
    Ok(Some(describe(value(0), value(1).zip(value(2)))))
}

/// Puts in words up to which position of the log a standby is, and when its last transaction was: as a time, and in
/// seconds ago.
fn describe(position: Option<&str>, last: Option<(&str, &str)>) -> Finding {
    let position = position.map_or(String::new(), |position| format!(" up to {position}"));
    // A primary on which nothing happens looks the same as a standby that hears nothing of it.
    let behind = last.map_or("no transaction since it started".to_owned(), |(time, seconds)| {
        format!("its last transaction is of {time}, {seconds} s ago")
    });
    let message = format!("the server is a standby, which has replayed the log{position}: {behind}");
    Finding::warning(FindingCode::PreflightFailed, message)
        .hint("what the primary has beyond that is not captured: name the primary in `url` if it matters")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Level;

    #[test]
    fn it_is_said_how_far_a_standby_is() {
        let finding = describe(Some("0/3000060"), Some(("2026-11-21 10:00:00+00", "90")));
        assert_eq!((finding.code, finding.level), (FindingCode::PreflightFailed, Level::Warning));
        assert!(
            finding.message.ends_with("up to 0/3000060: its last transaction is of 2026-11-21 10:00:00+00, 90 s ago")
        );
        assert!(describe(None, None).message.ends_with("replayed the log: no transaction since it started"));
    }
}
