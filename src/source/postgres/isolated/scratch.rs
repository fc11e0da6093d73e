//! A scratch database on a server that is somebody's: made for one drill, and dropped after it, or by the next drill there
//! if this run is killed.

use super::super::Server;
use super::super::connect::{Connection, identifier, literal};
use super::super::endpoint::Endpoint;
use super::super::facts::ServerFacts;
use super::super::sessions;
use super::url_of;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::process::Identity;
use crate::source::Context;
use crate::source::write::failed;
use std::time::{Duration, Instant};

/// How the names of scratch databases begin; 16 hexadecimal digits follow.
const PREFIX: &str = "holdpoint_drill_";
/// How the comment on a scratch database begins; the process that made it follows, as JSON.
const COMMENT: &str = "holdpoint drill ";
/// How long sessions of a database that is dropped may take to end.
const SESSIONS_END_WITHIN: Duration = Duration::from_secs(10);
/// How long each statement of a removal may take.
const REMOVE_WITHIN: Duration = Duration::from_secs(60);
/// How long to wait before asking for sessions again.
const PAUSE: Duration = Duration::from_millis(20);

/// A database of this run's own on a server that is not. Dropping it drops the database as far as the server answers.
pub(super) struct ScratchDatabase {
    pub endpoint: Endpoint,
    pub url: String,
    pub facts: ServerFacts,
    maintenance: Endpoint,
    /// Until it is dropped.
    context: Option<Context>,
}

impl ScratchDatabase {
    /// Makes the database; those of runs that are proved dead are dropped first.
    ///
    /// # Errors
    /// `restore-failed`: the server lets us not in, or may not make databases; the reason of a cancellation.
    pub(super) fn create(source: &Server, url: &str, context: &Context) -> Result<Self> {
        let maintenance = source.endpoint_of(url)?;
        let server = maintenance.server();
        let cannot = |error: Error| match error.is_cancelled() {
            true => error,
            false => error.under(ErrorCode::RestoreFailed, format!("no scratch database can be made at {server}")),
        };
        let connection =
            Connection::open(&maintenance, context).map_err(|refusal| cannot(refusal.error))?.without_limit();
        may_create(&connection, &maintenance)?;
        drop_abandoned(&connection).map_err(cannot)?;
        let digits = getrandom::u64()
            .map_err(|error| Error::new(ErrorCode::Io, "the system has no random numbers").caused_by(error))?;
        let name = format!("{PREFIX}{digits:016x}");
        let endpoint = maintenance.with_database(&name);
        let facts = ServerFacts::ask(&connection).map_err(cannot)?;
        let facts = ServerFacts { database: name.clone(), ..facts };
        // From here on the database goes, whatever happens.
        let scratch = Self { url: url_of(url, &name)?, endpoint, facts, maintenance, context: Some(context.clone()) };
        let owner = serde_json::to_string(&Identity::current())
            .map_err(|error| Error::new(ErrorCode::Internal, "cannot write who this is").caused_by(error))?;
        let doing = "make a scratch database";
        let with = |encoding: &str| format!("CREATE DATABASE {} WITH TEMPLATE template0{encoding}", identifier(&name));
        let made = connection.rows(doing, &with(" ENCODING 'UTF8'"));
        // The server's locale may have no such encoding; then its own has to do.
        let made = made.or_else(|error| match error.is_cancelled() {
            true => Err(error),
            false => connection.rows(doing, &with("")),
        });
        made.and_then(|_| {
            let comment = literal(&format!("{COMMENT}{owner}"));
            connection.rows(doing, &format!("COMMENT ON DATABASE {} IS {comment}", identifier(&name)))
        })
        .map_err(cannot)?;
        Ok(scratch)
    }

    /// Ends its sessions, drops it, and asks whether it is gone.
    ///
    /// # Errors
    /// `restore-failed`: it is left, and how it is dropped by hand.
    pub(super) fn remove(mut self, context: &Context) -> Result<()> {
        self.context = None;
        self.discard(context)
    }

    fn discard(&self, context: &Context) -> Result<()> {
        let name = &self.endpoint.database;
        let left = |error: Error| {
            error
                .under(
                    ErrorCode::RestoreFailed,
                    format!("the scratch database {name} is left at {}", self.maintenance.server()),
                )
                .hint(format!("drop it: DROP DATABASE {}", identifier(name)))
        };
        // The run may be cancelled, and this must be done all the same.
        let connection = Connection::open_within(&self.maintenance, context, &Cancel::new(), REMOVE_WITHIN)
            .map_err(|refusal| left(refusal.error))?;
        drop_database(&connection, name).map_err(left)?;
        drop(connection);
        sessions::clean_up(std::slice::from_ref(&self.maintenance), context).map(drop).map_err(|error| {
            error.under(
                ErrorCode::RestoreFailed,
                format!("sessions of the drill are left at {}", self.maintenance.server()),
            )
        })
    }
}

impl Drop for ScratchDatabase {
    fn drop(&mut self) {
        if let Some(context) = self.context.take() {
            let _ = self.discard(&context);
        }
    }
}

/// # Errors
/// `restore-failed`: the user may not make databases.
fn may_create(connection: &Connection, endpoint: &Endpoint) -> Result<()> {
    let sql = "SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user";
    if connection.value("ask whether databases may be made", sql)?.as_deref() == Some("t") {
        return Ok(());
    }
    let user = &endpoint.user;
    Err(failed(format!("the user {user} may not make databases at {}", endpoint.server()))
        .hint(format!("let a superuser say: ALTER ROLE {} CREATEDB", identifier(user))))
}

/// Drops the scratch databases of runs that are proved dead.
fn drop_abandoned(connection: &Connection) -> Result<()> {
    let sql = format!(
        "SELECT datname, pg_catalog.shobj_description(oid, 'pg_database') FROM pg_catalog.pg_database \
          WHERE datname ~ '^{PREFIX}[0-9a-f]{{16}}$' AND pg_catalog.pg_has_role(datdba, 'MEMBER')"
    );
    let observer = Identity::current();
    for row in connection.rows("look for scratch databases of runs that were killed", &sql)? {
        let mut values = row.into_iter();
        let (Some(Some(name)), Some(Some(comment))) = (values.next(), values.next()) else { continue };
        let owner = comment.strip_prefix(COMMENT).and_then(|text| serde_json::from_str::<Identity>(text).ok());
        if owner.is_some_and(|owner| owner.is_proved_dead(&observer)) {
            // Another drill may be at it, too.
            let _ = drop_database(connection, &name);
        }
    }
    Ok(())
}

/// Drops a database with the sessions in it, and asks whether it is gone.
fn drop_database(connection: &Connection, name: &str) -> Result<()> {
    let (doing, quoted) = ("drop a scratch database", literal(name));
    let exists = format!("SELECT count(*) FROM pg_catalog.pg_database WHERE datname = {quoted}");
    let is_gone = || Ok::<_, Error>(connection.value(doing, &exists)?.as_deref() == Some("0"));
    // A statement that makes it may be at work still: it can be dropped once that is over.
    let of = format!(
        "FROM pg_catalog.pg_stat_activity WHERE pid <> pg_catalog.pg_backend_pid() AND backend_type = 'client backend' \
            AND (datname = {quoted} OR query LIKE '%CREATE DATABASE ' || {} || '%')",
        literal(&identifier(name))
    );
    let until = Instant::now() + SESSIONS_END_WITHIN;
    loop {
        connection.rows(doing, &format!("SELECT pg_catalog.pg_terminate_backend(pid) {of}"))?;
        if connection.value(doing, &format!("SELECT count(*) {of}"))?.as_deref() == Some("0") {
            break;
        }
        if Instant::now() > until {
            return Err(failed(format!("sessions in {name} do not end")));
        }
        std::thread::sleep(PAUSE);
    }
    if is_gone()? {
        return Ok(());
    }
    connection.rows(doing, &format!("DROP DATABASE IF EXISTS {}", identifier(name)))?;
    match is_gone()? {
        true => Ok(()),
        false => Err(failed(format!("{name} is still there"))),
    }
}
