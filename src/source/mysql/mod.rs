//! `kind = "mysql"` and `kind = "mariadb"`: databases of a MySQL or MariaDB server, captured by its dump program.
//!
//! The flow: [`preflight`] asks the server what there is and whether the user may see it; [`dump`] starts the dump program
//! and makes sure that nobody changed the schema meanwhile; [`contents`] reads the dump back; [`sessions`] looks for what is
//! left on the server; [`restore`] feeds the dump to the client program.

mod catalog;
mod contents;
mod dump;
mod grants;
mod input;
mod insert;
mod inspect;
mod isolated;
mod lexer;
mod look;
mod options;
mod preflight;
mod product;
mod restore;
mod server;
mod sessions;
mod values;

use super::isolation::{Isolated, Isolation};
use super::{Capture, Context, Facts, Inspection, Source, Stored, Target};
use crate::config::MysqlConfig;
use crate::error::Result;
use crate::model::finding::Finding;
use crate::model::manifest::{Consistency, Content};
use crate::model::release_id::path_component;
use catalog::Catalog;
use server::Server;
use sessions::Began;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The table that stands in a database while it is being restored.
const INCOMPLETE: &str = "holdpoint_restore_incomplete";

/// A server's database, or all of its databases.
#[derive(Debug, Clone)]
pub(super) struct MysqlSource {
    config: MysqlConfig,
    file_name: PathBuf,
    directory: PathBuf,
    learned: Arc<Mutex<Learned>>,
}

/// What the server told so far.
#[derive(Debug, Default)]
struct Learned {
    identity: Option<String>,
    is_bound: bool,
    tool_version: Option<String>,
    server_version: Option<String>,
    bytes: Option<u64>,
    /// What there was to capture, by the server's own word.
    listed: Option<Catalog>,
    /// What was begun on a server and is to be ended there.
    began: Option<Began>,
}

impl MysqlSource {
    /// Creates the source named `name`; relative paths count from `directory`.
    pub(super) fn new(name: &str, config: &MysqlConfig, directory: &Path) -> Self {
        Self {
            config: config.clone(),
            file_name: format!("{}.sql", path_component(name)).into(),
            directory: directory.to_owned(),
            learned: Arc::default(),
        }
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.learned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prepares to speak to the server at `url`, or to the source's own.
    fn server(&self, url: Option<&str>, context: &Context) -> Result<Server> {
        let own = || self.config.server.url.resolve();
        let url = url.map_or_else(own, |url| Ok(url.to_owned()))?;
        Server::new(self.config.kind, &self.config.server, &url, &self.directory, &context.mark, &context.cancel)
    }
}

impl Source for MysqlSource {
    fn facts(&self) -> Facts {
        let learned = self.learned();
        Facts {
            identity: learned.identity.clone(),
            is_bound: learned.is_bound,
            tool_version: learned.tool_version.clone(),
            server_version: learned.server_version.clone(),
            method: "dump",
            consistency: Consistency::Transaction,
            estimated_bytes: learned.bytes,
        }
    }

    fn preflight(&self, context: &Context) -> Vec<Finding> {
        preflight::preflight(self, context)
    }

    fn capture(&self, context: &Context) -> Result<Capture> {
        dump::start(self, context).map(Capture::stream)
    }

    fn clean_up(&self, _: &Context) -> Result<Vec<String>> {
        // Not under the lock: the server may take its time.
        let began = self.learned().began.take();
        began.map_or_else(|| Ok(Vec::new()), |began| began.end())
    }

    fn inspects(&self) -> bool {
        true
    }

    fn inspect(&self, context: &Context, stored: &dyn Stored) -> Result<Inspection> {
        let contents = contents::Contents::read(&mut *stored.open_only()?, &context.cancel)?;
        // The capture has the answer of the user's own query already.
        let reads_version = self.config.server.schema_version_query.is_none();
        Ok(inspect::judge(&contents, self.learned().listed.as_ref(), reads_version))
    }

    fn restore(&self, context: &Context, stored: &dyn Stored, target: &Target, force: bool) -> Result<()> {
        restore::restore(self, context, stored, target, force)
    }

    fn isolate(&self, context: &Context, isolation: &Isolation) -> Result<Box<dyn Isolated>> {
        isolated::isolate(self, context, isolation)
    }

    fn look(&self, context: &Context) -> Result<Option<Content>> {
        look::look(self, context).map(Some)
    }
}
