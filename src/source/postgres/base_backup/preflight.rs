//! What a base backup will need of the server.

use super::super::Server;
use super::super::connect::{Connection, identifier};
use super::super::facts::ServerFacts;
use super::super::standby;
use crate::error::Result;
use crate::model::finding::{Finding, FindingCode};
use crate::process::run_to_end;
use crate::source::Context;
use std::time::Duration;

/// The program that asks for a replication connection: the native one cannot. It comes with `pg_basebackup`.
pub(super) const ASKS: &str = "psql";

/// The first version that writes a manifest of a backup.
const FIRST_WITH_MANIFEST: u32 = 130_000;

/// What the server must have, one value in each column.
const QUERY: &str = "SELECT current_setting('wal_level'), \
    (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), \
    current_setting('max_wal_senders')::int, \
    (SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walsender'), \
    (SELECT string_agg(spcname, ', ' ORDER BY spcname) FROM pg_catalog.pg_tablespace \
      WHERE spcname NOT IN ('pg_default', 'pg_global'))";

/// What was seen.
pub(super) struct Looked {
    /// What speaks against a base backup.
    pub findings: Vec<Finding>,
    /// The size of all databases in bytes; `None` if the user may not ask.
    pub cluster_bytes: Option<u64>,
}

/// Asks the server.
///
/// # Errors
/// `capture-failed`: it does not answer; the reason of a cancellation.
pub(super) fn look(connection: &Connection, facts: &ServerFacts) -> Result<Looked> {
    let doing = "ask for what a base backup needs";
    let row = connection.rows(doing, QUERY)?.into_iter().next().unwrap_or_default();
    let value = |at: usize| row.get(at).and_then(Option::as_deref);
    let number = |at| value(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let mut findings = Vec::new();
    let refusal = |message: String, hint: String| Finding::refusal(FindingCode::PreflightFailed, message).hint(hint);
    if facts.number < FIRST_WITH_MANIFEST {
        let message = format!("the server is {}, and base backups can be checked from 13 on", facts.version);
        findings.push(Finding::refusal(FindingCode::VersionMismatch, message).hint("use method = \"dump\""));
    }
    findings.extend(facts.identity_hidden());
    if value(1) != Some("t") {
        let user = &facts.user;
        let message = format!("the user {user} may not make base backups: it has no REPLICATION attribute");
        let hint = format!("let a superuser say: ALTER ROLE {} REPLICATION", identifier(user));
        findings.push(Finding::refusal(FindingCode::PrivilegeMissing, message).hint(hint));
    }
    if value(0) == Some("minimal") {
        findings.push(refusal(
            "wal_level is minimal: the log does not hold what a base backup needs".to_owned(),
            "set wal_level = replica in postgresql.conf, and start the server again".to_owned(),
        ));
    }
    if number(3) >= number(2) {
        findings.push(refusal(
            format!("{} of {} connections for replication (max_wal_senders) are taken", number(3), number(2)),
            "raise max_wal_senders in postgresql.conf, and start the server again".to_owned(),
        ));
    }
    if let Some(names) = value(4) {
        findings.push(refusal(
            format!("the cluster has tablespaces ({names}), which a base backup in one stream cannot hold"),
            "capture its databases by method = \"dump\", or back it up with pgBackRest or Barman and use \
             method = \"restore-point\""
                .to_owned(),
        ));
    }
    findings.extend(standby::warning(connection, facts)?);
    let size = "SELECT sum(pg_catalog.pg_database_size(oid)) FROM pg_catalog.pg_database";
    let cluster_bytes = connection.value(doing, size).ok().flatten().and_then(|size| size.parse().ok());
    Ok(Looked { findings, cluster_bytes })
}

/// Opens a connection of the kind that a base backup needs, which `pg_hba.conf` allows or not by itself.
pub(super) fn replication_refused(server: &Server, context: &Context) -> Option<Finding> {
    let endpoint = server.endpoint().ok()?;
    let arguments = ["--no-psqlrc", "--no-password", "--quiet", "--command=IDENTIFY_SYSTEM", "replication=true"];
    let program = server.program(ASKS, arguments, &endpoint, context);
    let within = endpoint.patience.saturating_add(Duration::from_secs(2));
    let error = run_to_end(&program, within, &context.cancel, 4096).and_then(|output| output.into_stdout()).err()?;
    let message = format!("the server lets nobody in who would make a base backup: {}", error.chain());
    let finding = Finding::from_error(&error, FindingCode::PrivilegeMissing);
    let user = identifier(&endpoint.user);
    Some(Finding { message, ..finding }.hint(format!(
        "add a line to pg_hba.conf, then SELECT pg_reload_conf(): host replication {user} ADDRESS scram-sha-256"
    )))
}
