//! The native connection: for facts, for a snapshot that is held, and for looking after what a run left.

use super::endpoint::{Endpoint, SYSTEM_ROOTS, TlsMode};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::source::Context;
use crate::source::tls::{self, Verify};
use std::error::Error as _;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a connection may take to say goodbye: until then the server has its session.
const GOODBYE: Duration = Duration::from_millis(500);

/// One row of an answer: every value as text, `None` for NULL.
pub(super) type Row = Vec<Option<String>>;

/// A session of the server. It is closed when dropped; calls and the drop block, so they belong on a thread that may.
#[derive(Debug)]
pub(super) struct Connection {
    client: Option<Client>,
    driver: Option<JoinHandle<()>>,
    runtime: Handle,
    cancel: Cancel,
    limit: Limit,
}

/// How long a session may take.
#[derive(Debug, Clone, Copy)]
enum Limit {
    /// Each question on its own; the goodbye is extra.
    Each(Duration),
    /// All of it, with the goodbye, is over then.
    Until(Instant),
}

impl Limit {
    /// Returns how long the next question may take. Where all has one end, a quarter of what is left stays for the goodbye.
    fn question(self) -> Duration {
        match self {
            Self::Each(limit) => limit,
            Self::Until(end) => end.saturating_duration_since(Instant::now()).mul_f32(0.75),
        }
    }

    fn goodbye(self) -> Duration {
        match self {
            Self::Each(_) => GOODBYE,
            Self::Until(end) => end.saturating_duration_since(Instant::now()).min(GOODBYE),
        }
    }
}

/// Why a server did not let us in.
#[derive(Debug)]
pub(super) struct Refusal {
    pub why: Why,
    pub error: Error,
}

/// What kind of reason it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Nobody listens there: no server runs.
    NobodyThere,
    /// A server starts, stops or recovers.
    NotNow,
    /// There is no such database.
    NoDatabase,
    /// Everything else.
    Other,
}

impl Connection {
    /// Opens a session that carries the mark of the run; opening it and each question take no longer than the patience
    /// that the endpoint has, and end with the run.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn open(endpoint: &Endpoint, context: &Context) -> Result<Self, Refusal> {
        Self::open_within(endpoint, context, &context.cancel, endpoint.patience)
    }

    /// As [`Connection::open`], with a limit and a cancellation of its own.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn open_within(
        endpoint: &Endpoint,
        context: &Context,
        cancel: &Cancel,
        limit: Duration,
    ) -> Result<Self, Refusal> {
        Self::open_limited(endpoint, context, cancel, Limit::Each(limit))
    }

    /// As [`Connection::open_within`], with an end for all that is done in the session, the goodbye included.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn open_until(
        endpoint: &Endpoint,
        context: &Context,
        cancel: &Cancel,
        end: Instant,
    ) -> Result<Self, Refusal> {
        Self::open_limited(endpoint, context, cancel, Limit::Until(end))
    }

    fn open_limited(endpoint: &Endpoint, context: &Context, cancel: &Cancel, limit: Limit) -> Result<Self, Refusal> {
        let patience = limit.question();
        let other = |error| Refusal { why: Why::Other, error };
        let config = config(endpoint, &context.mark);
        let tls = MakeRustlsConnect::new((*tls_client(endpoint).map_err(other)?).clone());
        let connected = context.runtime.block_on(bounded(cancel, patience, config.connect(tls)));
        let (client, connection) = match connected {
            Ok(Some(Ok(both))) => both,
            Ok(Some(Err(error))) => return Err(refusal(endpoint, &error)),
            Ok(None) => return Err(other(silent(endpoint, patience))),
            Err(error) => return Err(other(error)),
        };
        // It ends with its client; what goes wrong in between, the client's next question is told.
        let driver = context.runtime.spawn(async move { drop(connection.await) });
        Ok(Self {
            client: Some(client),
            driver: Some(driver),
            runtime: context.runtime.clone(),
            cancel: cancel.clone(),
            limit,
        })
    }

    /// Returns the rows of the last statement in `sql` that has any. `doing` goes on from "cannot".
    ///
    /// # Errors
    /// `capture-failed`: the server refuses, is gone, or does not answer in time; the reason of a cancellation.
    pub(super) fn rows(&self, doing: &str, sql: &str) -> Result<Vec<Row>> {
        self.ask(doing, sql)?.map_err(|error| cannot(doing, &describe(&error)))
    }

    /// As [`Connection::rows`]; what the server itself answers with, such as a refusal, is the inner error.
    fn ask(&self, doing: &str, sql: &str) -> Result<Result<Vec<Row>, tokio_postgres::Error>> {
        let Some(client) = &self.client else { return Err(cannot(doing, "the connection is closed")) };
        let limit = self.limit.question();
        let answer = self.runtime.block_on(bounded(&self.cancel, limit, client.simple_query(sql)))?;
        let messages = match answer {
            Some(Ok(messages)) => messages,
            Some(Err(error)) => return Ok(Err(error)),
            None => return Err(cannot(doing, &format!("the server did not answer within {limit:?}"))),
        };
        let mut rows = Vec::new();
        for message in messages {
            match message {
                SimpleQueryMessage::RowDescription(_) => rows.clear(),
                SimpleQueryMessage::Row(row) => {
                    rows.push((0..row.len()).map(|place| row.get(place).map(str::to_owned)).collect());
                }
                _ => {}
            }
        }
        Ok(Ok(rows))
    }

    /// Returns the first value of an answer; `None` if there is no row, or NULL in it.
    ///
    /// # Errors
    /// As [`Connection::rows`].
    pub(super) fn value(&self, doing: &str, sql: &str) -> Result<Option<String>> {
        self.rows(doing, sql).map(first_value)
    }

    /// As [`Connection::value`]; `None` also if the user lacks the privilege to ask.
    ///
    /// # Errors
    /// As [`Connection::rows`].
    pub(super) fn value_if_allowed(&self, doing: &str, sql: &str) -> Result<Option<String>> {
        match self.ask(doing, sql)? {
            Ok(rows) => Ok(first_value(rows)),
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(None),
            Err(error) => Err(cannot(doing, &describe(&error))),
        }
    }

    /// Lets each question from here on take as long as the run may.
    pub(super) fn without_limit(self) -> Self {
        self.with_limit(Duration::MAX)
    }

    /// Lets each question from here on take as long as `limit`.
    pub(super) fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = Limit::Each(limit);
        self
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop(self.client.take());
        if let Some(driver) = self.driver.take() {
            // A server that does not take the goodbye is looked after by the clean-up.
            let _ = self.runtime.block_on(async { tokio::time::timeout(self.limit.goodbye(), driver).await });
        }
    }
}

impl Refusal {
    /// Says it as a finding of the preflight.
    pub(super) fn finding(&self) -> Finding {
        let fallback = match self.error.code() {
            ErrorCode::Config => FindingCode::PreflightFailed,
            _ => FindingCode::ServerUnreachable,
        };
        Finding::from_error(&self.error, fallback)
    }
}

fn first_value(rows: Vec<Row>) -> Option<String> {
    rows.into_iter().next()?.into_iter().next()?
}

fn cannot(doing: &str, why: &str) -> Error {
    Error::new(ErrorCode::CaptureFailed, format!("cannot {doing}: {why}"))
}

/// Waits for a future until the run is cancelled or `limit` is over, which is `None`.
async fn bounded<F: Future>(cancel: &Cancel, limit: Duration, future: F) -> Result<Option<F::Output>> {
    cancel.check()?;
    tokio::select! {
        output = future => Ok(Some(output)),
        _ = cancel.cancelled() => cancel.check().map(|()| None),
        () = tokio::time::sleep(limit) => Ok(None),
    }
}

fn config(endpoint: &Endpoint, mark: &str) -> Config {
    let mut config = Config::new();
    config.user(&endpoint.user).dbname(&endpoint.database).application_name(mark).port(endpoint.port);
    if endpoint.is_socket() {
        config.host_path(&endpoint.host);
    } else {
        config.host(&endpoint.host);
    }
    if let Some(password) = &endpoint.password {
        config.password(password);
    }
    if let Some(options) = &endpoint.options {
        config.options(options);
    }
    config.ssl_mode(match endpoint.tls {
        TlsMode::Disable => SslMode::Disable,
        TlsMode::Prefer => SslMode::Prefer,
        TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
    });
    config
}

fn tls_client(endpoint: &Endpoint) -> Result<std::sync::Arc<rustls::ClientConfig>> {
    let verify = match endpoint.tls {
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => Verify::Nothing,
        TlsMode::VerifyCa => Verify::Signer,
        TlsMode::VerifyFull => Verify::Host,
    };
    tls::client(verify, endpoint.roots.as_deref().filter(|path| *path != Path::new(SYSTEM_ROOTS)))
}

/// Says what a server or the way to it answered, without the wrapping of the library.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(answer) = error.as_db_error() {
        let detail = answer.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        return format!("{}{detail}", answer.message());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let part = inner.to_string();
        if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
        cause = inner.source();
    }
    text
}

fn io_kind(error: &tokio_postgres::Error) -> Option<ErrorKind> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<std::io::Error>() {
            return Some(error.kind());
        }
        cause = inner.source();
    }
    None
}

fn silent(endpoint: &Endpoint, limit: Duration) -> Error {
    let text = format!("no answer from {} within {limit:?}", endpoint.server());
    Error::new(ErrorCode::CaptureFailed, text).hint(
        "see that `url` names the right host and that no firewall drops what is sent there; or raise connect_timeout",
    )
}

/// Puts in words why a server cannot be talked to.
fn refusal(endpoint: &Endpoint, error: &tokio_postgres::Error) -> Refusal {
    let (server, database, user) = (endpoint.server(), &endpoint.database, &endpoint.user);
    let said = describe(error);
    let with = |why, text: String, hint: &str| Refusal {
        why,
        error: Error::new(ErrorCode::CaptureFailed, text).hint(hint.to_owned()),
    };
    let code = error.code();
    let is = |codes: &[SqlState]| code.is_some_and(|code| codes.contains(code));
    if is(&[SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION]) {
        let hint = "check user and password in `url` (or PGPASSWORD, or ~/.pgpass), and the server's pg_hba.conf";
        return with(Why::Other, format!("{server} does not let the user {user} in: {said}"), hint);
    }
    if is(&[SqlState::INVALID_CATALOG_NAME]) {
        let text = format!("there is no database {database} at {server}: {said}");
        return with(Why::NoDatabase, text, "check the name of the database in `url`");
    }
    if is(&[SqlState::CANNOT_CONNECT_NOW]) {
        return with(Why::NotNow, format!("{server} lets nobody in now: {said}"), "see the server's log; try again");
    }
    if code.is_some() {
        return with(Why::Other, format!("{server} refuses the connection: {said}"), "see the server's log");
    }
    if error.to_string().contains("TLS") {
        let hint = "check `sslmode` and `sslrootcert` in `url`, and the server's `ssl` setting and certificate";
        return with(Why::Other, format!("no TLS with {server}: {said}"), hint);
    }
    if said.contains("password missing") {
        let hint = "give the password in `url`, in PGPASSWORD, or in ~/.pgpass (mode 0600)";
        return with(Why::Other, format!("{server} wants a password of the user {user}, and there is none"), hint);
    }
    match io_kind(error) {
        Some(ErrorKind::ConnectionRefused) => with(
            Why::NobodyThere,
            format!("no server answers at {server}: {said}"),
            "see that the server runs, and that `url` has its host and port",
        ),
        Some(ErrorKind::NotFound) if endpoint.is_socket() => with(
            Why::NobodyThere,
            format!("no server answers at {server}: {said}"),
            "see that the server runs, and that `url` names the directory of its socket",
        ),
        _ => {
            with(Why::Other, format!("cannot talk to {server}: {said}"), "see that `url` names the right host and port")
        }
    }
}

/// Writes a text as a literal of SQL.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!(" E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// Writes a name as an identifier of SQL.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
