//! Writing what another storage holds, and proving it by reading it back.

use super::{Class, PutMode, PutOutcome, ReadFrom, Storage};
use crate::error::{Error, ErrorCode, Result};
use bytes::Bytes;
use sha2::{Digest, Sha256};

/// Writes an object whose SHA-256 is `digest`, and reads it back from the medium; memory holds one of the two at a time.
///
/// An object that is there already under [`PutMode::CreateOnly`] is compared and stays. One that was written and comes
/// back as something else is removed again: what could not be verified must not be visible.
///
/// # Errors
/// `copy-conflict` if another object is there, `damaged` if what comes back is not what was written; the storage's own.
pub fn put_verified(
    to: &dyn Storage,
    key: &str,
    data: Bytes,
    digest: &[u8; 32],
    mode: PutMode,
    class: Class,
) -> Result<()> {
    let outcome = to.put(key, &data, mode, class)?;
    drop(data);
    let stored = to.get(key, ReadFrom::Medium)?;
    if stored.is_some_and(|stored| <[u8; 32]>::from(Sha256::digest(&stored)) == *digest) {
        return Ok(());
    }
    if outcome == PutOutcome::Exists {
        return Err(conflict(to, key, "holds something else"));
    }
    to.delete(key)?;
    let message = format!("{}/{key} does not come back as it was written", to.location());
    Err(Error::new(ErrorCode::Damaged, message).hint("see whether the store keeps what it takes: `holdpoint doctor`"))
}

/// Returns the error for an object that is in the way of another of the same name.
pub fn conflict(to: &dyn Storage, key: &str, what: &str) -> Error {
    Error::new(ErrorCode::CopyConflict, format!("{}/{key} {what}", to.location()))
        .hint("nothing in a copy is overwritten: find out who wrote it, and move it away before the next copy")
}
