//! What is in the store: every pack, every index file, and where each blob is, also a second time.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::blobs::Indexed;
use crate::repository::id::{Id, IdMap, IdSet};
use crate::repository::index::{Index, PackEntry, PackNumber};
use crate::repository::pack::{self, BlobLocation};
use crate::repository::{FileType, Repository};

/// One index file.
pub(super) struct Listing {
    pub(super) id: Id,
    pub(super) size: u64,
    pub(super) packs: Vec<Id>,
    pub(super) blobs: usize,
    /// Whether it lists a pack that another one, or it itself, listed before.
    pub(super) repeats: bool,
}

/// What is in the store.
pub(super) struct Survey {
    /// The packs in an index that are whole, and the first place of each of their blobs.
    pub(super) indexed: Indexed,
    /// Further places of blobs, sorted by the blob.
    pub(super) again: Vec<(PackNumber, BlobLocation)>,
    /// Packs in an index that are missing, or have another size than they should.
    pub(super) unusable: IdSet,
    /// All packs in the store, and their sizes.
    pub(super) sizes: IdMap<u64>,
    pub(super) listings: Vec<Listing>,
}

impl Survey {
    /// Reads the index and lists the packs.
    ///
    /// # Errors
    /// `damaged`, naming an index file or a pack; the store's own; a cancellation.
    pub(super) fn take(repository: &Repository, cancel: &Cancel) -> Result<Self> {
        // In this order every pack of an index file is there when packs are listed.
        let mut files = repository.list(FileType::Index)?;
        files.sort_unstable();
        let sizes = repository.pack_sizes()?;
        let file_sizes: IdMap<u64> = files.iter().copied().collect();
        let mut reading =
            Reading { sizes: &sizes, index: Index::default(), again: Vec::new(), listed: IdMap::default() };
        let (mut unusable, mut listings, mut loaded) = (IdSet::default(), Vec::new(), IdSet::default());
        repository.each_index_file(&files, cancel, |id, file| {
            let size = file_sizes.get(&id).copied().unwrap_or(0);
            let mut listing = Listing { id, size, packs: Vec::new(), blobs: 0, repeats: false };
            for pack in &file.packs {
                listing.packs.push(pack.id);
                listing.blobs += pack.blobs.len();
                match reading.add(pack)? {
                    Found::Whole => {}
                    Found::Again => listing.repeats = true,
                    Found::Unusable => {
                        unusable.insert(pack.id);
                    }
                }
            }
            listings.push(listing);
            loaded.insert(id);
            Ok(())
        })?;
        let Reading { index, mut again, .. } = reading;
        again.sort_unstable_by_key(|(pack, blob)| (blob.kind, blob.id, *pack, blob.offset));
        let indexed = Indexed::new(repository.clone(), index, loaded);
        Ok(Self { indexed, again, unusable, sizes, listings })
    }

    /// Returns the packs that no index file lists, sorted, with their sizes.
    pub(super) fn orphans(&self) -> Vec<(Id, u64)> {
        let mut orphans = self.sizes.clone();
        for pack in self.listings.iter().flat_map(|listing| &listing.packs) {
            orphans.remove(pack);
        }
        let mut orphans: Vec<_> = orphans.into_iter().collect();
        orphans.sort_unstable();
        orphans
    }
}

/// What an index file says of a pack, compared with the store and with other index files.
enum Found {
    Whole,
    Again,
    Unusable,
}

struct Reading<'a> {
    sizes: &'a IdMap<u64>,
    index: Index,
    again: Vec<(PackNumber, BlobLocation)>,
    /// The sizes of the packs that were listed, as their blobs imply them.
    listed: IdMap<u64>,
}

impl Reading<'_> {
    fn add(&mut self, pack: &PackEntry) -> Result<Found> {
        let blobs = pack.locations();
        let size = pack::size(&blobs);
        match self.listed.insert(pack.id, size) {
            Some(before) if before != size => {
                let message = format!("two index files disagree on what the pack {} holds", pack.id);
                return Err(
                    Error::new(ErrorCode::Damaged, message).hint("run `restic repair index`, then `holdpoint check`")
                );
            }
            Some(_) => return Ok(Found::Again),
            None => {}
        }
        if self.sizes.get(&pack.id) != Some(&size) {
            return Ok(Found::Unusable);
        }
        let number = self.index.add(pack.id, &blobs)?;
        // The same blob may be in two packs, and twice in one.
        let index = &self.index;
        let is_first = |blob: &BlobLocation| {
            let first = index.find(blob.kind, &blob.id);
            first.is_some_and(|(pack, first)| pack == number && first.offset == blob.offset)
        };
        self.again.extend(blobs.into_iter().filter(|blob| !is_first(blob)).map(|blob| (number, blob)));
        Ok(Found::Whole)
    }
}
