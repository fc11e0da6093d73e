//! Making a restore point, and waiting until the segment that holds it is in the archive.

use super::archive::Wanted;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::source::postgres::connect::{Connection, literal};
use crate::source::postgres::wal::{Lsn, SegmentName};
use std::time::Duration;

/// How long to wait before asking the archiver again.
const PAUSE: Duration = Duration::from_millis(100);
/// How often the archiver tries a segment before it pauses for a minute (`NUM_ARCHIVE_RETRIES` in the server).
const TRIES: u64 = 3;

/// A restore point that was made.
#[derive(Debug)]
pub(super) struct Made {
    /// A position before it where a record begins.
    pub from: Lsn,
    /// The position after it.
    pub end: Lsn,
    /// The segment that holds its last byte.
    pub segment: SegmentName,
    segment_size: u32,
    /// How often the archiver had failed before.
    failures: u64,
}

impl Made {
    /// Says what the archive must hold.
    pub fn wanted<'a>(&self, name: &'a str, system_identifier: Option<u64>) -> Wanted<'a> {
        let Self { from, end, segment, segment_size, .. } = *self;
        Wanted { name, end, from, segment, system_identifier, segment_size }
    }
}

/// Makes a restore point, and has the server close the segment that holds it.
///
/// # Errors
/// `capture-failed`: the server refuses or is gone; the reason of a cancellation.
pub(super) fn make(connection: &Connection, name: &str) -> Result<Made> {
    let doing = "create a restore point";
    let strange =
        |what: &str| Error::new(ErrorCode::CaptureFailed, format!("cannot {doing}: {what} is not understood"));
    let sql = "SELECT pg_catalog.pg_current_wal_insert_lsn(), \
        pg_catalog.pg_size_bytes(current_setting('wal_segment_size')), failed_count FROM pg_catalog.pg_stat_archiver";
    let before = connection.rows(doing, sql)?.into_iter().next().unwrap_or_default();
    let value = |at: usize| before.get(at).and_then(Option::as_deref).unwrap_or_default();
    let from = Lsn::parse(value(0)).ok_or_else(|| strange("the position before it"))?;
    let segment_size = value(1).parse().map_err(|_| strange("the size of segments"))?;
    let failures = value(2).parse().unwrap_or(0);
    let sql = format!(
        "SELECT lsn, pg_catalog.pg_walfile_name(lsn) FROM pg_catalog.pg_create_restore_point({}) AS lsn",
        literal(name)
    );
    let point = connection.rows(doing, &sql)?.into_iter().next().unwrap_or_default();
    let value = |at: usize| point.get(at).and_then(Option::as_deref).unwrap_or_default();
    let end = Lsn::parse(value(0)).ok_or_else(|| strange("its position"))?;
    let segment = SegmentName::parse(value(1)).ok_or_else(|| strange("its segment"))?;
    connection.rows("have the server close a segment of its log", "SELECT pg_catalog.pg_switch_wal()")?;
    Ok(Made { from, end, segment, segment_size, failures })
}

/// Waits until the archiver has stored the segment, for as long as the run may take.
///
/// # Errors
/// `capture-failed`: the archiver fails, or the server is gone; the reason of a cancellation.
pub(super) fn wait_until_archived(connection: &Connection, made: &Made, cancel: &Cancel) -> Result<()> {
    let sql = "SELECT last_archived_wal, failed_count, last_failed_wal, \
        last_failed_time > coalesce(last_archived_time, '-infinity') FROM pg_catalog.pg_stat_archiver";
    loop {
        let row = connection.rows("ask whether the log is archived", sql)?.into_iter().next().unwrap_or_default();
        let value = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
        // Segments go into the archive in their order; `.backup` and `.history` files go between them.
        let last = value(0).get(..24).and_then(SegmentName::parse);
        let size = made.segment_size;
        let is_stored =
            |last: SegmentName| last.timeline == made.segment.timeline && last.start(size) >= made.segment.start(size);
        if last.is_some_and(is_stored) {
            return Ok(());
        }
        let failures = value(1).parse::<u64>().unwrap_or(0).saturating_sub(made.failures);
        // One failure may be a hiccup; when the archiver itself pauses, so does the hope.
        if failures >= TRIES && value(3) == "t" {
            let text = format!(
                "the segment {} is not archived: the server tried {} {failures} times and failed",
                made.segment,
                value(2)
            );
            return Err(Error::new(ErrorCode::CaptureFailed, text)
                .hint("see in the server's log why archive_command (or archive_library) fails"));
        }
        cancel.sleep(PAUSE)?;
    }
}
