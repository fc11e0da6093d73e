//! What is asked before a capture.

use super::catalog::{self, Catalog, Database, Name};
use super::product::{Product, Vendor};
use super::server::{Failure, NO_SUCH_VARIABLE, Server};
use super::{INCOMPLETE, MysqlSource, dump, grants};
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::source::Context;

/// How many tables a message names.
const NAMED: usize = 5;

/// What a server says of itself.
pub(super) struct About {
    pub version: String,
    pub product: Product,
    /// Whether it writes a binary log.
    pub has_log: bool,
    host: String,
}

impl About {
    /// Asks the server.
    ///
    /// # Errors
    /// [`Failure`]: it is not reached, or lets nobody in.
    pub(super) fn ask(server: &Server, context: &Context) -> Result<Self, Failure> {
        let row = server.attempt("SELECT VERSION(), @@hostname, @@log_bin", &context.cancel)?.into_iter().next();
        let about = row.and_then(|row| <[String; 3]>::try_from(row).ok()).and_then(|[version, host, log]| {
            Some(Self { product: Product::of_server(&version)?, version, has_log: log == "1", host })
        });
        server.check_tls(&context.cancel).map_err(|error| Failure { number: 0, error })?;
        about.ok_or_else(|| {
            let message = format!("{} does not say what it is", server.shown());
            Failure { number: 0, error: Error::new(ErrorCode::ProcessFailed, message) }
        })
    }

    /// Returns what tells this server from others, and whether a freshly made one would say something else.
    ///
    /// # Errors
    /// As [`Server::ask`]: a server that does not answer is not one without a number of its own.
    pub(super) fn identity(&self, server: &Server, context: &Context) -> Result<(String, bool)> {
        let (sql, place, kind) = match self.product.vendor {
            Vendor::MySql => ("SELECT @@server_uuid", 0, "mysql"),
            // A server of its own has no such number; a Galera cluster has.
            Vendor::MariaDb => ("SHOW STATUS LIKE 'wsrep_cluster_state_uuid'", 1, "galera"),
        };
        let rows = match server.attempt(sql, &context.cancel) {
            Ok(rows) => rows,
            // MySQL before 5.6.
            Err(failure) if failure.number == NO_SUCH_VARIABLE => Vec::new(),
            Err(failure) => return Err(failure.error),
        };
        let id = rows.into_iter().next().and_then(|row| row.into_iter().nth(place)).filter(|id| !id.is_empty());
        let database = server.address.database.as_deref().map(|name| format!("/{name}")).unwrap_or_default();
        Ok(match (id, self.product.vendor) {
            (Some(id), _) => (format!("{kind} {id}{database}"), true),
            (None, Vendor::MySql) => (format!("mysql on {}{database}", self.host), false),
            (None, Vendor::MariaDb) => (format!("mariadb on {}{database}", self.host), false),
        })
    }
}

/// Looks for everything that a capture will need.
pub(super) fn preflight(source: &MysqlSource, context: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    match look(source, context, &mut findings) {
        Ok(()) => {}
        Err(error) => findings.push(Finding::from_error(&error, FindingCode::PreflightFailed)),
    }
    findings
}

fn look(source: &MysqlSource, context: &Context, findings: &mut Vec<Finding>) -> Result<()> {
    let server = source.server(None, context)?;
    source.learned().tool_version = Some(server.tool.clone());
    let about = match About::ask(&server, context) {
        Ok(about) => about,
        Err(failure) if failure.error.is_cancelled() => return Err(failure.error),
        Err(failure) => {
            findings.push(unreachable(&server, &failure));
            return Ok(());
        }
    };
    let (identity, is_bound) = about.identity(&server, context)?;
    {
        let mut learned = source.learned();
        (learned.identity, learned.is_bound) = (Some(identity), is_bound);
        learned.server_version = Some(about.version.clone());
    }
    match server.product {
        Some(product) => findings.extend(product.judge_dump_of(about.product)),
        None => findings.push(Finding::refusal(
            FindingCode::VersionMismatch,
            format!("the dump program does not say its version: {:?}", server.tool),
        )),
    }
    let databases = catalog::databases(&server, &context.cancel)?;
    if databases.is_empty() {
        findings.push(no_database(&server));
        return Ok(());
    }
    findings.extend(grants::missing(&server, about.product.vendor, &databases, about.has_log, &context.cancel)?);
    let catalog = Catalog::read(&server, &databases, &context.cancel)?;
    source.learned().bytes = Some(catalog.bytes);
    findings.extend(judge(&catalog, &databases));
    if let Err(error) = dump::schema_version(source, &server, context) {
        findings.push(Finding::from_error(&error, FindingCode::PreflightFailed));
    }
    Ok(())
}

/// Judges what the server lists.
fn judge(catalog: &Catalog, databases: &[Database]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (database, _) in catalog.tables.iter().filter(|(_, table)| table == INCOMPLETE) {
        let message = format!("a restore into {database} did not come to its end: what is there is not whole");
        findings
            .push(Finding::refusal(FindingCode::PreflightFailed, message).hint("run the restore again with --force"));
    }
    if !catalog.broken_views.is_empty() {
        let named = list(&catalog.broken_views, databases);
        let message = format!("no program can dump views that refer to what is not there: {named}");
        findings.push(Finding::refusal(FindingCode::PreflightFailed, message).hint("repair or drop them"));
    }
    if !catalog.not_transactional.is_empty() {
        let names: Vec<_> = catalog.not_transactional.iter().map(|(name, _)| name.clone()).collect();
        let mut engines: Vec<_> = catalog.not_transactional.iter().map(|(_, engine)| engine.as_str()).collect();
        engines.sort_unstable();
        engines.dedup();
        let message = format!(
            "no transaction covers tables of {}, which may change while they are captured: {}",
            engines.join(", "),
            list(&names, databases)
        );
        findings.push(
            Finding::warning(FindingCode::NotTransactional, message)
                .hint("stop what writes to them during the gate, or convert them: ALTER TABLE … ENGINE=InnoDB"),
        );
    }
    findings
}

/// Names tables as a manifest does: with their database only where there are several.
fn list(names: &[Name], databases: &[Database]) -> String {
    let shown =
        |(database, table): &Name| if databases.len() == 1 { table.clone() } else { format!("{database}.{table}") };
    let named = names.iter().take(NAMED).map(shown).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn no_database(server: &Server) -> Finding {
    let message = match &server.address.database {
        Some(name) => format!("there is no database `{name}` on the server, or its user may not know of it"),
        None => "there is no database on the server but its own, or its user may not know of any".to_owned(),
    };
    Finding::refusal(FindingCode::PreflightFailed, message)
        .hint("see that `url` names the right server and database: a freshly made server has none")
}

/// Says why a server is not reached (MySQL's manual, "Client Error Message Reference").
fn unreachable(server: &Server, failure: &Failure) -> Finding {
    let hint = match failure.number {
        1045 | 1698 => "check user and password in `url`; without a password there, MYSQL_PWD is taken",
        1040 | 1203 | 1226 => "the server or its user has no connection left",
        1129 | 1130 => "the server does not accept connections from this machine",
        2026 => "check `ssl-mode` and `ssl-ca` in `url`",
        _ => "see that the server runs and can be reached from here, and that `url` names it",
    };
    let message = format!("{} lets nobody in: {}", server.shown(), failure.error.chain());
    Finding::refusal(FindingCode::ServerUnreachable, message).hint(hint)
}
