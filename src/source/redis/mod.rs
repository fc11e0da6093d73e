//! `kind = "redis"`: the data set of a Redis or Valkey server, taken over the replication protocol as an RDB file.

mod connection;
mod endpoint;
mod info;
mod inspect;
mod isolated;
mod look;
mod pipeline;
mod preflight;
mod rdb;
mod restore;
mod sessions;
mod sync;
mod transport;

use super::isolation::{Isolated, Isolation};
use super::write::{Staged, absolute};
use super::{Capture, Context, Facts, Inspection, Source, Stored, Target};
use crate::config::RedisConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{Consistency, Content};
use crate::model::release_id::path_component;
use endpoint::Endpoint;
use preflight::Learned;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use transport::Patience;

/// The key, in database 0, that says that a restore into the server has not come to its end.
const INCOMPLETE: &str = "holdpoint:restore-incomplete";

/// A Redis server.
#[derive(Debug)]
pub(super) struct RedisSource {
    config: RedisConfig,
    ca_file: Option<PathBuf>,
    /// The name of the source as one path component, with the ending of its format.
    file_name: PathBuf,
    /// What the preflight found.
    learned: Mutex<Option<Learned>>,
    /// The server that this run connected to for more than a look.
    used: Mutex<Option<Endpoint>>,
}

impl RedisSource {
    /// Creates the source named `name`; a relative path counts from `directory`.
    pub(super) fn new(name: &str, config: &RedisConfig, directory: &Path) -> Self {
        Self {
            config: config.clone(),
            ca_file: config.ca_file.as_deref().map(|path| absolute(directory, path)),
            file_name: format!("{}.rdb", path_component(name)).into(),
            learned: Mutex::default(),
            used: Mutex::default(),
        }
    }

    /// Returns the server that the configuration names.
    fn origin(&self) -> Result<Endpoint> {
        Endpoint::parse(&self.config.url.resolve()?, self.ca_file.as_deref())
    }

    fn learned(&self) -> Option<Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that something of this run may be left on a server.
    fn uses(&self, endpoint: &Endpoint) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint.clone());
    }
}

impl Source for RedisSource {
    fn facts(&self) -> Facts {
        let learned = self.learned();
        let node = learned.as_ref().and_then(|learned| learned.node.as_ref());
        let identity = match node {
            Some(node) => Some(format!("node {node}")),
            // Nothing that a single server says of itself outlives its restart: only its address is left.
            None => self.origin().ok().map(|endpoint| endpoint.to_string()),
        };
        let info = learned.as_ref().map(|learned| &learned.info);
        Facts {
            identity,
            is_bound: node.is_some(),
            tool_version: None,
            server_version: info.map(info::Info::version),
            method: "replication",
            consistency: Consistency::Transaction,
            estimated_bytes: info.map(|info| info.number("used_memory_dataset")).filter(|bytes| *bytes > 0),
        }
    }

    fn preflight(&self, context: &Context) -> Vec<Finding> {
        let endpoint = match self.origin() {
            Ok(endpoint) => endpoint,
            Err(error) => return vec![Finding::from_error(&error, FindingCode::PreflightFailed)],
        };
        let patience = Patience::within(&context.cancel, self.config.connect_timeout);
        let (findings, learned) = preflight::preflight(&endpoint, context, &patience);
        *self.learned.lock().unwrap_or_else(PoisonError::into_inner) = learned;
        findings
    }

    fn capture(&self, context: &Context) -> Result<Capture> {
        let endpoint = self.origin()?;
        self.uses(&endpoint);
        let (file_name, timeout) = (self.file_name.clone(), self.config.connect_timeout);
        Ok(Capture::stream(sync::RdbCapture::start(&endpoint, file_name, context, timeout)?))
    }

    fn clean_up(&self, context: &Context) -> Result<Vec<String>> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner).take();
        used.map_or_else(|| Ok(Vec::new()), |endpoint| sessions::end_ours(&endpoint, context))
    }

    fn inspects(&self) -> bool {
        true
    }

    fn inspect(&self, _: &Context, stored: &dyn Stored) -> Result<Inspection> {
        inspect::inspect(stored.open_only()?)
    }

    fn restore(&self, context: &Context, stored: &dyn Stored, target: &Target, force: bool) -> Result<()> {
        let endpoint = match target {
            Target::Directory(directory) => {
                let path = directory.join(&self.file_name);
                return Staged::write(&mut stored.open_only()?, &path, &context.cancel)?.publish(force);
            }
            Target::Origin => self.origin()?,
            Target::Url(url) => Endpoint::parse(url, self.ca_file.as_deref()).map_err(|error| {
                error.hints().iter().cloned().fold(
                    Error::new(ErrorCode::Usage, "--target is not the URL of a Redis server")
                        .caused_by(error.replica()),
                    Error::hint,
                )
            })?,
        };
        self.uses(&endpoint);
        restore::restore(&endpoint, stored, context, self.config.connect_timeout, force)
    }

    fn isolate(&self, _: &Context, isolation: &Isolation) -> Result<Box<dyn Isolated>> {
        isolated::isolate(self, isolation)
    }

    fn look(&self, context: &Context) -> Result<Option<Content>> {
        let patience = Patience::within(&context.cancel, self.config.connect_timeout);
        look::look(&self.origin()?, context, &patience).map(Some)
    }
}

#[cfg(test)]
mod tests;
