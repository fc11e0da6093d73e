//! The dump program at work: its arguments, its stream, and what is compared before and after.

use super::MysqlSource;
use super::catalog::{self, Catalog, Database};
use super::contents::DATABASE_LINE;
use super::preflight::About;
use super::product::Vendor;
use super::server::{Server, name};
use super::sessions::{Began, Work};
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Content;
use crate::process::Stream;
use crate::source::migrations::SchemaVersion;
use crate::source::{Context, StreamCapture};
use serde_json::json;
use std::fmt::Write;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What every dump program is told.
///
/// One transaction for all tables, row by row; everything that belongs to a database; bytes as hexadecimal digits; and
/// nothing that is another at every run, so that what did not change is stored once.
const ARGUMENTS: [&str; 9] = [
    "--single-transaction",
    "--skip-lock-tables",
    "--quick",
    "--routines",
    "--triggers",
    "--events",
    "--hex-blob",
    "--no-tablespaces",
    "--skip-dump-date",
];
/// What MySQL's program is told besides: else it would lock the whole server for a moment, or ask an older one for what it
/// does not have.
const OF_MYSQL: [&str; 2] = ["--loose-set-gtid-purged=OFF", "--loose-column-statistics=0"];
/// What MariaDB's program is told besides: it names the position of the binary log that belongs to its transaction, as a
/// comment, and locks nothing for it.
const OF_MARIADB: [&str; 2] = ["--master-data=2", "--gtid"];

/// How long an answer may take in the middle of a capture: a schema of many tables takes longer than to connect, and the
/// deadline of the run rules anyway.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// A dump on its way.
pub(super) struct Dump {
    /// Our own lines, then what the program prints.
    head: Cursor<Vec<u8>>,
    stream: Stream,
    file_name: PathBuf,
    before: Before,
    context: Context,
    source: MysqlSource,
}

/// What must be the same after the dump.
struct Before {
    server: Arc<Server>,
    databases: Vec<Database>,
    definitions: String,
    schema_version: Option<String>,
    /// MySQL's position of the binary log, and its executed transactions.
    position: Option<Vec<String>>,
    about: About,
}

/// Starts to dump.
///
/// # Errors
/// The server or a program of it fails, or it is another than the preflight saw; there is nothing to dump.
pub(super) fn start(source: &MysqlSource, context: &Context) -> Result<Dump> {
    let server = Arc::new(source.server(None, context)?.patient(PATIENCE));
    source.learned().began = Some(Began::new(&server, Work::Dump, &context.cancel)?);
    let about = About::ask(&server, context).map_err(|failure| failure.error)?;
    let (identity, _) = about.identity(&server, context)?;
    same_server(&server, source.learned().identity.as_deref(), &identity)?;
    let databases = catalog::databases(&server, &context.cancel)?;
    if databases.is_empty() {
        return Err(Error::new(ErrorCode::CaptureFailed, "there is no database to capture"));
    }
    let before = Before {
        definitions: catalog::definitions(&server, &databases, &context.cancel)?,
        schema_version: schema_version(source, &server, context)?,
        position: position(&server, &about, context),
        server,
        databases,
        about,
    };
    let listed = Catalog::read(&before.server, &before.databases, &context.cancel)?;
    source.learned().listed = Some(listed);
    let stream = Stream::start(&before.program(), &context.cancel)?;
    Ok(Dump {
        head: Cursor::new(head(&before.databases).into_bytes()),
        stream,
        file_name: source.file_name.clone(),
        before,
        context: context.clone(),
        source: source.clone(),
    })
}

/// Compares the identity that the preflight saw, if it ran, with that of now.
fn same_server(server: &Server, before: Option<&str>, now: &str) -> Result<()> {
    match before {
        Some(before) if before != now => Err(Error::new(
            ErrorCode::CaptureFailed,
            format!("{} is not the server that it was a moment ago: it was {before}, and is {now}", server.shown()),
        )
        .hint("see what answers there, and that it is only one")),
        _ => Ok(()),
    }
}

/// Returns our own lines: what a restore needs and the dump of a single database does not say.
fn head(databases: &[Database]) -> String {
    let mut text = String::new();
    for database in databases {
        // Writing to a string does not fail; a newline in a name would end the comment.
        let name = name(&database.name).replace('\n', " ");
        let _ = writeln!(text, "{DATABASE_LINE}{name} {} {}", database.character_set, database.collation);
    }
    text
}

/// Asks the query of the configuration for the version of the schema.
///
/// # Errors
/// The query fails or gives nothing.
pub(super) fn schema_version(source: &MysqlSource, server: &Server, context: &Context) -> Result<Option<String>> {
    let config = &source.config.server;
    let Some(query) = &config.schema_version_query else { return Ok(None) };
    let failed = |what: &str| Error::new(ErrorCode::CaptureFailed, format!("schema_version_query {what}"));
    let database = server.address.database.as_deref();
    let rows = server
        .ask_in(database, query, config.connect_timeout, &context.cancel)
        .map_err(|failure: Error| failed("fails").caused_by(failure.chain()))?;
    let value = rows.into_iter().next().and_then(|row| row.into_iter().next()).filter(|value| value != "NULL");
    value.map(Some).ok_or_else(|| failed("gives no value"))
}

/// Asks MySQL for its position in the binary log: file, position and executed transactions. Its dump program could tell
/// them exactly, but only by locking the whole server, behind whatever query is running.
fn position(server: &Server, about: &About, context: &Context) -> Option<Vec<String>> {
    if about.product.vendor == Vendor::MariaDb || !about.has_log {
        return None;
    }
    let ask = |sql| server.ask(sql, &context.cancel).ok().and_then(|rows| rows.into_iter().next());
    ask("SHOW BINARY LOG STATUS").or_else(|| ask("SHOW MASTER STATUS"))
}

impl Before {
    fn program(&self) -> crate::process::Program {
        let mut arguments = ARGUMENTS.to_vec();
        match self.server.product.map(|product| product.vendor) {
            Some(Vendor::MySql) | None => arguments.extend(OF_MYSQL),
            Some(Vendor::MariaDb) if self.about.product.vendor == Vendor::MariaDb && self.about.has_log => {
                arguments.extend(OF_MARIADB);
            }
            Some(Vendor::MariaDb) => {}
        }
        if self.server.address.database.is_none() {
            arguments.push("--databases");
        }
        arguments.push("--");
        arguments.extend(self.databases.iter().map(|database| database.name.as_str()));
        self.server.dump(arguments)
    }
}

impl Read for Dump {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.head.read(buffer)? {
            0 => self.stream.read(buffer),
            count => Ok(count),
        }
    }
}

impl StreamCapture for Dump {
    fn file_name(&self) -> &Path {
        &self.file_name
    }

    fn finish(self: Box<Self>) -> Result<Content> {
        let Self { stream, before, context, source, .. } = *self;
        stream.finish()?;
        let changed = |what: &str| {
            Error::new(ErrorCode::CaptureFailed, format!("{what} while it was dumped: a migration is running"))
                .hint("let the migration end, then run the gate again")
        };
        if catalog::definitions(&before.server, &before.databases, &context.cancel)? != before.definitions {
            return Err(changed("the schema changed"));
        }
        let version = schema_version(&source, &before.server, &context)?;
        if version != before.schema_version {
            return Err(changed("the version of the schema changed"));
        }
        let mut content = Content::new();
        if let Some(version) = version {
            SchemaVersion::of_query(version).add_to(&mut content);
        }
        content.insert("server".to_owned(), before.about.version.clone().into());
        let after = position(&before.server, &before.about, &context);
        if let Some([file, at, ..]) = before.position.as_deref() {
            let is_exact = before.position == after;
            content.insert(
                "binlog".to_owned(),
                json!({ "file": file, "position": at.parse::<u64>().ok(), "exact": is_exact }),
            );
            if let Some(gtid) = before.position.as_ref().and_then(|row| row.get(4)).filter(|gtid| !gtid.is_empty()) {
                content.insert("gtid".to_owned(), gtid.clone().into());
            }
        }
        Ok(content)
    }
}
