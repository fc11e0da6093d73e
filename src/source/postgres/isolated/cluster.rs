//! A place for a whole cluster: a data directory, and a server of the same version that is started on it once it is there.

use super::super::Server;
use super::super::endpoint::{Endpoint, MAINTENANCE};
use super::super::facts::ServerFacts;
use super::super::programs::server_program;
use super::own::Place;
use super::{ask, connect, unusable, variables};
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Content;
use crate::source::clients::Clients;
use crate::source::isolation::{Isolated, Isolation};
use crate::source::throwaway::OwnServer;
use crate::source::write::failed;
use crate::source::{Context, Target};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long the server of a drill may take to let us in.
const PATIENCE: Duration = Duration::from_secs(30);
/// What would have the server wait for more log instead of going on from what it has.
const SIGNALS: [&str; 2] = ["standby.signal", "recovery.signal"];

/// A data directory, and the server on it once that was started.
struct ClusterPlace {
    place: Place,
    clients: Clients,
    /// Who may be known to the server, likeliest first.
    users: Vec<String>,
    /// The database that questions are for, if the cluster has it.
    database: String,
    running: Option<Running>,
}

struct Running {
    /// Behind a lock: whether it runs is asked from where only reading is allowed.
    server: Mutex<OwnServer>,
    endpoint: Endpoint,
    url: String,
    version: String,
}

/// Makes the place; the server is started after the restore.
///
/// # Errors
/// `usage`: a server is named; `restore-failed`: there is no account that a server can run as.
pub(in crate::source::postgres) fn isolate(source: &Server, isolation: &Isolation) -> Result<Box<dyn Isolated>> {
    if isolation.server.is_some() {
        return Err(Error::new(ErrorCode::Usage, "a whole cluster cannot be restored into a server that runs")
            .hint("leave out `drill_server` in this source: a drill starts a server of its own"));
    }
    let origin = source.endpoint().ok();
    let own = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().map(|user| user.name);
    let named = origin.as_ref().map(|endpoint| endpoint.user.clone());
    let users = ["postgres".to_owned()].into_iter().chain(named).chain(own).collect();
    let database = origin.map_or_else(|| MAINTENANCE.to_owned(), |endpoint| endpoint.database);
    let place = Place::new(&isolation.directory)?;
    Ok(Box::new(ClusterPlace { place, clients: source.clients.clone(), users, database, running: None }))
}

impl ClusterPlace {
    fn running(&self) -> Result<&Running> {
        self.running.as_ref().ok_or_else(|| failed("the throw-away PostgreSQL server was not started".to_owned()))
    }
}

impl Running {
    /// Says why something failed, if that is because the server has ended.
    fn explain(&self, error: Error) -> Error {
        self.server.lock().unwrap_or_else(PoisonError::into_inner).explain(error)
    }
}

impl Isolated for ClusterPlace {
    fn target(&self) -> Target {
        Target::Directory(self.place.data.clone())
    }

    fn description(&self) -> String {
        let account = self.place.home.account().map(|name| format!(", as {name}")).unwrap_or_default();
        let version = self.running.as_ref().map(|running| format!(" {}", running.version)).unwrap_or_default();
        format!("PostgreSQL{version} of its own{account}, on a data directory and a socket in a private directory")
    }

    /// A restored cluster says that it is the one that it came from: that tells nothing.
    fn identity(&self) -> Option<String> {
        None
    }

    fn variables(&self) -> Vec<(String, String)> {
        self.running.as_ref().map(|running| variables(&running.url, &running.endpoint)).unwrap_or_default()
    }

    fn start(&mut self, context: &Context) -> Result<()> {
        for name in SIGNALS {
            let path = self.place.data.join(name);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(failed(format!("cannot remove {}", path.display())).caused_by(error));
                }
                _ => {}
            }
        }
        let program = server_program(&self.clients, &self.place.data, &context.cancel)?;
        let postgres = program.locate()?;
        let what = "the throw-away PostgreSQL server on the restored cluster";
        let (server, user) = self.place.start(what, &postgres, &self.users, context)?;
        let url = |database: &str| self.place.url(&user, database);
        let maintenance = Endpoint::parse(&url(MAINTENANCE), PATIENCE)?;
        let connection = connect(&maintenance, context)?;
        let facts = ServerFacts::ask(&connection).map_err(unusable)?;
        let sql = format!(
            "SELECT count(*) FROM pg_catalog.pg_database WHERE datname = {} AND datallowconn",
            super::super::connect::literal(&self.database)
        );
        let has_database = connection.value("look for the database", &sql).map_err(unusable)?.as_deref() == Some("1");
        let database = if has_database { self.database.as_str() } else { MAINTENANCE };
        let (url, endpoint) = (url(database), maintenance.with_database(database));
        self.running = Some(Running { server: Mutex::new(server), endpoint, url, version: facts.version });
        Ok(())
    }

    fn look(&self, context: &Context) -> Result<Content> {
        let running = self.running()?;
        let looked = connect(&running.endpoint, context).and_then(|connection| {
            ServerFacts::ask(&connection).map(|facts| facts.cluster_content()).map_err(unusable)
        });
        looked.map_err(|error| running.explain(error))
    }

    fn ask(&self, context: &Context, question: &str) -> Result<String> {
        let running = self.running()?;
        ask(&running.endpoint, context, question).map_err(|error| running.explain(error))
    }

    fn remove(self: Box<Self>, _: &Context) -> Result<()> {
        let stopped = match self.running {
            Some(running) => running.server.into_inner().unwrap_or_else(PoisonError::into_inner).stop(),
            None => Ok(()),
        };
        stopped.and(self.place.home.remove())
    }
}
