//! Places for drills: a throw-away server, or a scratch database of a server that is named.

mod cluster;
mod dump;
mod own;
mod scratch;

pub(super) use cluster::isolate as isolate_cluster;
pub(super) use dump::isolate as isolate_dump;

use super::connect::Connection;
use super::endpoint::Endpoint;
use crate::error::{Error, ErrorCode, Result};
use crate::source::Context;
use crate::source::write::failed;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What names in a URL need not be escaped for, beside letters and digits.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.').remove(b'~');

/// What a restore does with the owners of what it makes, and with privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// They must be there.
    Kept,
    /// They are made: the server is one of our own.
    Made,
    /// They are left out: roles belong to the whole server, which is somebody else's.
    LeftOut,
}

/// Opens a session in a place of a drill, whose questions may take as long as the run.
fn connect(endpoint: &Endpoint, context: &Context) -> Result<Connection> {
    let opened = Connection::open(endpoint, context).map_err(|refusal| refusal.error);
    opened.map(Connection::without_limit).map_err(unusable)
}

/// Asks a question; the rows of the last statement that has any are the answer, as psql prints them without alignment.
fn ask(endpoint: &Endpoint, context: &Context, question: &str) -> Result<String> {
    let rows = connect(endpoint, context)?.rows("answer the question", question).map_err(unusable)?;
    let line = |row: Vec<Option<String>>| row.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>().join("|");
    Ok(rows.into_iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// Says that what was restored cannot be used.
fn unusable(error: Error) -> Error {
    match error.is_cancelled() || error.code() == ErrorCode::RestoreFailed {
        true => error,
        false => error.under(ErrorCode::RestoreFailed, "what was restored cannot be used"),
    }
}

/// Returns the variables that lead client programs to a database.
fn variables(url: &str, endpoint: &Endpoint) -> Vec<(String, String)> {
    let mut variables = vec![
        ("HOLDPOINT_DRILL_URL", url.to_owned()),
        ("PGHOST", endpoint.host.clone()),
        ("PGPORT", endpoint.port.to_string()),
        ("PGUSER", endpoint.user.clone()),
        ("PGDATABASE", endpoint.database.clone()),
        ("PGSSLMODE", endpoint.tls.as_str().to_owned()),
    ];
    variables.extend(endpoint.password.clone().map(|password| ("PGPASSWORD", password)));
    variables.extend(endpoint.roots.as_ref().map(|roots| ("PGSSLROOTCERT", roots.display().to_string())));
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns the URL of a database of another URL's server.
fn url_of(server: &str, database: &str) -> Result<String> {
    let mut url =
        url::Url::parse(server.trim()).map_err(|_| failed("the URL of the server cannot be read".to_owned()))?;
    url.set_path(&utf8_percent_encode(database, ESCAPED).to_string());
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| name != "dbname")
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    url.set_query(None);
    if !others.is_empty() {
        url.query_pairs_mut().extend_pairs(others);
    }
    Ok(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_leads_to_another_database_of_its_server() {
        for (url, expected) in [
            ("postgres://u:p%40@db:5433/shop?sslmode=require", "postgres://u:p%40@db:5433/a%20b?sslmode=require"),
            ("postgres://u@db?dbname=shop", "postgres://u@db/a%20b"),
            ("postgres://u@%2Frun%2Fdb/", "postgres://u@%2Frun%2Fdb/a%20b"),
        ] {
            assert_eq!(url_of(url, "a b").unwrap(), expected);
        }
    }
}
