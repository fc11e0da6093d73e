//! Packs without an index: what a run that was killed had stored already.

use super::super::blobs::Indexed;
use super::super::files::FileType;
use super::super::id::{Id, IdMap, IdSet};
use super::super::index::{IndexFile, PackEntry};
use super::super::lock::LockWatch;
use super::super::pack;
use super::super::verify::PACKS_AT_ONCE;
use crate::cancel::Cancel;
use crate::error::{ErrorCode, Result};
use crate::storage::ReadFrom;
use crate::storage::many::ask_all;

/// Indexes every whole pack that no index file lists, so that its blobs are not stored again; returns the packs.
///
/// `sizes` is the listing of all packs. A pack that is not what its name says is left alone: it is of no use, and
/// nothing refers to it. Only to be called while no other client can be writing packs that it has not indexed yet; once
/// `lock` is lost, which keeps others from removing them, none is indexed. `None` is only for where nobody else can be at
/// work.
///
/// # Errors
/// `lease-lost`, a failure of the store, a cancellation.
pub fn adopt_orphans(
    indexed: &Indexed,
    sizes: &IdMap<u64>,
    lock: Option<&LockWatch>,
    cancel: &Cancel,
) -> Result<Vec<Id>> {
    let known: IdSet = indexed.with_index(|index| index.packs().map(|(_, pack)| pack.id).collect());
    let repository = indexed.repository();
    let orphans: Vec<Id> = sizes.keys().filter(|id| !known.contains(*id)).copied().collect();
    // Each thread holds a whole pack.
    let width = repository.readers().min(PACKS_AT_ONCE);
    let headers = ask_all(width, &orphans, cancel, |id| {
        let bytes = match repository.read_file(FileType::Pack, id, ReadFrom::Medium) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(error) if error.code() == ErrorCode::Damaged => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(pack::read_header(repository.key(), &bytes).ok())
    })?;
    let mut file = IndexFile::default();
    for (id, blobs) in orphans.iter().zip(headers) {
        let Some(blobs) = blobs else { continue };
        indexed.add_pack(*id, &blobs)?;
        file.packs.push(PackEntry::new(*id, &blobs));
    }
    if !file.packs.is_empty() {
        // Reading them may have taken long.
        lock.map_or(Ok(()), LockWatch::confirm)?;
        repository.save_json(FileType::Index, &file)?;
    }
    Ok(file.packs.into_iter().map(|pack| pack.id).collect())
}
