//! Opening the repository that a command works on: the environment's, or a bare one.

use super::session::Session;
use crate::error::{Error, ErrorCode, Result};
use crate::gate::place::embedded_key;
use crate::gate::stores::{self, Opened};
use crate::repository::Repository;

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
        let Opened { storage, directory, .. } = stores::open(location, &session.config.store.bucket, &session.cancel)?;
        let key = directory.as_deref().and_then(embedded_key).and_then(|key| std::fs::read_to_string(key).ok());
        match (key, session.password()?) {
            (Some(key), _) => Repository::open(storage, key.trim_end()),
            (None, Some(password)) => Repository::open(storage, &password.0),
            (None, None) => Err(Error::new(ErrorCode::Usage, format!("no password for the repository {location}"))
                .hint("set HOLDPOINT_PASSWORD, HOLDPOINT_PASSWORD_FILE or HOLDPOINT_PASSWORD_COMMAND")),
        }
    }
}
