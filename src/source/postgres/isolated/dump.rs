//! A place for a dump: a database of a server of the drill's own, or one on a server that is named.

use super::super::dump::look::{self, Wanted};
use super::super::endpoint::{Endpoint, MAINTENANCE};
use super::super::facts::ServerFacts;
use super::super::programs::{self, Major};
use super::super::{Server, programs::installation_of};
use super::own::{Place, SUPERUSER};
use super::scratch::ScratchDatabase;
use super::{Owners, ask, connect, unusable, variables};
use crate::error::{Error, Result};
use crate::model::manifest::Content;
use crate::source::isolation::{Isolated, Isolation};
use crate::source::throwaway::OwnServer;
use crate::source::write::failed;
use crate::source::{Context, Target};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

/// What a throw-away server needs.
const PROGRAMS: [&str; 2] = ["initdb", "postgres"];
/// How long the server of a drill may take to let us in.
const PATIENCE: Duration = Duration::from_secs(30);

/// A database for a drill.
struct DumpPlace {
    endpoint: Endpoint,
    url: String,
    query: Option<String>,
    identity: Option<String>,
    description: String,
    host: Host,
}

/// Whose server it is on.
enum Host {
    /// Our own. Behind a lock: whether it runs is asked from where only reading is allowed.
    Own {
        server: Mutex<OwnServer>,
        place: Place,
    },
    Named(ScratchDatabase),
}

/// Makes the place.
///
/// # Errors
/// `restore-failed`: there are no server programs, the server does not start, or the one that is named gives no database;
/// the reason of a cancellation.
pub(in crate::source::postgres) fn isolate(
    source: &Server,
    context: &Context,
    isolation: &Isolation,
) -> Result<Box<dyn Isolated>> {
    let query = source.config.schema_version_query.clone();
    let place = match &isolation.server {
        Some(url) => {
            let database = ScratchDatabase::create(source, url, context)?;
            let (endpoint, url) = (database.endpoint.clone(), database.url.clone());
            source.restores_with(&endpoint, Owners::LeftOut);
            let facts = database.facts.clone();
            let description = format!("the scratch database {} at {}", endpoint.database, endpoint.server());
            let host = Host::Named(database);
            DumpPlace { endpoint, url, query, identity: facts.identity(), description, host }
        }
        None => {
            let programs = programs(source, context)?;
            let place = Place::new(&isolation.directory)?;
            place.init(&programs, context)?;
            let what = "the throw-away PostgreSQL server";
            let users = [SUPERUSER.to_owned()];
            let (mut server, _) = place.start(what, &programs.join("postgres"), &users, context)?;
            // Under its own name, if that is known without asking the origin.
            let name = source.endpoint().map_or_else(|_| "drill".to_owned(), |endpoint| endpoint.database);
            let url = place.url(SUPERUSER, &name);
            let endpoint = Endpoint::parse(&url, PATIENCE)?;
            let asked = connect(&endpoint.with_database(MAINTENANCE), context)
                .and_then(|connection| ServerFacts::ask(&connection).map_err(unusable));
            let facts = asked.map_err(|error| server.explain(error))?;
            source.restores_with(&endpoint, Owners::Made);
            let facts = ServerFacts { database: name, ..facts };
            let account = place.home.account().map(|name| format!(", as {name}")).unwrap_or_default();
            let description =
                format!("PostgreSQL {} of its own{account}, on a socket in a private directory", facts.version);
            let host = Host::Own { server: Mutex::new(server), place };
            DumpPlace { endpoint, url, query, identity: facts.identity(), description, host }
        }
    };
    Ok(Box::new(place))
}

/// Finds the programs of a server: where the client programs are, else of the version of `pg_restore`, else the newest.
fn programs(source: &Server, context: &Context) -> Result<PathBuf> {
    if let Some(directory) = source.clients.directory()
        && PROGRAMS.iter().all(|name| directory.join(name).is_file())
    {
        return Ok(directory.to_owned());
    }
    let (_, major): (_, Option<Major>) = programs::version(&source.clients, "pg_restore", &context.cancel)?;
    let same = major.and_then(|major| installation_of(&PROGRAMS, |found| found == major));
    let on_path = || {
        let found = crate::process::Program::new(["postgres"]).locate().ok()?.canonicalize().ok()?;
        let directory = found.parent()?.to_owned();
        PROGRAMS.iter().all(|name| directory.join(name).is_file()).then_some(directory)
    };
    same.or_else(|| installation_of(&PROGRAMS, |_| true)).or_else(on_path).ok_or_else(|| {
        failed("there are no programs of a PostgreSQL server (initdb, postgres) on this machine".to_owned())
            .hint("install them (Debian: postgresql), and name their directory in `programs`")
            .hint("or name a server that drills may use: drill_server = \"postgres://…\" in the source")
    })
}

impl DumpPlace {
    /// Says why something failed, if that is because the server has ended.
    fn explain(&self, error: Error) -> Error {
        match &self.host {
            Host::Own { server, .. } => server.lock().unwrap_or_else(std::sync::PoisonError::into_inner).explain(error),
            Host::Named(_) => error,
        }
    }
}

impl Isolated for DumpPlace {
    fn target(&self) -> Target {
        Target::Url(self.url.clone())
    }

    fn description(&self) -> String {
        self.description.clone()
    }

    fn identity(&self) -> Option<String> {
        self.identity.clone()
    }

    fn variables(&self) -> Vec<(String, String)> {
        variables(&self.url, &self.endpoint)
    }

    fn start(&mut self, _: &Context) -> Result<()> {
        match &mut self.host {
            Host::Own { server, .. } => server
                .get_mut()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .must_run("ended while the dump was restored"),
            Host::Named(_) => Ok(()),
        }
    }

    fn look(&self, context: &Context) -> Result<Content> {
        let wanted = Wanted { query: self.query.as_deref(), roles: false };
        let looked = connect(&self.endpoint, context).and_then(|connection| look::look(&connection, wanted, None));
        looked.map_err(|error| self.explain(unusable(error)))
    }

    fn ask(&self, context: &Context, question: &str) -> Result<String> {
        ask(&self.endpoint, context, question).map_err(|error| self.explain(error))
    }

    fn remove(self: Box<Self>, context: &Context) -> Result<()> {
        match self.host {
            Host::Own { server, place } => {
                let server = server.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
                server.stop().and(place.home.remove())
            }
            Host::Named(database) => database.remove(context),
        }
    }
}
