//! Base backups of pgBackRest and Barman, which answer for themselves.
//!
//! What their programs print was recorded of pgBackRest 2.45 and Barman 3.4.

use super::record::BaseBackupRecord;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::process::{Program, run_to_end};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long one of the programs may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most that it may print, in bytes.
const MOST: u64 = 64 << 20;

/// A base backup of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct External {
    /// Which one it is.
    pub record: BaseBackupRecord,
    /// When it was complete.
    pub finished_at: Timestamp,
    /// The server that it is of, if the program says it.
    pub system_identifier: Option<u64>,
    /// The timeline that it ends on, if the program says it.
    pub timeline: Option<u32>,
}

/// Asks pgBackRest for the newest backup of a stanza.
///
/// # Errors
/// `capture-failed`: it has none that is good; `process-failed`; a cancellation.
pub(super) fn pgbackrest(stanza: &str, cancel: &Cancel) -> Result<External> {
    let stanza_argument = format!("--stanza={stanza}");
    let text = ask(&["pgbackrest", &stanza_argument, "--output=json", "info"], cancel)?;
    of_pgbackrest(&text, stanza).map_err(|why| none("pgBackRest", stanza, &why))
}

/// Asks Barman for the newest backup of a server, and whether it finds anything wrong.
///
/// # Errors
/// `capture-failed`: it has none that is good; `process-failed`; a cancellation.
pub(super) fn barman(server: &str, cancel: &Cancel) -> Result<External> {
    let failed = |why: String| none("Barman", server, &why);
    let list = ask(&["barman", "--format", "json", "list-backups", server], cancel)?;
    let id = newest_of_barman(&list, server).map_err(failed)?;
    let shown = ask(&["barman", "--format", "json", "show-backup", server, &id], cancel)?;
    let checked = ask(&["barman", "--format", "json", "check", server], cancel)?;
    barman_is_well(&checked, server).map_err(failed)?;
    of_barman(&shown, server, id).map_err(failed)
}

fn ask(argv: &[&str], cancel: &Cancel) -> Result<Vec<u8>> {
    run_to_end(&Program::new(argv.iter().copied()), PATIENCE, cancel, MOST)?.into_stdout()
}

fn none(program: &str, name: &str, why: &str) -> Error {
    Error::new(ErrorCode::CaptureFailed, format!("{program} has no base backup of {name} to count from: {why}"))
}

#[derive(Deserialize)]
struct Stanza {
    name: String,
    #[serde(default)]
    backup: Vec<StanzaBackup>,
    #[serde(default)]
    db: Vec<StanzaDb>,
    status: StanzaStatus,
}

#[derive(Deserialize)]
struct StanzaStatus {
    code: u32,
    message: String,
}

#[derive(Deserialize)]
struct StanzaBackup {
    label: String,
    /// Absent or null in what older versions made.
    #[serde(default)]
    error: Option<bool>,
    timestamp: StanzaTime,
    archive: StanzaArchive,
    database: StanzaDatabase,
}

#[derive(Deserialize)]
struct StanzaTime {
    stop: i64,
}

#[derive(Deserialize)]
struct StanzaArchive {
    stop: Option<String>,
}

#[derive(Deserialize)]
struct StanzaDatabase {
    id: u64,
    #[serde(rename = "repo-key", default)]
    repository: u64,
}

#[derive(Deserialize)]
struct StanzaDb {
    id: u64,
    #[serde(rename = "repo-key", default)]
    repository: u64,
    #[serde(rename = "system-id")]
    system_identifier: u64,
}

fn of_pgbackrest(text: &[u8], name: &str) -> Result<External, String> {
    let stanzas: Vec<Stanza> = json(text)?;
    let stanza = stanzas.into_iter().find(|stanza| stanza.name == name).ok_or("it does not know the stanza")?;
    if stanza.status.code != 0 {
        return Err(stanza.status.message);
    }
    let newest = stanza.backup.into_iter().max_by_key(|backup| backup.timestamp.stop).ok_or("it has none at all")?;
    if newest.error == Some(true) {
        return Err(format!("the newest, {}, has pages with wrong checksums", newest.label));
    }
    let of = &newest.database;
    let db = stanza.db.iter().find(|db| (db.id, db.repository) == (of.id, of.repository));
    let segment = newest.archive.stop.as_deref().and_then(crate::source::postgres::wal::SegmentName::parse);
    Ok(External {
        finished_at: time(newest.timestamp.stop)?,
        system_identifier: db.map(|db| db.system_identifier),
        timeline: segment.map(|segment| segment.timeline),
        record: BaseBackupRecord::PgBackRest { stanza: name.to_owned(), label: newest.label },
    })
}

#[derive(Deserialize)]
struct ListedBackup {
    backup_id: String,
    status: String,
    #[serde(default)]
    end_time_timestamp: String,
}

/// Returns the newest backup that is complete; one that fails or runs is no matter for those before it.
fn newest_of_barman(text: &[u8], server: &str) -> Result<String, String> {
    let mut servers: BTreeMap<String, Vec<ListedBackup>> = json(text)?;
    let backups = servers.remove(server).ok_or("it does not know the server")?;
    let done = backups.into_iter().filter(|backup| backup.status == "DONE");
    let seconds = |backup: &ListedBackup| backup.end_time_timestamp.parse::<i64>().unwrap_or(0);
    done.max_by_key(seconds).map(|backup| backup.backup_id).ok_or_else(|| "it has none that is complete".to_owned())
}

#[derive(Deserialize)]
struct ShownBackup {
    status: String,
    base_backup_information: ShownBase,
    #[serde(default)]
    system_id: Option<String>,
}

#[derive(Deserialize)]
struct ShownBase {
    end_time_timestamp: String,
    timeline: u32,
}

fn of_barman(text: &[u8], server: &str, backup: String) -> Result<External, String> {
    let mut servers: BTreeMap<String, ShownBackup> = json(text)?;
    let shown = servers.remove(server).ok_or("it does not know the server")?;
    if shown.status != "DONE" {
        return Err(format!("the newest, {backup}, is {}", shown.status));
    }
    let seconds = shown.base_backup_information.end_time_timestamp;
    let seconds = seconds.parse().map_err(|_| format!("{seconds} is not a time"))?;
    Ok(External {
        finished_at: time(seconds)?,
        system_identifier: shown.system_id.and_then(|identifier| identifier.parse().ok()),
        timeline: Some(shown.base_backup_information.timeline),
        record: BaseBackupRecord::Barman { server: server.to_owned(), backup },
    })
}

#[derive(Deserialize)]
struct Checked {
    status: String,
    #[serde(default)]
    hint: String,
}

fn barman_is_well(text: &[u8], server: &str) -> Result<(), String> {
    let mut servers: BTreeMap<String, BTreeMap<String, Checked>> = json(text)?;
    let checks = servers.remove(server).ok_or("it does not know the server")?;
    let failed: Vec<_> = checks
        .iter()
        .filter(|(_, check)| check.status == "FAILED")
        .map(|(name, check)| if check.hint.is_empty() { name.clone() } else { format!("{name} ({})", check.hint) })
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("its check fails: {}", failed.join(", "))) }
}

fn json<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|error| format!("it answers in a way that is not understood: {error}"))
}

fn time(seconds: i64) -> Result<Timestamp, String> {
    Timestamp::from_second(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PGBACKREST: &str = r#"[{"archive":[{"database":{"id":1,"repo-key":1},"id":"15-1","max":"000000010000000000000004","min":"000000010000000000000003"}],"backup":[{"archive":{"start":"000000010000000000000004","stop":"000000010000000000000004"},"backrest":{"format":5,"version":"2.45"},"database":{"id":1,"repo-key":1},"error":false,"info":{"delta":23295697,"repository":{"delta":3075125,"size":3075125},"size":23295697},"label":"20261121-104653F","lsn":{"start":"0/4000028","stop":"0/4000100"},"prior":null,"reference":null,"timestamp":{"start":1795258013,"stop":1795258023},"type":"full"}],"cipher":"none","db":[{"id":1,"repo-key":1,"system-id":7710566680744675293,"version":"15"}],"name":"main","repo":[{"cipher":"none","key":1,"status":{"code":0,"message":"ok"}}],"status":{"code":0,"lock":{"backup":{"held":false}},"message":"ok"}}]"#;
    const NO_STANZA: &str = r#"[{"archive":[],"backup":[],"cipher":"none","db":[],"name":"main","repo":[{"cipher":"none","key":1,"status":{"code":1,"message":"missing stanza path"}}],"status":{"code":1,"lock":{"backup":{"held":false}},"message":"missing stanza path"}}]"#;
    const BARMAN_LIST: &str = r#"{"main": [{"backup_id": "20261121T110000", "status": "FAILED"}, {"backup_id": "20261121T104734", "end_time": "Sat Nov 21 10:47:37 2026", "end_time_timestamp": "1795258057", "retention_status": "-", "size": "38.3 MiB", "size_bytes": 40210526, "status": "DONE", "tablespaces": [], "wal_size": "0 B", "wal_size_bytes": 0}]}"#;
    const BARMAN_SHOW: &str = r#"{"main": {"backup_id": "20261121T104734", "base_backup_information": {"begin_lsn": "0/7000028", "begin_wal": "000000010000000000000007", "end_lsn": "0/8000000", "end_time": "2026-11-21 10:47:37.751262+00:00", "end_time_timestamp": "1795258057", "end_wal": "000000010000000000000007", "timeline": 1}, "pgdata_directory": "/d", "postgresql_version": 150020, "status": "DONE", "tablespaces": []}}"#;

    #[test]
    fn pgbackrest_answers_for_itself() {
        let found = of_pgbackrest(PGBACKREST.as_bytes(), "main").unwrap();
        let record = BaseBackupRecord::PgBackRest { stanza: "main".to_owned(), label: "20261121-104653F".to_owned() };
        assert_eq!((found.record, found.finished_at.as_second()), (record, 1_795_258_023));
        assert_eq!((found.system_identifier, found.timeline), (Some(7_710_566_680_744_675_293), Some(1)));
        let refused = |text: &str, stanza| of_pgbackrest(text.as_bytes(), stanza).unwrap_err();
        assert_eq!(refused(NO_STANZA, "main"), "missing stanza path");
        assert!(refused(PGBACKREST, "other").contains("does not know"));
        assert!(refused(&PGBACKREST.replace("\"error\":false", "\"error\":true"), "main").contains("checksums"));
        assert!(refused("not JSON", "main").contains("not understood"));
    }

    #[test]
    fn barman_answers_for_itself() {
        assert_eq!(newest_of_barman(BARMAN_LIST.as_bytes(), "main").unwrap(), "20261121T104734");
        assert!(newest_of_barman(br#"{"main": []}"#, "main").unwrap_err().contains("none that is complete"));
        let found = of_barman(BARMAN_SHOW.as_bytes(), "main", "20261121T104734".to_owned()).unwrap();
        assert_eq!((found.finished_at.as_second(), found.timeline), (1_795_258_057, Some(1)));
        barman_is_well(br#"{"main": {"wal_level": {"hint": "", "status": "OK"}}}"#, "main").unwrap();
        let check = br#"{"main": {"wal_archive": {"hint": "set up shipping", "status": "FAILED"}}}"#;
        assert_eq!(barman_is_well(check, "main").unwrap_err(), "its check fails: wal_archive (set up shipping)");
    }
}
