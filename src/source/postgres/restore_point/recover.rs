//! Recovering a cluster to exactly one restore point.
//!
//! The server itself replays the log, with settings of ours alone: it listens nowhere, and archives nothing. What it did,
//! it writes into the history of the timeline that it begins (`pg_wal/0000000N.history`), and that must say that it stopped
//! at the point.

use super::archive::Archive;
use super::record::{BaseBackupRecord, PointRecord};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Content;
use crate::process::Stream;
use crate::source::postgres::Server;
use crate::source::postgres::data_directory::Staging;
use crate::source::postgres::programs::server_program;
use crate::source::postgres::wal::Lsn;
use crate::source::write::failed;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How long to wait before looking at the server again.
const PAUSE: Duration = Duration::from_millis(50);
/// Which line of `postmaster.pid` says how far the server is (`LOCK_FILE_LINE_PM_STATUS` in `pidfile.h`, from 0).
const STATUS_LINE: usize = 7;
/// How many lines of the server's log a message holds.
const LINES: usize = 5;

/// Says how to recover a point whose base backup another program keeps.
pub(super) fn elsewhere(record: &PointRecord, target: &Path) -> Error {
    let target = std::path::absolute(target).unwrap_or_else(|_| target.to_owned());
    let quoted = |text: &str| shlex::try_quote(text).map_or_else(|_| text.to_owned(), |quoted| quoted.into_owned());
    let (directory, name, timeline) = (quoted(&target.display().to_string()), &record.name, record.timeline);
    let (who, command) = match &record.base_backup {
        BaseBackupRecord::Source { name } => {
            return failed(format!("the release does not say which snapshot of {name} the point counts from"))
                .hint("give the manifest of the release that made the point (--id ID)");
        }
        BaseBackupRecord::PgBackRest { stanza, label } => (
            "pgBackRest",
            format!(
                "pgbackrest --stanza={} --set={} --pg1-path={directory} --type=name --target={name} \
                 --target-timeline={timeline} --target-action=promote restore",
                quoted(stanza),
                quoted(label)
            ),
        ),
        BaseBackupRecord::Barman { server, backup } => (
            "Barman",
            format!(
                "barman recover --target-name {name} --target-tli {timeline} --target-action promote {} {} {directory}",
                quoted(server),
                quoted(backup)
            ),
        ),
    };
    failed(format!("the base backup of this restore point is kept by {who}, which has to recover it"))
        .hint(format!("run: {command}"))
        .hint("then start the server there: it recovers to the point and goes on from it")
}

/// Makes sure that a base backup is one that a point can count from.
///
/// # Errors
/// `restore-failed`: it is of another server, or was not complete before the point.
pub(super) fn fits(record: &PointRecord, base: &Content) -> Result<()> {
    let text = |key: &str| base.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
    if text("system_identifier") != record.system_identifier {
        let (of, needed) = (text("system_identifier"), &record.system_identifier);
        return Err(failed(format!("the base backup is of the server {of}, and the point of {needed}")));
    }
    if Lsn::parse(text("wal_end_lsn")) > record.position() {
        return Err(failed(format!("the base backup ends at {}, after the point", text("wal_end_lsn"))));
    }
    Ok(())
}

/// Replays the log up to the point in a data directory that holds a base backup. Afterwards any server of the same
/// version can start there.
///
/// # Errors
/// `restore-failed`: the server is not to be had, or does not come to the point; a cancellation.
pub(super) fn recover(
    server: &Server,
    archive: &Archive,
    record: &PointRecord,
    staging: &Staging,
    cancel: &Cancel,
) -> Result<()> {
    let data = staging.path();
    let place = RunningPlace::new(staging)?;
    staging.file(Path::new("recovery.signal"))?;
    let mut program = server_program(&server.clients, data, cancel)?;
    let settings = [
        ("config_file", place.file("postgresql.conf")),
        ("hba_file", place.file("pg_hba.conf")),
        ("ident_file", place.file("pg_ident.conf")),
        ("listen_addresses", String::new()),
        ("unix_socket_directories", place.0.path().display().to_string()),
        // The archive belongs to the server that wrote the log.
        ("archive_mode", "off".to_owned()),
        ("archive_cleanup_command", String::new()),
        ("recovery_end_command", String::new()),
        ("recovery_min_apply_delay", "0".to_owned()),
        ("primary_conninfo", String::new()),
        ("hot_standby", "off".to_owned()),
        // Nothing but the recovery: no subscription fetches, nobody tidies up.
        ("max_logical_replication_workers", "0".to_owned()),
        ("autovacuum", "off".to_owned()),
        ("fsync", "on".to_owned()),
        ("shared_preload_libraries", String::new()),
        // As many as any server may have had: those that were prepared at the point are kept.
        ("max_prepared_transactions", "10000".to_owned()),
        ("ssl", "off".to_owned()),
        ("restore_command", archive.shell_line()?),
        ("recovery_target", String::new()),
        ("recovery_target_lsn", String::new()),
        ("recovery_target_time", String::new()),
        ("recovery_target_xid", String::new()),
        ("recovery_target_name", record.name.clone()),
        ("recovery_target_timeline", record.timeline.to_string()),
        ("recovery_target_action", "promote".to_owned()),
        ("logging_collector", "on".to_owned()),
        ("log_destination", "stderr".to_owned()),
        ("log_directory", place.0.path().display().to_string()),
        ("log_filename", "log".to_owned()),
        ("lc_messages", "C".to_owned()),
    ];
    program.argv.extend(["-D".to_owned(), data.display().to_string()]);
    program.argv.extend(settings.into_iter().flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]));
    program.user = staging.owner().map(|owner| (owner.uid, owner.gid));
    program.directory = Some(data.to_owned());
    // A server that nobody waits for any more would run on.
    let stream = Stream::start_watched(&program, cancel)?;
    while !is_ready(data) {
        if stream.has_exited()? {
            // What it said before its log began, if that never did.
            let why = stream.finish().err().map(|error| error.chain()).unwrap_or_default();
            return Err(not_reached(record, &place.last_lines().unwrap_or(why)));
        }
        cancel.sleep(PAUSE)?;
    }
    reached(record, data).map_err(|why| not_reached(record, &why))?;
    stop(data)?;
    stream.finish().map_err(|error| failed("the recovered server did not stop cleanly".to_owned()).caused_by(error))?;
    for left in ["backup_manifest", "backup_label.old", "tablespace_map.old", "postmaster.opts", "current_logfiles"] {
        // They are about the base backup, which this is no longer, and about the server that recovered it.
        let _ = std::fs::remove_file(data.join(left));
    }
    Ok(())
}

fn status(data: &Path) -> Option<(i32, String)> {
    let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let pid = text.lines().next()?.trim().parse().ok()?;
    Some((pid, text.lines().nth(STATUS_LINE).unwrap_or_default().trim().to_owned()))
}

/// Says whether the server has ended its recovery and would take connections.
fn is_ready(data: &Path) -> bool {
    !data.join("recovery.signal").exists() && status(data).is_some_and(|(_, status)| status == "ready")
}

/// Has the server stop as `pg_ctl stop -m fast` does.
fn stop(data: &Path) -> Result<()> {
    let pid = status(data).and_then(|(pid, _)| Pid::from_raw(pid));
    let stopped = pid.map(|pid| kill_process(pid, Signal::INT));
    match stopped {
        Some(Ok(())) => Ok(()),
        _ => Err(failed("the recovered server cannot be stopped".to_owned())),
    }
}

/// Makes sure by the newest history of a timeline that the recovery stopped at the point.
///
/// # Errors
/// In words, where it stopped instead.
fn reached(record: &PointRecord, data: &Path) -> Result<(), String> {
    let log = data.join("pg_wal");
    let names = std::fs::read_dir(&log).map_err(|error| error.to_string())?.flatten().map(|entry| entry.file_name());
    let histories = names.filter_map(|name| name.to_str().filter(|name| name.ends_with(".history")).map(str::to_owned));
    let newest = histories.max().ok_or("it began no timeline of its own")?;
    let text = std::fs::read_to_string(log.join(&newest)).map_err(|error| error.to_string())?;
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    // `1 <tab> 0/3000148 <tab> at restore point "NAME"`.
    let mut fields = line.splitn(3, '\t');
    let timeline = fields.next().and_then(|field| field.trim().parse().ok());
    let at = fields.next().and_then(Lsn::parse);
    let why = fields.next().unwrap_or_default();
    let expected = format!("at restore point \"{}\"", record.name);
    if (timeline, at, why.trim()) == (Some(record.timeline), record.position(), expected.as_str()) {
        return Ok(());
    }
    Err(format!("it stopped elsewhere, {newest} says: {}", line.replace('\t', " ")))
}

fn not_reached(record: &PointRecord, why: &str) -> Error {
    Error::new(ErrorCode::RestoreFailed, format!("the recovery did not come to {} at {}", record.name, record.lsn))
        .caused_by(why.to_owned())
        .hint(
            "see that the archive still holds every segment from the base backup on, and that the user of the data \
               directory may read it",
        )
}

/// A private directory for the settings, the socket and the log of a server that recovers.
struct RunningPlace(TempDir);

impl RunningPlace {
    fn new(staging: &Staging) -> Result<Self> {
        let cannot = |error| failed("cannot make a directory for a server to run in".to_owned()).caused_by(error);
        // Not in the scratch directory: the server may run as another user, and the path of a socket must be short.
        let private = std::fs::Permissions::from_mode(0o700);
        let mut builder = tempfile::Builder::new();
        let place = Self(builder.prefix("holdpoint-recovery-").permissions(private).tempdir().map_err(cannot)?);
        // Nobody is let in; a file without a rule would not do.
        let files = [("postgresql.conf", ""), ("pg_hba.conf", "local all all reject\n"), ("pg_ident.conf", "")];
        for (name, content) in files {
            std::fs::write(place.0.path().join(name), content).map_err(cannot)?;
            staging.own(&place.0.path().join(name)).map_err(cannot)?;
        }
        staging.own(place.0.path()).map_err(cannot)?;
        Ok(place)
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    /// Returns the end of the server's log; `None` without one.
    fn last_lines(&self) -> Option<String> {
        let bytes = std::fs::read(self.0.path().join("log")).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join(" / ");
        (!last.is_empty()).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(base_backup: BaseBackupRecord) -> PointRecord {
        PointRecord {
            format: 1,
            name: "holdpoint-1-1".to_owned(),
            lsn: "0/3000148".to_owned(),
            timeline: 1,
            system_identifier: "7".to_owned(),
            wal_segment: "000000010000000000000003".to_owned(),
            wal_segment_sha256: String::new(),
            created_at: "2026-11-21T10:00:00Z".parse().unwrap(),
            base_backup,
        }
    }

    fn of_source() -> PointRecord {
        record(BaseBackupRecord::Source { name: "base".to_owned() })
    }

    #[test]
    fn other_programs_are_named_with_the_whole_command() {
        let target = Path::new("/srv/new data");
        let pgbackrest = BaseBackupRecord::PgBackRest { stanza: "main".to_owned(), label: "L1".to_owned() };
        assert_eq!(
            elsewhere(&record(pgbackrest), target).hints()[0],
            "run: pgbackrest --stanza=main --set=L1 --pg1-path='/srv/new data' --type=name --target=holdpoint-1-1 \
             --target-timeline=1 --target-action=promote restore"
        );
        let barman = BaseBackupRecord::Barman { server: "main".to_owned(), backup: "B1".to_owned() };
        let error = elsewhere(&record(barman), target);
        assert!(error.hints()[0].ends_with("--target-action promote main B1 '/srv/new data'"), "{:?}", error.hints());
    }

    #[test]
    fn only_a_base_backup_from_before_the_point_fits() {
        let base = |system: &str, end: &str| {
            let value = serde_json::json!({ "system_identifier": system, "wal_end_lsn": end });
            fits(&of_source(), &serde_json::from_value(value).unwrap())
        };
        base("7", "0/2000100").unwrap();
        assert!(base("8", "0/2000100").unwrap_err().message().contains("of the server 8"));
        assert!(base("7", "0/4000100").unwrap_err().message().contains("after the point"));
    }

    #[test]
    fn the_history_says_where_a_recovery_stopped() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("pg_wal")).unwrap();
        let write = |line: &str| std::fs::write(data.path().join("pg_wal/00000002.history"), line).unwrap();
        assert!(reached(&of_source(), data.path()).unwrap_err().contains("no timeline"));
        write("1\t0/3000148\tat restore point \"holdpoint-1-1\"\n");
        reached(&of_source(), data.path()).unwrap();
        for other in [
            "1\t0/3000148\tat restore point \"other\"\n",
            "1\t0/3000149\tat restore point \"holdpoint-1-1\"\n",
            "1\t0/3000148\tno recovery target specified\n",
        ] {
            write(other);
            assert!(reached(&of_source(), data.path()).unwrap_err().contains("stopped elsewhere"));
        }
    }
}
