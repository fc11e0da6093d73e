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
    /// that `snapshot` names is replaced by the verified one.
    ///
    /// # Errors
    /// `damaged` if another file comes back than was written, which is then removed; `store-full` or
    /// `store-unavailable`.
    pub fn publish(&self, verified: &Verified, mut snapshot: Snapshot) -> Result<Id> {
        snapshot.tree = verified.tree();
        let id = self.save_json(FileType::Snapshot, &snapshot)?;
        let compared = match self.load_json::<Snapshot>(FileType::Snapshot, &id, ReadFrom::Medium) {
            Ok(Some(stored)) if stored == snapshot => return Ok(id),
            Ok(_) => Error::new(ErrorCode::Damaged, format!("the snapshot {} reads back as another one", id.short())),
            Err(error) => error,
        };
        // What could not be verified must not be visible.
        self.storage().delete(&FileType::Snapshot.key(&id))?;
        Err(compared)
    }
}
