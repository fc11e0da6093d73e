//! A new database that takes a name once it is complete.

use super::properties;
use crate::cancel::Cancel;
use crate::error::{Error, Result};
use crate::source::Context;
use crate::source::postgres::connect::{Connection, identifier, literal};
use crate::source::postgres::endpoint::Endpoint;
use crate::source::write::failed;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Databases that restores began and did not live to end: those of this user that did not take their place, and those that
/// had to make it, which another one has in that very moment. Nobody is in them, and no session bears their name, as that of
/// a restore does from before its database is made until all is done.
const ABANDONED: &str = "\
    SELECT d.datname FROM pg_catalog.pg_database d \
     WHERE (d.datname ~ '^holdpoint-[0-9a-f]{16}$' AND pg_catalog.pg_get_userbyid(d.datdba) = current_user \
            OR d.datname ~ '^holdpoint-[0-9a-f]{16}-old$' AND pg_catalog.pg_has_role(d.datdba, 'USAGE')) \
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a \
                        WHERE a.datname = d.datname \
                           OR a.application_name = pg_catalog.regexp_replace(d.datname, '-old$', ''))";

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
        let patience = self.maintenance.patience;
        let connection = self.connect_anyway(patience)?.with_limit(patience.saturating_add(SESSIONS_END_WITHIN));
        properties::copy(&connection, name, &self.name)?;
        self.swap(&connection, name, old)
    }

    /// Renames both databases in one transaction, so that whoever dies here leaves the old one or the new one, open to
    /// everybody. While the server renames a database it lets nobody new into it, and waits a few seconds for the sessions
    /// that are there: in that time they are ended.
    fn swap(&self, connection: &Connection, name: &str, old: &str) -> Result<()> {
        let ending = self.connect_anyway(self.maintenance.patience)?;
        let doing = "end the sessions of the old database";
        let of = format!("FROM pg_catalog.pg_stat_activity WHERE datname = {}", literal(name));
        let (from, to, fresh) = (identifier(name), identifier(old), identifier(&self.name));
        let sql =
            format!("BEGIN; ALTER DATABASE {from} RENAME TO {to}; ALTER DATABASE {fresh} RENAME TO {from}; COMMIT");
        let until = Instant::now() + SESSIONS_END_WITHIN;
        loop {
            self.context.cancel.check()?;
            // Whoever may not end them is told so.
            end_all(&ending, doing, &of)?;
            let is_over = AtomicBool::new(false);
            let swapped = std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) && end_all(&ending, doing, &of).is_ok() {
                        std::thread::sleep(PAUSE);
                    }
                });
                let swapped = connection.rows("put the database in its place", &sql);
                is_over.store(true, Ordering::Relaxed);
                swapped
            });
            let Err(error) = swapped else { return Ok(()) };
            // The transaction failed, and takes nothing but its end.
            let _ = connection.rows("end the transaction", "ROLLBACK");
            if end_all(&ending, doing, &of)? {
                return Err(error);
            }
            if Instant::now() > until {
                let error = failed(format!("sessions in {name} do not end")).caused_by(error);
                return Err(error.hint("stop the application, and restore again"));
            }
        }
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
    // One that cannot be dropped is in the way of none of the others.
    let dropped: Vec<_> = names.map(|name| drop_database(connection, &name)).collect();
    dropped.into_iter().collect()
}

fn drop_database(connection: &Connection, name: &str) -> Result<()> {
    connection.rows("drop a database", &format!("DROP DATABASE IF EXISTS {}", identifier(name))).map(drop)
}
