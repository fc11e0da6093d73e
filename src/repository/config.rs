//! The repository's own configuration, fixed when it is created.

use super::chunker::Polynomial;
use super::id::Id;
use crate::error::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

/// The only version that we write and read: 2, with compression.
pub const VERSION: u32 = 2;

/// The file `config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryConfig {
    /// The version of the format.
    pub version: u32,
    /// The id of the repository: random.
    pub id: Id,
    /// The polynomial of its chunker.
    pub chunker_polynomial: Polynomial,
}

impl RepositoryConfig {
    /// Creates the configuration of a new repository.
    ///
    /// # Errors
    /// `internal`, if the system's source of randomness does not answer.
    pub fn create() -> Result<Self> {
        let failed = |error: getrandom::Error| {
            Error::new(ErrorCode::Internal, "cannot create a repository without random numbers").caused_by(error)
        };
        let chunker_polynomial = Polynomial::random()?;
        Ok(Self { version: VERSION, id: Id::random().map_err(failed)?, chunker_polynomial })
    }

    /// Reads a configuration and checks that we understand the repository.
    ///
    /// # Errors
    /// `damaged` if it is no configuration, `foreign-repository` for another version of the format.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let config: Self = serde_json::from_slice(json).map_err(|error| {
            Error::new(ErrorCode::Damaged, "the repository's config is not what it should be").caused_by(error)
        })?;
        if config.version != VERSION {
            let message = format!("the repository has format version {}; this program knows {VERSION}", config.version);
            let error = Error::new(ErrorCode::ForeignRepository, message);
            return Err(match config.version {
                1 => error.hint("upgrade it with `restic migrate upgrade_repo_v2`"),
                _ => error.hint("use a newer holdpoint"),
            });
        }
        Ok(config)
    }
}
