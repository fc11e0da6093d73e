//! What a restore point will need of the server and of the base backups of another program.

use super::external::External;
use crate::error::Result;
use crate::model::finding::{Finding, FindingCode};
use crate::source::postgres::connect::Connection;
use crate::source::postgres::facts::{ServerFacts, grant_execute};
use crate::source::postgres::wal::SegmentName;
use jiff::Timestamp;
use std::time::Duration;

/// The first version that recovers by settings and a signal file.
const FIRST_WITH_SIGNAL: u32 = 120_000;

/// The functions that are called, and how a user who is no superuser is let.
const FUNCTIONS: [&str; 2] = ["pg_create_restore_point(text)", "pg_switch_wal()"];

/// What was seen.
pub(super) struct Looked {
    /// What speaks against a restore point.
    pub findings: Vec<Finding>,
    /// The timeline of the server; `None` if it is a standby.
    pub timeline: Option<u32>,
}

/// Asks the server.
///
/// # Errors
/// `capture-failed`: it does not answer; the reason of a cancellation.
pub(super) fn look(connection: &Connection, facts: &ServerFacts) -> Result<Looked> {
    let mut findings = Vec::new();
    if facts.number < FIRST_WITH_SIGNAL {
        let message = format!("the server is {}, and restore points are recovered from 12 on", facts.version);
        findings.push(Finding::refusal(FindingCode::VersionMismatch, message).hint("use method = \"dump\""));
        return Ok(Looked { findings, timeline: None });
    }
    if facts.is_in_recovery {
        let message = "the server is a standby: a restore point can only be made where the log is written";
        findings.push(refusal(message.to_owned(), "name the primary in `url`"));
        return Ok(Looked { findings, timeline: None });
    }
    findings.extend(facts.identity_hidden());
    findings.extend(privileges(connection, facts)?);
    findings.extend(archiving(connection)?);
    let name = "SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn())";
    let name = connection.value("ask for the timeline", name)?;
    let timeline = name.as_deref().and_then(SegmentName::parse).map(|segment| segment.timeline);
    Ok(Looked { findings, timeline })
}

/// Names every function that the user may not call, with the statements that let it.
fn privileges(connection: &Connection, facts: &ServerFacts) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for function in FUNCTIONS {
        let sql = format!("SELECT pg_catalog.has_function_privilege('pg_catalog.{function}', 'EXECUTE')");
        if connection.value("ask for the user's privileges", &sql)?.as_deref() != Some("t") {
            let message = format!("the user {} may not call {function}", facts.user);
            let hint = grant_execute(function, &facts.user);
            findings.push(Finding::refusal(FindingCode::PrivilegeMissing, message).hint(hint));
        }
    }
    Ok(findings)
}

/// Says whether the log is archived, and whether that works.
fn archiving(connection: &Connection) -> Result<Vec<Finding>> {
    let sql = "SELECT current_setting('wal_level'), current_setting('archive_mode'), \
        last_failed_time > coalesce(last_archived_time, '-infinity'), last_failed_wal, last_failed_time, \
        coalesce('the last that was is ' || last_archived_wal, 'none ever was') FROM pg_catalog.pg_stat_archiver";
    let row = connection.rows("ask whether the log is archived", sql)?.into_iter().next().unwrap_or_default();
    let value = |at: usize| row.get(at).and_then(Option::as_deref).unwrap_or_default();
    let mut findings = Vec::new();
    if value(0) == "minimal" {
        let message = "wal_level is minimal: the log does not hold what a recovery needs";
        findings.push(refusal(message.to_owned(), "set wal_level = replica, and start the server again"));
    }
    if value(1) == "off" {
        let message = "archive_mode is off: the log is not archived, so no point in it can be recovered";
        let hint = "set archive_mode = on and archive_command (or archive_library), and start the server again";
        findings.push(refusal(message.to_owned(), hint));
    } else if value(2) == "t" {
        let message =
            format!("the log is not archived: {} could not be stored at {}, and {}", value(3), value(4), value(5));
        findings.push(refusal(message, "see in the server's log why archive_command (or archive_library) fails"));
    }
    Ok(findings)
}

/// Judges the base backup of another program by its age, server and timeline.
pub(super) fn judge(
    external: &External,
    within: Duration,
    facts: &ServerFacts,
    timeline: Option<u32>,
) -> Option<Finding> {
    let old = |message: String| {
        let hint = "take a base backup with the program that keeps them, and see why its schedule did not";
        Some(Finding::refusal(FindingCode::BaseBackupOld, message).hint(hint))
    };
    let age = Timestamp::now().duration_since(external.finished_at);
    if age > jiff::SignedDuration::try_from(within).unwrap_or(jiff::SignedDuration::MAX) {
        let age = humantime::format_duration(Duration::from_secs(age.unsigned_abs().as_secs()));
        let within = humantime::format_duration(within);
        return old(format!("the newest base backup is {age} old, and base_backup_within is {within}"));
    }
    let ours = facts.system_identifier.as_deref().and_then(|identifier| identifier.parse::<u64>().ok());
    if let (Some(theirs), Some(ours)) = (external.system_identifier, ours)
        && theirs != ours
    {
        return old(format!("the newest base backup is of the server {theirs}, and this is {ours}"));
    }
    match (external.timeline, timeline) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            old(format!("the newest base backup is of the timeline {theirs}, and the server is on {ours}"))
        }
        _ => None,
    }
}

fn refusal(message: String, hint: &str) -> Finding {
    Finding::refusal(FindingCode::PreflightFailed, message).hint(hint)
}
