//! `method = "dump"`: one database, logically: `pg_dump` within a snapshot that is held by a session of ours, and the
//! roles of the cluster.

mod archive;
mod blocked;
mod capture;
mod globals;
mod inspect;
pub(super) mod look;
mod preflight;
mod restore;
mod snapshot;

pub(super) use inspect::archive_of;

use super::Server;
use super::connect::Connection;
use super::isolated::isolate_dump;
use crate::error::Result;
use crate::model::finding::Finding;
use crate::model::manifest::{Consistency, Content};
use crate::source::isolation::{Isolated, Isolation};
use crate::source::{Capture, Context, Facts, Inspection, LOOK_WITHIN, Source, Stored, Target};
use look::Wanted;

/// The client programs that a capture needs; a restore needs `pg_restore`.
const PROGRAMS: [&str; 3] = ["pg_dump", "pg_restore", "pg_dumpall"];

/// One database of a server.
#[derive(Debug)]
pub(super) struct DumpSource {
    server: Server,
    /// How many tables are dumped at once.
    jobs: u32,
    /// Whether roles are dumped, too.
    globals: bool,
}

impl DumpSource {
    pub(super) fn new(server: Server, jobs: u32, globals: bool) -> Self {
        Self { server, jobs, globals }
    }

    /// Returns the name of the file that holds an archive of the custom format.
    fn dump_file(&self) -> String {
        format!("{}.dump", self.server.file_name)
    }

    /// Returns the programs that are needed: without `globals` one less.
    fn programs(&self) -> &'static [&'static str] {
        if self.globals { &PROGRAMS } else { PROGRAMS.split_last().map_or(&[], |(_, rest)| rest) }
    }
}

/// Returns the argument that names a database to a client program: a bare name with a `=` would be taken for settings.
fn database_argument(option: &str, database: &str) -> String {
    format!("{option}=dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))
}

impl Source for DumpSource {
    fn facts(&self) -> Facts {
        let known = self.server.known();
        let facts = known.facts.as_ref();
        Facts {
            identity: facts.and_then(super::facts::ServerFacts::identity),
            is_bound: true,
            tool_version: known.tool_version.clone(),
            server_version: facts.map(|facts| facts.version.clone()),
            method: "dump",
            consistency: Consistency::Transaction,
            estimated_bytes: facts.and_then(|facts| facts.database_bytes),
        }
    }

    fn preflight(&self, context: &Context) -> Vec<Finding> {
        preflight::preflight(self, context)
    }

    fn capture(&self, context: &Context) -> Result<Capture> {
        Ok(Capture::Streams(Box::new(capture::DumpStreams::start(self, context)?)))
    }

    fn clean_up(&self, context: &Context) -> Result<Vec<String>> {
        self.server.clean_up(context)
    }

    fn inspects(&self) -> bool {
        true
    }

    fn inspect(&self, context: &Context, stored: &dyn Stored) -> Result<Inspection> {
        inspect::inspect(self, context, stored)
    }

    fn restore(&self, context: &Context, stored: &dyn Stored, target: &Target, force: bool) -> Result<()> {
        restore::restore(self, context, stored, target, force)
    }

    fn isolate(&self, context: &Context, isolation: &Isolation) -> Result<Box<dyn Isolated>> {
        isolate_dump(&self.server, context, isolation)
    }

    fn look(&self, context: &Context) -> Result<Option<Content>> {
        let endpoint = self.server.endpoint()?;
        let wanted = Wanted { query: self.server.config.schema_version_query.as_deref(), roles: self.globals };
        let look = |connection: Connection| {
            look::look(&connection.with_limit(LOOK_WITHIN + endpoint.patience), wanted, Some(LOOK_WITHIN))
        };
        let looked = self.server.connect(&endpoint, context).map_err(|refusal| refusal.error).and_then(look);
        if looked.is_err() {
            // What is being counted would go on. That the server does not say so is less than why it was asked.
            let _ = self.server.clean_up(context);
        }
        looked.map(Some).map_err(|error| error.under_same_code(format!("cannot look at {}", endpoint.server())))
    }
}
