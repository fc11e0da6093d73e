//! `method = "base-backup"`: the files of a whole cluster with the log that makes them one, as the tar that
//! `pg_basebackup` writes to its standard output.

mod check;
mod contents;
mod label;
mod manifest;
mod preflight;
#[cfg(test)]
mod sample;

use super::Server;
use super::data_directory::Staging;
use super::isolated::isolate_cluster;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{Consistency, Content};
use crate::process::Stream;
use crate::source::isolation::{Isolated, Isolation};
use crate::source::output::ProgramOutput;
use crate::source::write::failed;
use crate::source::{Capture, Context, Facts, Inspection, Source, Stored, Target};
use contents::Contents;
use std::sync::Mutex;

/// The program that captures.
const PROGRAM: &str = "pg_basebackup";

/// A cluster, captured by its files.
#[derive(Debug)]
pub(super) struct BaseBackupSource {
    server: Server,
    /// The size of all databases, as the preflight found it, in bytes.
    cluster_bytes: Mutex<Option<u64>>,
}

impl BaseBackupSource {
    /// Creates the source of a server.
    pub(super) fn new(server: Server) -> Self {
        Self { server, cluster_bytes: Mutex::default() }
    }

    fn cluster_bytes(&self) -> std::sync::MutexGuard<'_, Option<u64>> {
        self.cluster_bytes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Source for BaseBackupSource {
    fn facts(&self) -> Facts {
        let known = self.server.known().clone();
        let identifier = known.facts.as_ref().and_then(|facts| facts.system_identifier.as_deref());
        Facts {
            identity: identifier.map(|identifier| format!("postgres {identifier}")),
            is_bound: true,
            tool_version: known.tool_version,
            server_version: known.facts.map(|facts| facts.version),
            method: "base-backup",
            consistency: Consistency::Transaction,
            estimated_bytes: *self.cluster_bytes(),
        }
    }

    fn preflight(&self, context: &Context) -> Vec<Finding> {
        let (reached, mut findings) = self.server.preflight(&[PROGRAM, preflight::ASKS], context);
        if let Some((connection, facts)) = reached {
            let looked = preflight::look(&connection, &facts).unwrap_or_else(|error| {
                let finding = Finding::from_error(&error, FindingCode::PreflightFailed);
                preflight::Looked { findings: vec![finding], cluster_bytes: None }
            });
            *self.cluster_bytes() = looked.cluster_bytes;
            findings.extend(looked.findings);
            // Whoever lacks the privilege or the program is not let in, either: that is said already.
            if findings.iter().all(|finding| finding.level < Level::Refusal) {
                findings.extend(preflight::replication_refused(&self.server, context));
            }
        }
        findings
    }

    fn capture(&self, context: &Context) -> Result<Capture> {
        let endpoint = self.server.endpoint()?;
        drop(self.server.connect(&endpoint, context).map_err(|refusal| refusal.error)?);
        let label = format!("--label={}", context.mark);
        let arguments = [
            "--pgdata=-",
            "--format=tar",
            "--wal-method=fetch",
            "--checkpoint=fast",
            "--manifest-checksums=SHA256",
            "--no-password",
            &label,
        ];
        let program = self.server.program(PROGRAM, arguments, &endpoint, context);
        let stream = Stream::start(&program, &context.cancel)?;
        let file_name = format!("{}.tar", self.server.file_name).into();
        Ok(Capture::stream(ProgramOutput::new(stream, file_name, None)))
    }

    fn clean_up(&self, context: &Context) -> Result<Vec<String>> {
        self.server.clean_up(context)
    }

    fn inspects(&self) -> bool {
        true
    }

    fn inspect(&self, context: &Context, stored: &dyn Stored) -> Result<Inspection> {
        let contents = Contents::read(&mut stored.open_only()?, None, &context.cancel)?;
        let (content, mut findings) = check::judge(&contents);
        let known = self.server.known().facts.clone();
        findings.extend(check::is_of_another_server(&content, known.and_then(|facts| facts.system_identifier)));
        Ok(Inspection { content, findings })
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
        match target {
            Target::Directory(directory) => {
                let staging = Staging::beside(directory, force)?;
                unpack(stored, &staging, &context.cancel)?;
                staging.publish()
            }
            Target::Url(_) | Target::Origin => Err(failed(
                "a base backup is a whole cluster, which no running server can take".to_owned(),
            )
            .hint("restore it into a new data directory (--target DIR), start a server there (pg_ctl start -D DIR)")),
        }
    }
}

/// Unpacks a base backup, and compares it with its manifest on the way.
///
/// # Errors
/// `restore-failed`: it is not whole, or cannot be written; the store's own; a cancellation.
pub(super) fn unpack(stored: &dyn Stored, staging: &Staging, cancel: &Cancel) -> Result<Content> {
    let contents = Contents::read(&mut stored.open_only()?, Some(staging), cancel)?;
    let (content, findings) = check::judge(&contents);
    match findings.into_iter().next() {
        None => Ok(content),
        Some(finding) => Err(failed("the base backup is not whole".to_owned())
            .caused_by(finding.message)
            .hint("check the repository (holdpoint check --read-data), or restore an earlier release")),
    }
}

#[cfg(test)]
mod tests;
