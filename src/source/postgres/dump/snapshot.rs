//! The moment that a dump shows: a transaction that is held open while the client programs read in it.

use super::DumpSource;
use super::look::ask_version;
use crate::error::Result;
use crate::model::manifest::Content;
use crate::source::Context;
use crate::source::migrations::SchemaVersion;
use crate::source::postgres::connect::Connection;
use crate::source::postgres::endpoint::Endpoint;
use crate::source::postgres::facts::ServerFacts;

/// The first version that can end a long transaction by itself.
const WITH_TRANSACTION_TIMEOUT: u32 = 170_000;

/// A transaction whose view of the database others can take over, until it is dropped.
#[derive(Debug)]
pub(super) struct Snapshot {
    /// What `pg_export_snapshot` called it.
    pub name: String,
    /// What was read in it, for the manifest.
    pub content: Content,
    /// What the server is.
    pub facts: ServerFacts,
    _connection: Connection,
}

impl Snapshot {
    /// Opens the transaction and reads in it what belongs to the moment.
    ///
    /// # Errors
    /// `capture-failed`: the server does not let us in, is another than the preflight saw, or refuses a question.
    pub(super) fn take(source: &DumpSource, endpoint: &Endpoint, context: &Context) -> Result<Self> {
        let connection = source.server.connect(endpoint, context).map_err(|refusal| refusal.error)?;
        let facts = ServerFacts::ask(&connection)?;
        source.server.must_be_as_before(endpoint, &facts)?;
        let doing = "open a snapshot";
        // The transaction is idle while it is held, for as long as the dump takes.
        connection.rows(doing, "SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0")?;
        if facts.number >= WITH_TRANSACTION_TIMEOUT {
            connection.rows(doing, "SET transaction_timeout = 0")?;
        }
        connection.rows(doing, "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        let name = connection.value(doing, "SELECT pg_catalog.pg_export_snapshot()")?.unwrap_or_default();
        let position = if facts.is_in_recovery { "pg_last_wal_replay_lsn" } else { "pg_current_wal_lsn" };
        let lsn = connection.value("read the position in the log", &format!("SELECT pg_catalog.{position}()"))?;
        let mut content = Content::new();
        content.insert("wal_lsn".to_owned(), lsn.into());
        let role = if facts.is_in_recovery { "standby" } else { "primary" };
        content.insert("role".to_owned(), role.into());
        if let Some(query) = &source.server.config.schema_version_query {
            let version = ask_version(&connection, query)?;
            SchemaVersion::of_query(version).add_to(&mut content);
        }
        Ok(Self { name, content, facts, _connection: connection })
    }
}
