//! Making a snapshot visible: the last step, and only for what was verified.

use super::Repository;
use super::files::FileType;
use super::id::Id;
use super::snapshot::Snapshot;
use super::verify::Verified;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::ReadFrom;

impl Repository {
    /// Writes the snapshot file of a verified tree, reads it back and compares; returns the snapshot's id. The tree
    /// that `snapshot` names is replaced by the verified one. Where only the answer of the store was lost, the snapshot
    /// that reads back as what was written is published.
    ///
    /// # Errors
    /// `damaged` if another file comes back than was written; `store-full` or `store-unavailable`. What may be there
    /// then is removed; the error says so if it cannot be.
    pub fn publish(&self, verified: &Verified, mut snapshot: Snapshot) -> Result<Id> {
        snapshot.tree = verified.tree();
        let (id, sealed) = self.seal_file(FileType::Snapshot, &snapshot)?;
        let written = self.put_file(FileType::Snapshot, &id, sealed);
        let compared = match self.load_json::<Snapshot>(FileType::Snapshot, &id, ReadFrom::Medium) {
            Ok(Some(stored)) if stored == snapshot => return Ok(id),
            Ok(_) => Error::new(ErrorCode::Damaged, format!("the snapshot {} reads back as another one", id.short())),
            Err(error) => error,
        };
        let cause = written.err().unwrap_or(compared);
        // What could not be verified must not be visible.
        Err(match self.storage().delete(&FileType::Snapshot.key(&id)) {
            Ok(()) => cause,
            Err(_) => cause.hint(format!(
                "the snapshot {} may be in the store, although nothing names it: look for it with restic, and forget it",
                id.short()
            )),
        })
    }
}
