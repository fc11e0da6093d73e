//! Opening the repository that a command works on: the environment's, or a bare one.

use super::session::Session;
use crate::error::{Error, ErrorCode, Result};
use crate::gate::place::embedded_key;
use crate::repository::Repository;
use crate::storage::LocalStorage;
use std::sync::Arc;

/// A repository outside of a store.
#[derive(Debug, Clone, clap::Args)]
pub struct Bare {
    /// Work on the restic repository at LOCATION, not on a store
    #[arg(long, value_name = "LOCATION")]
    pub repository: Option<String>,
}

impl Bare {
    /// Opens the repository.
    ///
    /// # Errors
    /// As [`crate::gate::place::Place::open`] and [`Repository::open`]; `usage` without a password.
    pub fn open(&self, session: &Session) -> Result<Repository> {
        let Some(location) = &self.repository else { return session.place()?.open() };
        if let Some((scheme, _)) = location.split_once("://") {
            // The rest of it may hold a password.
            let message = format!("repositories of the kind `{scheme}://` are not supported by this version");
            return Err(Error::new(ErrorCode::Usage, message).hint("name a directory"));
        }
        let storage = Arc::new(LocalStorage::new(location)?);
        let path = std::path::absolute(location)
            .map_err(|error| Error::new(ErrorCode::Usage, format!("cannot resolve {location}")).caused_by(error))?;
        let key = embedded_key(&path).and_then(|key| std::fs::read_to_string(key).ok());
        match (key, session.password()?) {
            (Some(key), _) => Repository::open(storage, key.trim_end()),
            (None, Some(password)) => Repository::open(storage, &password.0),
            (None, None) => Err(Error::new(ErrorCode::Usage, format!("no password for the repository {location}"))
                .hint("set HOLDPOINT_PASSWORD, HOLDPOINT_PASSWORD_FILE or HOLDPOINT_PASSWORD_COMMAND")),
        }
    }
}
