//! What a server says of itself and of a database.

use super::connect::{Connection, identifier};
use super::programs::Major;
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;

/// What is asked of every server; one value in each column.
const QUERY: &str = "SELECT current_setting('server_version_num'), current_setting('server_version'), \
    current_database(), pg_catalog.pg_is_in_recovery(), \
    (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user), \
    current_user";

/// Facts of a server, as one session sees them.
#[derive(Debug, Clone)]
pub(super) struct ServerFacts {
    /// `server_version_num`, such as 150018.
    pub number: u32,
    /// `server_version`, such as `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// What tells the cluster from every other, given at its `initdb`; `None` if the user may not ask.
    pub system_identifier: Option<String>,
    /// The database that was asked.
    pub database: String,
    /// The size of the database in bytes; `None` if the user may not ask.
    pub database_bytes: Option<u64>,
    /// Whether it is a standby.
    pub is_in_recovery: bool,
    /// Whether the user is a superuser.
    pub is_superuser: bool,
    /// The user as the server knows it.
    pub user: String,
}

impl ServerFacts {
    /// Asks the server.
    ///
    /// # Errors
    /// `capture-failed`: it does not answer; the reason of a cancellation.
    pub(super) fn ask(connection: &Connection) -> Result<Self> {
        let doing = "ask the server what it is";
        let mut row = connection.rows(doing, QUERY)?.into_iter().next().unwrap_or_default().into_iter();
        let mut next = || {
            let missing =
                || Error::new(ErrorCode::CaptureFailed, format!("cannot {doing}: the answer has too few values"));
            row.next().flatten().ok_or_else(missing)
        };
        let number = next()?;
        let number = number.parse().map_err(|_| {
            Error::new(ErrorCode::CaptureFailed, format!("cannot {doing}: its version number is {number}"))
        })?;
        let (version, database) = (next()?, next()?);
        let (is_in_recovery, is_superuser) = (next()? == "t", next()? == "t");
        let user = next()?;
        // The right to it may be taken away: then the server stays without. Anything else that goes wrong must not pass
        // for that, or another server would not be noticed.
        let query = "SELECT system_identifier FROM pg_catalog.pg_control_system()";
        let system_identifier = connection.value_if_allowed(doing, query)?;
        // Only an estimate.
        let size = "SELECT pg_catalog.pg_database_size(current_database())";
        let database_bytes = connection.value(doing, size).ok().flatten().and_then(|size| size.parse().ok());
        Ok(Self { number, version, system_identifier, database, database_bytes, is_in_recovery, is_superuser, user })
    }

    /// Returns facts for tests: of a primary of version 15 with this identifier.
    #[cfg(test)]
    pub(super) fn sample(system_identifier: Option<&str>) -> Self {
        Self {
            number: 150_018,
            version: "15.18".to_owned(),
            system_identifier: system_identifier.map(str::to_owned),
            database: "shop".to_owned(),
            database_bytes: None,
            is_in_recovery: false,
            is_superuser: false,
            user: "clerk".to_owned(),
        }
    }

    /// Returns the major version.
    pub(super) fn major(&self) -> Major {
        Major::of_number(self.number)
    }

    /// Says that the server does not tell what it is, if it does not, with the statement that lets it: files and points in
    /// the log are worth nothing unless it is known whose they are.
    pub(super) fn identity_hidden(&self) -> Option<Finding> {
        if self.system_identifier.is_some() {
            return None;
        }
        let function = "pg_control_system()";
        let message = format!("the user {} may not call {function}, so nobody knows which server this is", self.user);
        Some(Finding::refusal(FindingCode::PrivilegeMissing, message).hint(grant_execute(function, &self.user)))
    }

    /// Returns what can be told of a whole cluster, in the words of the manifest.
    pub(super) fn cluster_content(&self) -> Content {
        let mut content = Content::from([("server_major_version".to_owned(), self.major().to_string().into())]);
        content.extend(self.system_identifier.clone().map(|id| ("system_identifier".to_owned(), id.into())));
        content
    }

    /// Returns what tells this database from every other: the identity of a source.
    pub(super) fn identity(&self) -> Option<String> {
        Some(format!("postgres {}/{}", self.system_identifier.as_deref()?, self.database))
    }
}

/// Returns the hint that lets a user call a function of the server.
pub(super) fn grant_execute(function: &str, user: &str) -> String {
    format!("let a superuser say: GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO {}", identifier(user))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_hides_its_identity_is_refused_with_the_grant() {
        assert_eq!(ServerFacts::sample(Some("7")).identity_hidden(), None);
        let finding = ServerFacts::sample(None).identity_hidden().unwrap();
        assert_eq!(finding.code, FindingCode::PrivilegeMissing);
        let grant = "GRANT EXECUTE ON FUNCTION pg_catalog.pg_control_system() TO \"clerk\"";
        assert!(finding.hint.unwrap().contains(grant));
    }
}
