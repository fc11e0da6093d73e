//! Looking for what a dump will need, as far as that can be seen without speaking MongoDB's protocol.

use super::MongodbSource;
use super::uri::Uri;
use crate::error::{Error, ErrorCode};
use crate::model::finding::{Finding, FindingCode};
use crate::source::Context;
use crate::source::clients::version_number;
use std::time::Duration;

/// The first version of the tools that take secrets from a file.
const SINCE: (u32, u32) = (100, 3);

/// Returns what is wrong, and what `mongodump` says of its version.
pub(super) fn preflight(source: &MongodbSource, context: &Context) -> (Vec<Finding>, Option<String>) {
    let mut findings = Vec::new();
    match source.uri() {
        Ok(uri) => {
            if let (true, Some(database)) = (source.config.oplog, &uri.database) {
                let message = format!("`oplog` is of the whole server, and `url` names the database {database}");
                findings.push(
                    Finding::refusal(FindingCode::PreflightFailed, message)
                        .hint("leave the database out of `url` (with authSource in its query), or leave out `oplog`"),
                );
            }
            findings.extend(unreachable(&uri, source.config.server.connect_timeout, context));
        }
        Err(error) => findings.push(Finding::from_error(&error, FindingCode::PreflightFailed)),
    }
    let version = match source.clients.version("mongodump", &context.cancel) {
        Ok(version) => {
            findings.extend(too_old(&version));
            Some(version)
        }
        Err(error) => {
            findings.push(missing(&error, Finding::refusal));
            None
        }
    };
    if let Err(error) = source.clients.version("mongorestore", &context.cancel) {
        // Another machine may have it.
        findings.push(missing(&error, Finding::warning));
    }
    (findings, version)
}

/// Judges the version of `mongodump`: before 100.3 it has no `--config`, and would need the password as an argument.
fn too_old(version: &str) -> Option<Finding> {
    let finding = match version_number(version) {
        Some(number) if number >= SINCE => return None,
        Some(_) => Finding::refusal(FindingCode::VersionMismatch, format!("{version}: too old, it has no --config")),
        // Some distributions build it without one.
        None => {
            Finding::warning(FindingCode::VersionMismatch, format!("mongodump does not tell its version ({version})"))
        }
    };
    Some(finding.hint("install MongoDB's database tools 100.3 or later"))
}

fn missing(error: &Error, weigh: fn(FindingCode, String) -> Finding) -> Finding {
    if error.is_cancelled() {
        return Finding::from_error(error, FindingCode::PreflightFailed);
    }
    weigh(FindingCode::PreflightFailed, error.chain())
        .hint("install MongoDB's database tools, or name their directory with `programs`")
}

/// Connects to each host, and says which do not answer: a refusal if none does.
fn unreachable(uri: &Uri, timeout: Duration, context: &Context) -> Vec<Finding> {
    let hosts = uri.hosts();
    let silent: Vec<_> = hosts
        .iter()
        .filter_map(|(host, port)| {
            connect(host, *port, timeout, context).err().map(|why| (format!("{host}:{port}"), why))
        })
        .collect();
    let is_dead = silent.len() == hosts.len();
    let weigh = if is_dead { Finding::refusal } else { Finding::warning };
    let finding = |(host, error): (String, Error)| {
        if error.is_cancelled() {
            return Finding::from_error(&error, FindingCode::ServerUnreachable);
        }
        weigh(FindingCode::ServerUnreachable, format!("cannot reach {host}: {}", error.chain()))
            .hint("see that the server runs, and that `url` names its host and port")
    };
    silent.into_iter().map(finding).collect()
}

fn connect(host: &str, port: u16, timeout: Duration, context: &Context) -> Result<(), Error> {
    let failed = |why: String| Error::new(ErrorCode::CaptureFailed, why);
    context.runtime.block_on(async {
        tokio::select! {
            connected = tokio::net::TcpStream::connect((host, port)) => {
                connected.map(drop).map_err(|error| failed(error.to_string()))
            }
            () = tokio::time::sleep(timeout) => Err(failed(format!("no answer within {timeout:?}"))),
            _ = context.cancel.cancelled() => context.cancel.check(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Level;

    #[test]
    fn programs_that_would_need_the_password_as_an_argument_are_refused() {
        let level = |version| too_old(version).map(|finding| finding.level);
        assert_eq!(level("mongodump version: 100.9.4"), None);
        assert_eq!(level("mongodump version: 100.2.1"), Some(Level::Refusal));
        assert_eq!(level("mongodump version: 4.0.28"), Some(Level::Refusal));
        assert_eq!(level("mongodump version: built-without-version-string"), Some(Level::Warning));
    }
}
