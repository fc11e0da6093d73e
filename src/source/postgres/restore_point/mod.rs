//! `method = "restore-point"`: a named point in the log of a cluster that is archived anyway, for databases that are too
//! large to copy before each deploy. What is stored is a record of the point; what makes it worth something is a base
//! backup from before it, and an archive that really holds the log up to it.

mod archive;
mod external;
mod point;
mod preflight;
mod record;
mod recover;

use super::Server;
use super::base_backup;
use super::connect::Connection;
use super::data_directory::Staging;
use super::facts::ServerFacts;
use super::isolated::isolate_cluster;
use crate::config::{BaseBackup, RestorePointConfig};
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::leaning::LeansOn;
use crate::model::manifest::{Consistency, Content};
use crate::source::isolation::{Isolated, Isolation};
use crate::source::write::failed;
use crate::source::{Capture, Context, Facts, Inspection, Source, Stored, StreamCapture, Target};
use archive::Archive;
use external::External;
use record::{BaseBackupRecord, PointRecord};
use serde_json::json;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most that is read of a record, in bytes.
const LARGEST_RECORD: u64 = 1 << 20;

/// A cluster of which points in the log are captured.
#[derive(Debug)]
pub(super) struct RestorePointSource {
    server: Server,
    settings: RestorePointConfig,
    archive: Archive,
    learned: Mutex<Learned>,
    /// How many points this run has made: a recovery stops at the first of a name.
    made: AtomicU32,
}

/// What was learned since the source was built.
#[derive(Debug, Default)]
struct Learned {
    /// The timeline of the server.
    timeline: Option<u32>,
    /// The base backup of another program that answered for itself.
    external: Option<External>,
    /// The point that was captured.
    point: Option<PointRecord>,
}

impl RestorePointSource {
    /// Creates the source of a server; the program of `restore_command` counts from `directory` if it is relative.
    pub(super) fn new(server: Server, settings: &RestorePointConfig, directory: &Path) -> Self {
        Self {
            server,
            archive: Archive::new(&settings.restore_command, directory),
            settings: settings.clone(),
            learned: Mutex::default(),
            made: AtomicU32::new(0),
        }
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the program that keeps the base backups, if another one does.
    fn external(&self, context: &Context) -> Option<Result<External>> {
        match &self.settings.base_backup {
            BaseBackup::Source(_) => None,
            BaseBackup::PgBackRest(stanza) => Some(external::pgbackrest(stanza, &context.cancel)),
            BaseBackup::Barman(server) => Some(external::barman(server, &context.cancel)),
        }
    }

    /// Looks at the server and at the base backups of another program; keeps what it learns.
    fn look(&self, connection: &Connection, facts: &ServerFacts, context: &Context) -> Result<Vec<Finding>> {
        let looked = preflight::look(connection, facts)?;
        let mut findings = looked.findings;
        self.learned().timeline = looked.timeline;
        match self.external(context) {
            None => {}
            Some(Err(error)) => findings.push(Finding::from_error(&error, FindingCode::BaseBackupMissing)),
            Some(Ok(external)) => {
                let within = self.settings.base_backup_within;
                findings.extend(preflight::judge(&external, within, facts, looked.timeline));
                self.learned().external = Some(external);
            }
        }
        Ok(findings)
    }

    fn base_backup(&self, context: &Context) -> Result<BaseBackupRecord> {
        if let BaseBackup::Source(name) = &self.settings.base_backup {
            return Ok(BaseBackupRecord::Source { name: name.clone() });
        }
        if let Some(known) = &self.learned().external {
            return Ok(known.record.clone());
        }
        match self.external(context) {
            Some(external) => Ok(external?.record),
            None => Err(Error::new(ErrorCode::Internal, "nobody keeps base backups")),
        }
    }
}

impl Source for RestorePointSource {
    fn facts(&self) -> Facts {
        let known = self.server.known().clone();
        let identifier = known.facts.as_ref().and_then(|facts| facts.system_identifier.as_deref());
        Facts {
            identity: identifier.map(|identifier| format!("postgres {identifier}")),
            is_bound: true,
            tool_version: None,
            server_version: known.facts.map(|facts| facts.version),
            method: "restore-point",
            consistency: Consistency::Transaction,
            estimated_bytes: None,
        }
    }

    fn leans_on(&self) -> Option<LeansOn> {
        let BaseBackup::Source(source) = &self.settings.base_backup else { return None };
        let timeline = self.learned().timeline.map(|timeline| ("timeline".to_owned(), json!(timeline)));
        Some(LeansOn {
            source: source.clone(),
            method: "base-backup",
            within: self.settings.base_backup_within,
            same: timeline.into_iter().collect(),
        })
    }

    fn preflight(&self, context: &Context) -> Vec<Finding> {
        let (reached, mut findings) = self.server.preflight(&[], context);
        if let Err(error) = self.archive.program("", "").locate() {
            findings.push(Finding::from_error(&error, FindingCode::PreflightFailed));
        }
        if let Some((connection, facts)) = reached {
            match self.look(&connection, &facts, context) {
                Ok(more) => findings.extend(more),
                Err(error) => findings.push(Finding::from_error(&error, FindingCode::PreflightFailed)),
            }
        }
        findings
    }

    fn capture(&self, context: &Context) -> Result<Capture> {
        let endpoint = self.server.endpoint()?;
        let connection = self.server.connect(&endpoint, context).map_err(|refusal| refusal.error)?;
        let facts = ServerFacts::ask(&connection)?;
        self.server.must_be_as_before(&endpoint, &facts)?;
        let hidden = || Error::new(ErrorCode::CaptureFailed, "the server does not say what it is");
        let system_identifier = facts.system_identifier.ok_or_else(hidden)?;
        let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
        let name = format!("{}-{number}", context.mark);
        let made = point::make(&connection, &name)?;
        point::wait_until_archived(&connection, &made, &context.cancel)?;
        drop(connection);
        let wanted = made.wanted(&name, system_identifier.parse().ok());
        let sha256 = self.archive.prove(&wanted, &context.scratch, &context.cancel)?;
        let record = PointRecord {
            format: record::FORMAT,
            name,
            lsn: made.end.to_string(),
            timeline: made.segment.timeline,
            system_identifier,
            wal_segment: made.segment.to_string(),
            wal_segment_sha256: hex::encode(sha256),
            created_at: jiff::Timestamp::now(),
            base_backup: self.base_backup(context)?,
        };
        let mut bytes = serde_json::to_vec_pretty(&record)
            .map_err(|error| Error::new(ErrorCode::Internal, "cannot write the record").caused_by(error))?;
        bytes.push(b'\n');
        let content = record.content();
        self.learned().point = Some(record);
        let file_name = format!("{}.restore-point.json", self.server.file_name).into();
        Ok(Capture::stream(PointCapture { bytes: Cursor::new(bytes), file_name, content }))
    }

    fn clean_up(&self, context: &Context) -> Result<Vec<String>> {
        self.server.clean_up(context)
    }

    fn inspects(&self) -> bool {
        true
    }

    fn inspect(&self, _: &Context, stored: &dyn Stored) -> Result<Inspection> {
        let incomplete = |message: String| Finding::refusal(FindingCode::ContentIncomplete, message);
        let finding = match read(stored)? {
            Err(why) => incomplete(format!("the record that came back is worth nothing: {why}")),
            Ok(record) if self.learned().point.as_ref() != Some(&record) => {
                incomplete(format!("the record that came back is of another point, {}", record.name))
            }
            Ok(record) => return Ok(Inspection { content: record.content(), findings: Vec::new() }),
        };
        Ok(Inspection { content: Content::new(), findings: vec![finding] })
    }

    fn look(&self, context: &Context) -> Result<Option<Content>> {
        self.server.look_at_cluster(context).map(Some)
    }

    fn isolate(&self, _: &Context, isolation: &Isolation) -> Result<Box<dyn Isolated>> {
        isolate_cluster(&self.server, isolation)
    }

    fn restores_directories(&self) -> bool {
        true
    }

    fn restore(&self, context: &Context, stored: &dyn Stored, target: &Target, force: bool) -> Result<()> {
        let Target::Directory(directory) = target else {
            return Err(failed(
                "a restore point is one of a whole cluster, which no running server can take".to_owned(),
            )
            .hint("recover it into a new data directory (--target DIR), start a server there (pg_ctl start -D DIR)"));
        };
        let record = read(stored)?.map_err(|why| failed(format!("the record of the point cannot be used: {why}")))?;
        let Some(base) = stored.base() else { return Err(recover::elsewhere(&record, directory)) };
        let staging = Staging::beside(directory, force)?;
        let content = base_backup::unpack(base, &staging, &context.cancel)?;
        recover::fits(&record, &content)?;
        recover::recover(&self.server, &self.archive, &record, &staging, &context.cancel)?;
        staging.publish()
    }
}

/// Reads the stored record; what is wrong with it comes in words.
fn read(stored: &dyn Stored) -> Result<Result<PointRecord, String>> {
    let mut bytes = Vec::new();
    let read = stored.open_only()?.take(LARGEST_RECORD).read_to_end(&mut bytes);
    read.io_context(|| "cannot read the snapshot".to_owned())?;
    Ok(PointRecord::parse(&bytes))
}

/// The record of a point that was proved.
struct PointCapture {
    bytes: Cursor<Vec<u8>>,
    file_name: PathBuf,
    content: Content,
}

impl Read for PointCapture {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl StreamCapture for PointCapture {
    fn file_name(&self) -> &Path {
        &self.file_name
    }

    fn finish(self: Box<Self>) -> Result<Content> {
        Ok(self.content)
    }
}
