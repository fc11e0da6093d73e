//! What snapshots need: every blob that their trees refer to.

use crate::error::{Error, ErrorCode, Result};
use crate::repository::Workers;
use crate::repository::blobs::Indexed;
use crate::repository::id::{Id, IdSet};
use crate::repository::index::Index;
use crate::repository::pack::BlobType;
use crate::repository::tree::Tree;
use crate::repository::trees::TreeReader;
use crate::storage::ReadFrom;
use std::sync::{Mutex, PoisonError};

/// Sets that the ids are spread over, so that threads seldom wait for each other.
const SHARDS: usize = 16;

/// The blobs that are needed.
#[derive(Debug, Default)]
pub(super) struct Used {
    data: [IdSet; SHARDS],
    trees: IdSet,
}

impl Used {
    /// Says whether a blob is needed.
    pub(super) fn contains(&self, kind: BlobType, id: &Id) -> bool {
        match kind {
            BlobType::Data => self.data.get(shard(id)).is_some_and(|ids| ids.contains(id)),
            BlobType::Tree => self.trees.contains(id),
        }
    }

    /// Reads every tree below `roots`.
    ///
    /// # Errors
    /// `damaged`, naming a tree that cannot be read or a blob that no whole pack holds; the store's own; a cancellation.
    pub(super) fn find(indexed: &Indexed, roots: &[Id], workers: &Workers<'_>) -> Result<Self> {
        let (data, trees) = (<[Mutex<IdSet>; SHARDS]>::default(), Mutex::new(IdSet::default()));
        let visit = |id: &Id, tree: Tree| -> Result<()> {
            trees.lock().unwrap_or_else(PoisonError::into_inner).insert(*id);
            for id in tree.nodes.iter().filter_map(|node| node.content.as_ref()).flatten() {
                indexed.with_index(|index| exists(index, id))?;
                if let Some(ids) = data.get(shard(id)) {
                    ids.lock().unwrap_or_else(PoisonError::into_inner).insert(*id);
                }
            }
            Ok(())
        };
        let reader = TreeReader::new(indexed, ReadFrom::Anywhere);
        reader.walk(roots, workers, |id, tree| {
            tree.and_then(|tree| visit(id, tree)).map_err(|error| match error.code() {
                ErrorCode::Damaged => refused(error),
                _ => error,
            })
        })?;
        workers.progress.add_bytes(reader.bytes_read());
        let data = data.map(|ids| ids.into_inner().unwrap_or_else(PoisonError::into_inner));
        Ok(Self { data, trees: trees.into_inner().unwrap_or_else(PoisonError::into_inner) })
    }
}

fn exists(index: &Index, id: &Id) -> Result<()> {
    if index.contains(BlobType::Data, id) {
        return Ok(());
    }
    Err(Error::new(ErrorCode::Damaged, format!("no pack holds the data blob {id}, or it is missing or cut")))
}

/// Says that nothing is removed where something needed is damaged.
pub(super) fn refused(error: Error) -> Error {
    error
        .under_same_code("what a snapshot needs is damaged or missing, so nothing is removed")
        .hint("run `holdpoint check` to find out which snapshots are damaged")
}

fn shard(id: &Id) -> usize {
    usize::from(id.as_bytes()[31]) % SHARDS
}
