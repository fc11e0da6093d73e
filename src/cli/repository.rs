//! Opening the repository that a command works on: the environment's, or a bare one.

use super::session::Session;
use crate::error::{Error, ErrorCode, Result};
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
        match session.password()? {
            Some(password) => Repository::open(storage, &password.0),
            None => match embedded_key(location)? {
                Some(key) => Repository::open(storage, &key),
                None => Err(Error::new(ErrorCode::Usage, format!("no password for the repository {location}"))
                    .hint("set HOLDPOINT_PASSWORD, HOLDPOINT_PASSWORD_FILE or HOLDPOINT_PASSWORD_COMMAND")),
            },
        }
    }
}

/// Returns the key of an embedded store, if the repository lies in one: `DIR/.holdpoint/store/…`.
fn embedded_key(location: &str) -> Result<Option<String>> {
    let path = std::path::absolute(location)
        .map_err(|error| Error::new(ErrorCode::Usage, format!("cannot resolve {location}")).caused_by(error))?;
    let store =
        path.ancestors().find(|path| path.ends_with(std::path::Path::new(crate::gate::place::FOLDER).join("store")));
    let key = store.and_then(std::path::Path::parent).map(|folder| folder.join("key"));
    let key = key.and_then(|key| std::fs::read_to_string(key).ok());
    Ok(key.map(|key| key.trim_end().to_owned()))
}
