//! A new database that takes a name once it is complete.

use super::properties;
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::source::Context;
use crate::source::postgres::connect::{Connection, identifier, literal};
use crate::source::postgres::endpoint::Endpoint;
use crate::source::write::failed;
use std::time::{Duration, Instant};

/// Databases that restores of this user began and did not live to end: nobody is in them, and no session bears their name,
/// as that of a restore does from before its database is made until it is gone.
const ABANDONED: &str = "\
    SELECT d.datname FROM pg_catalog.pg_database d \
     WHERE d.datname ~ '^holdpoint-[0-9a-f]{16}$' AND pg_catalog.pg_get_userbyid(d.datdba) = current_user \
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a \
                        WHERE a.datname = d.datname OR a.application_name = d.datname)";

/// How long it may take to drop a database after a failure: the run may be about to end.
const DROP_WITHIN: Duration = Duration::from_secs(3);
/// How long sessions of the database that is replaced may take to end.
const SESSIONS_END_WITHIN: Duration = Duration::from_secs(10);

/// How long to wait before asking for sessions again.
const PAUSE: Duration = Duration::from_millis(20);

/// A database under a name of this run, until it takes its own; if that fails it is dropped on the server.
pub(super) struct Fresh {
    /// A session in another database.
    connection: Connection,
    maintenance: Endpoint,
    name: String,
    context: Context,
}

impl Fresh {
    /// Creates the database; `options` is what follows the name in the statement.
    pub(super) fn create(
        connection: Connection,
        maintenance: Endpoint,
        options: &str,
        context: &Context,
    ) -> Result<Self> {
        let connection = connection.without_limit();
        // What cannot be dropped takes room, and is in nobody's way.
        let _ = drop_abandoned(&connection);
        let fresh = Self { connection, maintenance, name: context.mark.clone(), context: context.clone() };
        let sql = format!("CREATE DATABASE {} {options}", identifier(&fresh.name));
        match fresh.connection.rows("create a database", &sql) {
            Ok(_) => Ok(fresh),
            Err(error) => {
                let error = error.hint(format!(
                    "the user needs the right to create databases: ALTER ROLE {} CREATEDB; or restore into an empty \
                     database that is there",
                    identifier(&fresh.maintenance.user)
                ));
                // Nobody waits for the answer after a cancellation, and the server goes on all the same.
                Err(fresh.give_up(error))
            }
        }
    }

    /// Returns where the database is.
    pub(super) fn endpoint(&self) -> Endpoint {
        self.maintenance.with_database(&self.name)
    }

    /// Gives it a name that no database has.
    pub(super) fn take_name(self, name: &str) -> Result<()> {
        let sql = format!("ALTER DATABASE {} RENAME TO {}", identifier(&self.name), identifier(name));
        match self.connection.rows("give the database its name", &sql) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.give_up(error)),
        }
    }

    /// Puts it in the place of a database, whose sessions are ended, and drops that one.
    pub(super) fn replace(self, name: &str) -> Result<()> {
        let old = format!("{}-old", self.name);
        if let Err(error) = self.take_place(name, &old) {
            return Err(self.give_up(error));
        }
        drop_database(&self.connection, &old).map_err(|error| {
            failed(format!("{name} is restored, but the old database is still there, as {old}"))
                .caused_by(error)
                .hint(format!("drop it: DROP DATABASE {}", identifier(&old)))
        })
    }

    /// Drops the database after a failure, to which it adds a hint if that fails, too.
    pub(super) fn give_up(self, error: Error) -> Error {
        match self.discard() {
            Ok(()) => error,
            Err(_) => error.hint(format!("drop what was begun: DROP DATABASE {}", identifier(&self.name))),
        }
    }

    fn take_place(&self, name: &str, old: &str) -> Result<()> {
        // From here on a cancellation is looked at only where it leaves the old database as it was.
        let connection = self.connect_anyway(self.maintenance.patience)?;
        properties::copy(&connection, name, &self.name)?;
        connection.rows("close the old database", &allow_connections(name, false))?;
        if let Err(error) = self.swap(&connection, name, old) {
            let opened = connection.rows("open the old database again", &allow_connections(name, true));
            return Err(match opened {
                Ok(_) => error,
                Err(_) => error.hint(format!("the old database lets nobody in: {}", allow_connections(name, true))),
            });
        }
        Ok(())
    }

    fn swap(&self, connection: &Connection, name: &str, old: &str) -> Result<()> {
        self.end_sessions(connection, name)?;
        let (name, old, fresh) = (identifier(name), identifier(old), identifier(&self.name));
        let sql =
            format!("BEGIN; ALTER DATABASE {name} RENAME TO {old}; ALTER DATABASE {fresh} RENAME TO {name}; COMMIT");
        let swapped = connection.rows("put the database in its place", &sql);
        if swapped.is_err() {
            // The transaction failed, and takes nothing but its end.
            let _ = connection.rows("end the transaction", "ROLLBACK");
        }
        swapped.map(drop)
    }

    fn end_sessions(&self, connection: &Connection, name: &str) -> Result<()> {
        let of = format!("FROM pg_catalog.pg_stat_activity WHERE datname = {}", literal(name));
        let until = Instant::now() + SESSIONS_END_WITHIN;
        while !end_all(connection, "end the sessions of the old database", &of)? {
            if Instant::now() > until {
                return Err(
                    failed(format!("sessions in {name} do not end")).hint("stop the application, and restore again")
                );
            }
            self.context.cancel.sleep(PAUSE)?;
        }
        Ok(())
    }

    fn discard(&self) -> Result<()> {
        let connection = self.connect_anyway(DROP_WITHIN)?;
        // Also those that create or rename it, which may be at work still: it can be dropped once they are gone.
        let sessions = format!(
            "FROM pg_catalog.pg_stat_activity WHERE (datname = {} OR application_name = {}) \
                AND pid <> pg_catalog.pg_backend_pid()",
            literal(&self.name),
            literal(&self.context.mark)
        );
        let until = Instant::now() + DROP_WITHIN;
        while !end_all(&connection, "end sessions", &sessions)? {
            if Instant::now() > until {
                return Err(failed("sessions of this run do not end".to_owned()));
            }
            std::thread::sleep(PAUSE);
        }
        drop_database(&connection, &self.name)
    }

    /// Opens a session in another database, whether or not the run was cancelled.
    fn connect_anyway(&self, limit: Duration) -> Result<Connection> {
        Connection::open_within(&self.maintenance, &self.context, &Cancel::new(), limit)
            .map_err(|refusal| refusal.error)
    }
}

/// Ends the sessions that `of` selects, a query from its FROM on; returns whether there are none any more.
fn end_all(connection: &Connection, doing: &str, of: &str) -> Result<bool> {
    connection.rows(doing, &format!("SELECT pg_catalog.pg_terminate_backend(pid) {of}"))?;
    let left = connection.value(doing, &format!("SELECT count(*) {of}"))?;
    Ok(left.as_deref() == Some("0"))
}

fn drop_abandoned(connection: &Connection) -> Result<()> {
    let doing = "look for what a restore left that was killed";
    let names = connection.rows(doing, ABANDONED)?.into_iter().flatten().flatten();
    names.into_iter().try_for_each(|name| drop_database(connection, &name))
}

fn drop_database(connection: &Connection, name: &str) -> Result<()> {
    connection.rows("drop a database", &format!("DROP DATABASE IF EXISTS {}", identifier(name))).map(drop)
}

fn allow_connections(name: &str, allow: bool) -> String {
    format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", identifier(name))
}
