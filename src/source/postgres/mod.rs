//! `kind = "postgres"`: a PostgreSQL database or cluster, by one of three methods.
//!
//! What the methods share is a [`Server`]: how it is reached, by the native connection and by the client programs, what
//! it says of itself, and what a run may have left there.

mod base_backup;
mod connect;
mod data_directory;
mod dump;
mod endpoint;
mod facts;
mod isolated;
mod passwords;
mod programs;
mod restore_point;
mod sessions;
mod standby;
mod wal;

use super::clients::Clients;
use super::{Context, Source};
use crate::config::{PostgresConfig, PostgresMethod, ServerConfig};
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;
use crate::model::release_id::path_component;
use crate::process::Program;
use connect::{Connection, Refusal};
use endpoint::Endpoint;
use facts::ServerFacts;
use isolated::Owners;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Creates the source named `name` that a configuration describes; its paths count from `directory`.
pub(super) fn build(name: &str, config: &PostgresConfig, directory: &Path) -> Box<dyn Source> {
    let server = Server::new(name, &config.server, directory);
    match &config.method {
        PostgresMethod::Dump { jobs, globals } => Box::new(dump::DumpSource::new(server, *jobs, *globals)),
        PostgresMethod::BaseBackup => Box::new(base_backup::BaseBackupSource::new(server)),
        PostgresMethod::RestorePoint(settings) => {
            Box::new(restore_point::RestorePointSource::new(server, settings, directory))
        }
    }
}

/// Returns the one of a dump's files that is an archive of the custom format; a directory of files has none.
pub(super) fn archive_of(names: &[String]) -> Option<&str> {
    dump::archive_of(names).map(String::as_str)
}

/// The server of a source.
#[derive(Debug)]
struct Server {
    /// The name of the source as one path component, from which the names of its files are made.
    file_name: String,
    config: ServerConfig,
    clients: Clients,
    known: Mutex<Known>,
}

/// What was learned of a server since the source was built.
#[derive(Debug, Default, Clone)]
struct Known {
    /// What the server said of itself last.
    facts: Option<ServerFacts>,
    /// What the first client program said of its version.
    tool_version: Option<String>,
    /// Every endpoint that let a session of this run in: there, something may be left.
    visited: Vec<Endpoint>,
    /// Databases of drills, and what a restore there does with owners.
    drills: Vec<(Endpoint, Owners)>,
}

impl Server {
    fn new(name: &str, config: &ServerConfig, directory: &Path) -> Self {
        Self {
            file_name: path_component(name),
            config: config.clone(),
            clients: Clients::new(config.programs.as_deref(), directory),
            known: Mutex::default(),
        }
    }

    /// Returns where the source is.
    ///
    /// # Errors
    /// `config`: `url` cannot be read, or is not one of a PostgreSQL server.
    fn endpoint(&self) -> Result<Endpoint> {
        Endpoint::parse(&self.config.url.resolve()?, self.config.connect_timeout)
    }

    /// Returns the endpoint that another URL names.
    ///
    /// # Errors
    /// `config`: it is not the URL of a PostgreSQL server.
    fn endpoint_of(&self, url: &str) -> Result<Endpoint> {
        Endpoint::parse(url, self.config.connect_timeout)
    }

    /// Opens a session, and remembers where it did: a client program is started only at an endpoint that let us in.
    ///
    /// # Errors
    /// Why the server does not let us in.
    fn connect(&self, endpoint: &Endpoint, context: &Context) -> Result<Connection, Refusal> {
        let connection = Connection::open(endpoint, context)?;
        let mut known = self.known();
        if !known.visited.contains(endpoint) {
            known.visited.push(endpoint.clone());
        }
        drop(known);
        Ok(connection)
    }

    /// Returns a client program that talks to `endpoint`; its sessions carry the mark of the run.
    fn program(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = impl Into<String>>,
        endpoint: &Endpoint,
        context: &Context,
    ) -> Program {
        programs::program(&self.clients, name, arguments, endpoint, &context.mark)
    }

    /// Connects, asks the server what it is, and sees that the client programs are there and not older. Without a
    /// connection there is nothing more to look at.
    fn preflight(&self, programs: &[&str], context: &Context) -> (Option<(Connection, ServerFacts)>, Vec<Finding>) {
        let mut findings = Vec::new();
        let mut reached = None;
        match self.endpoint() {
            Err(error) => findings.push(Finding::from_error(&error, FindingCode::PreflightFailed)),
            Ok(endpoint) => match self.connect(&endpoint, context) {
                Err(refusal) => findings.push(refusal.finding()),
                Ok(connection) => match ServerFacts::ask(&connection) {
                    Err(error) => findings.push(Finding::from_error(&error, FindingCode::ServerUnreachable)),
                    Ok(facts) => reached = Some((connection, facts)),
                },
            },
        }
        let server = reached.as_ref().map(|(_, facts)| (facts.version.as_str(), facts.major()));
        let (tool_version, more) = programs::preflight(&self.clients, programs, server, &context.cancel);
        findings.extend(more);
        let mut known = self.known();
        known.tool_version = tool_version.or(known.tool_version.take());
        if let Some((_, facts)) = &reached {
            known.facts = Some(facts.clone());
        }
        drop(known);
        (reached, findings)
    }

    /// Makes sure that the server which answers at `endpoint` now is the one that the preflight judged.
    ///
    /// # Errors
    /// `capture-failed`: it is another, or another database.
    fn must_be_as_before(&self, endpoint: &Endpoint, now: &ServerFacts) -> Result<()> {
        let before = self.known().facts.as_ref().and_then(ServerFacts::identity);
        if before.is_none() || now.identity() == before {
            return Ok(());
        }
        let text = format!("{} is not the server that it was a moment ago", endpoint.server());
        Err(Error::new(ErrorCode::CaptureFailed, text).hint("see what answers there, and that it is only one"))
    }

    /// Says of the whole cluster what can be told without a capture.
    ///
    /// # Errors
    /// `capture-failed`: the server lets us not in, or does not say; the reason of a cancellation.
    fn look_at_cluster(&self, context: &Context) -> Result<Content> {
        let connection = self.connect(&self.endpoint()?, context).map_err(|refusal| refusal.error)?;
        Ok(ServerFacts::ask(&connection)?.cluster_content())
    }

    /// Notes what a restore into a database of a drill does with owners.
    fn restores_with(&self, endpoint: &Endpoint, owners: Owners) {
        self.known().drills.push((endpoint.clone(), owners));
    }

    /// Returns what a restore into a database does with owners.
    fn owners_at(&self, endpoint: &Endpoint) -> Owners {
        let is_it = |one: &Endpoint| {
            (&one.host, one.port, &one.database) == (&endpoint.host, endpoint.port, &endpoint.database)
        };
        self.known().drills.iter().rev().find(|(one, _)| is_it(one)).map_or(Owners::Kept, |(_, owners)| *owners)
    }

    /// Ends what this run left on any server it had a session on; see [`Source::clean_up`].
    ///
    /// # Errors
    /// `capture-failed`: something is left, or a server does not say.
    fn clean_up(&self, context: &Context) -> Result<Vec<String>> {
        let visited = self.known().visited.clone();
        sessions::clean_up(&visited, context)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // What is known is replaced in one step, so a panic elsewhere does not make it wrong.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
