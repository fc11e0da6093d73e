//! Deleting files, as long as the lock stands.

use super::{Left, Why};
use crate::error::{ErrorCode, Result};
use crate::repository::lock::LockGuard;
use crate::repository::{FileType, Id, Repository, Workers};
use std::sync::{Mutex, PoisonError};

/// Deletes files; returns those that the store refuses to delete.
///
/// # Errors
/// `lease-lost`; `store-unavailable`; a cancellation. What was deleted until then is gone.
pub(super) fn remove(
    repository: &Repository,
    kind: FileType,
    files: &[(Id, u64)],
    lock: &LockGuard,
    workers: &Workers<'_>,
) -> Result<Vec<Left>> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    lock.confirm()?;
    let left = Mutex::new(Vec::new());
    let storage = repository.storage();
    let deleters = Workers { threads: storage.parallelism().reads, ..*workers };
    deleters.each(
        files,
        || Ok(()),
        |(), (id, size)| {
            lock.check()?;
            match storage.delete(&kind.key(id)) {
                Ok(()) => workers.progress.add_items(1),
                Err(error) if error.code() == ErrorCode::StoreRefused => {
                    let why = Why::Refused(error.chain());
                    let left = &mut *left.lock().unwrap_or_else(PoisonError::into_inner);
                    left.push(Left { kind, id: *id, size: *size, why });
                }
                Err(error) => return Err(error),
            }
            Ok(())
        },
    )?;
    storage.settle(kind.folder())?;
    Ok(left.into_inner().unwrap_or_else(PoisonError::into_inner))
}
