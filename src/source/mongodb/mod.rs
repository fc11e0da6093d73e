//! `kind = "mongodb"`: a MongoDB database or server, captured by `mongodump` as an archive.

mod archive;
mod bson;
mod dump;
mod preflight;
mod restore;
mod uri;

use super::clients::Clients;
use super::write::{Staged, failed};
use super::{Capture, Context, Facts, Inspection, Source, Stored, Target};
use crate::config::MongodbConfig;
use crate::error::Result;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{Consistency, Content};
use crate::model::release_id::path_component;
use archive::{Broken, Contents};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use uri::Uri;

/// A MongoDB database or server.
#[derive(Debug)]
pub(super) struct MongodbSource {
    config: MongodbConfig,
    clients: Clients,
    /// The name of the source as one path component, with the ending of its format.
    file_name: PathBuf,
    /// What `mongodump` says of its version.
    tool_version: OnceLock<String>,
}

impl MongodbSource {
    /// Creates the source named `name`; a relative path counts from `directory`.
    pub(super) fn new(name: &str, config: &MongodbConfig, directory: &Path) -> Self {
        Self {
            config: config.clone(),
            clients: Clients::new(config.server.programs.as_deref(), directory),
            file_name: format!("{}.archive", path_component(name)).into(),
            tool_version: OnceLock::new(),
        }
    }

    fn uri(&self) -> Result<Uri> {
        Uri::parse(&self.config.server.url.resolve()?)
    }
}

impl Source for MongodbSource {
    fn facts(&self) -> Facts {
        Facts {
            identity: self.uri().ok().map(|uri| uri.to_string()),
            is_bound: false,
            tool_version: self.tool_version.get().cloned(),
            server_version: None,
            method: if self.config.oplog { "dump-with-oplog" } else { "dump" },
            consistency: if self.config.oplog { Consistency::Transaction } else { Consistency::Program },
            estimated_bytes: None,
        }
    }

    fn preflight(&self, context: &Context) -> Vec<Finding> {
        let (findings, version) = preflight::preflight(self, context);
        if let Some(version) = version {
            // The version of another run of the same program is the same.
            let _ = self.tool_version.set(version);
        }
        findings
    }

    fn capture(&self, context: &Context) -> Result<Capture> {
        let dump = dump::start(&self.clients, &self.uri()?, self.config.oplog, &self.file_name, &context.cancel)?;
        Ok(Capture::stream(dump))
    }

    fn inspects(&self) -> bool {
        true
    }

    fn inspect(&self, _: &Context, stored: &dyn Stored) -> Result<Inspection> {
        match archive::read(stored.open_only()?) {
            Ok(contents) => {
                let findings = missing_oplog(self.config.oplog, &contents).into_iter().collect();
                Ok(Inspection { content: content(&contents), findings })
            }
            Err(Broken::Unreadable(error)) => Err(error),
            Err(Broken::Incomplete(words)) => Ok(refused(FindingCode::ContentIncomplete, words)),
            Err(Broken::Damaged(words)) => Ok(refused(FindingCode::IntegrityFailed, words)),
        }
    }

    fn restore(&self, context: &Context, stored: &dyn Stored, target: &Target, force: bool) -> Result<()> {
        let uri = match target {
            Target::Directory(directory) => {
                let path = directory.join(&self.file_name);
                return Staged::write(&mut stored.open_only()?, &path, &context.cancel)?.publish(force);
            }
            Target::Origin => self.uri()?,
            Target::Url(url) => Uri::parse(url)?,
        };
        if !force {
            return Err(failed(format!("whether {uri} is empty is not known: holdpoint does not speak its protocol"))
                .hint("restore with --force, which drops each collection of the snapshot before it is restored")
                .hint("or restore into a directory with --target DIR"));
        }
        restore::restore(&self.clients, &uri, stored, &context.cancel)
    }
}

/// Refuses an archive without the oplog that makes it one moment, where it is to be `wanted`.
fn missing_oplog(wanted: bool, contents: &Contents) -> Option<Finding> {
    (wanted && !contents.has_oplog()).then(|| {
        Finding::refusal(FindingCode::ContentIncomplete, "`oplog` is set, and the archive holds no oplog")
            .hint("see that the server is a member of a replica set, and what mongodump says of --oplog")
    })
}

fn refused(code: FindingCode, words: String) -> Inspection {
    Inspection { content: Content::new(), findings: vec![Finding::refusal(code, words)] }
}

fn content(contents: &Contents) -> Content {
    let rows: serde_json::Map<_, _> = contents.of_application().map(|(name, count)| (name, count.into())).collect();
    let mut content = Content::new();
    content.insert("tables".to_owned(), rows.len().into());
    content.insert("rows".to_owned(), rows.into());
    content.insert("oplog".to_owned(), contents.has_oplog().into());
    content.insert("server_version".to_owned(), contents.server_version.as_str().into());
    content.insert("dumped_by".to_owned(), contents.tool_version.as_str().into());
    content
}
