//! A new database that takes a name once it is complete.

use super::properties;
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::source::Context;
use crate::source::postgres::connect::{Connection, identifier, literal};
use crate::source::postgres::endpoint::Endpoint;
use crate::source::write::failed;
use std::time::{Duration, Instant};

/// How long it may take to drop a database after a failure: the run may be about to end.
const DROP_WITHIN: Duration = Duration::from_secs(3);
/// How long sessions of the database that is replaced may take to end.
const SESSIONS_END_WITHIN: Duration = Duration::from_secs(10);

/// A database under a name of this run; dropping it drops it on the server, unless it took its name.
pub(super) struct Fresh {
    /// A session in another database.
    connection: Connection,
    maintenance: Endpoint,
    name: String,
    context: Context,
    is_placed: bool,
}

impl Fresh {
    /// Creates the database; `options` is what follows the name in the statement.
    pub(super) fn create(
        connection: Connection,
        maintenance: Endpoint,
        options: &str,
        context: &Context,
    ) -> Result<Self> {
        let name = context.mark.clone();
        let connection = connection.without_limit();
        let sql = format!("CREATE DATABASE {} {options}", identifier(&name));
        connection.rows("create a database", &sql).map_err(|error| {
            error.hint(format!(
                "the user needs the right to create databases: ALTER ROLE {} CREATEDB; or restore into an empty database \
                 that is there",
                identifier(&maintenance.user)
            ))
        })?;
        Ok(Self { connection, maintenance, name, context: context.clone(), is_placed: false })
    }

    /// Returns where the database is.
    pub(super) fn endpoint(&self) -> Endpoint {
        self.maintenance.with_database(&self.name)
    }

    /// Gives it a name that no database has.
    pub(super) fn take_name(mut self, name: &str) -> Result<()> {
        let sql = format!("ALTER DATABASE {} RENAME TO {}", identifier(&self.name), identifier(name));
        self.connection.rows("give the database its name", &sql)?;
        self.is_placed = true;
        Ok(())
    }

    /// Puts it in the place of a database, whose sessions are ended, and drops that one.
    pub(super) fn replace(mut self, name: &str) -> Result<()> {
        properties::copy(&self.connection, name, &self.name)?;
        let old = format!("{}-old", self.name);
        self.connection.rows("close the old database", &allow_connections(name, false))?;
        if let Err(error) = self.swap(name, &old) {
            let opened = self.connection.rows("open the old database again", &allow_connections(name, true));
            return Err(match opened {
                Ok(_) => error,
                Err(_) => error.hint(format!("the old database lets nobody in: {}", allow_connections(name, true))),
            });
        }
        self.is_placed = true;
        drop_database(&self.connection, &old).map_err(|error| {
            failed(format!("{name} is restored, but the old database is still there, as {old}"))
                .caused_by(error)
                .hint(format!("drop it: DROP DATABASE {}", identifier(&old)))
        })
    }

    fn swap(&self, name: &str, old: &str) -> Result<()> {
        self.end_sessions(name)?;
        let (name, old, fresh) = (identifier(name), identifier(old), identifier(&self.name));
        let sql =
            format!("BEGIN; ALTER DATABASE {name} RENAME TO {old}; ALTER DATABASE {fresh} RENAME TO {name}; COMMIT");
        let swapped = self.connection.rows("put the database in its place", &sql);
        if swapped.is_err() {
            // The transaction failed, and takes nothing but its end.
            let _ = self.connection.rows("end the transaction", "ROLLBACK");
        }
        swapped.map(drop)
    }

    fn end_sessions(&self, name: &str) -> Result<()> {
        let of = format!("FROM pg_catalog.pg_stat_activity WHERE datname = {}", literal(name));
        let until = Instant::now() + SESSIONS_END_WITHIN;
        loop {
            let doing = "end the sessions of the old database";
            self.connection.rows(doing, &format!("SELECT pg_catalog.pg_terminate_backend(pid) {of}"))?;
            let left = self.connection.value(doing, &format!("SELECT count(*) {of}"))?;
            if left.as_deref() == Some("0") {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(
                    failed(format!("sessions in {name} do not end")).hint("stop the application, and restore again")
                );
            }
            self.context.cancel.sleep(Duration::from_millis(20))?;
        }
    }

    fn discard(&self) -> Result<(), Error> {
        // The run may be cancelled, and its session busy: this must be done all the same.
        let connection = Connection::open_within(&self.maintenance, &self.context, &Cancel::new(), DROP_WITHIN)
            .map_err(|refusal| refusal.error)?;
        let sessions = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = {}",
            literal(&self.name)
        );
        connection.rows("end sessions", &sessions)?;
        drop_database(&connection, &self.name)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.is_placed {
            // It has a name of this run's, and nobody uses it; the failure that led here is what must be told.
            let _ = self.discard();
        }
    }
}

fn drop_database(connection: &Connection, name: &str) -> Result<()> {
    connection.rows("drop a database", &format!("DROP DATABASE IF EXISTS {}", identifier(name))).map(drop)
}

fn allow_connections(name: &str, allow: bool) -> String {
    format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", identifier(name))
}
