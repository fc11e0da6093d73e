//! New index files in the place of those that list packs which go.

use super::survey::Listing;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::repository::Repository;
use crate::repository::archive::MAX_BLOBS;
use crate::repository::files::stored_size;
use crate::repository::id::{Id, IdSet};
use crate::repository::index::IndexFile;

/// An index file of fewer blobs is small.
const SMALL: usize = MAX_BLOBS / 10;
/// So many small index files are worth joining.
const MANY: usize = 10;

/// Index files that are replaced by others that list the same packs but those that go.
#[derive(Debug, Default)]
pub(super) struct Rewrite {
    /// The files and their sizes.
    pub(super) files: Vec<(Id, u64)>,
    /// The packs that are not listed any more.
    pub(super) dropped: IdSet,
    /// The sizes of the new files.
    pub(super) sizes: Vec<u64>,
}

impl Rewrite {
    /// Plans it; `joins` says whether many small files become fewer larger ones.
    ///
    /// # Errors
    /// `damaged`, naming an index file; the store's own; a cancellation.
    pub(super) fn plan(
        repository: &Repository,
        listings: &[Listing],
        dropped: IdSet,
        joins: bool,
        cancel: &Cancel,
    ) -> Result<Self> {
        let is_small = |listing: &&Listing| listing.blobs < SMALL;
        let joins = joins && listings.iter().filter(is_small).count() >= MANY;
        let goes = |listing: &&Listing| {
            let names_gone = || listing.packs.iter().any(|pack| dropped.contains(pack));
            listing.repeats || names_gone() || (joins && is_small(listing))
        };
        let files = listings.iter().filter(goes).map(|listing| (listing.id, listing.size)).collect();
        let mut rewrite = Self { files, dropped, sizes: Vec::new() };
        let mut sizes = Vec::new();
        rewrite.each(repository, cancel, |file| {
            sizes.push(stored_size(&file)?);
            Ok(())
        })?;
        rewrite.sizes = sizes;
        Ok(rewrite)
    }

    /// Hands each new index file to `each`: every time the same, in the same order.
    ///
    /// # Errors
    /// What `each` fails with; `damaged`, naming an index file; the store's own; a cancellation.
    pub(super) fn each(
        &self,
        repository: &Repository,
        cancel: &Cancel,
        mut each: impl FnMut(IndexFile) -> Result<()>,
    ) -> Result<()> {
        let (mut next, mut blobs, mut listed) = (IndexFile::default(), 0, IdSet::default());
        repository.each_index_file(&self.files, cancel, |_, file| {
            for pack in file.packs {
                if self.dropped.contains(&pack.id) || !listed.insert(pack.id) {
                    continue;
                }
                if blobs + pack.blobs.len() > MAX_BLOBS && !next.packs.is_empty() {
                    each(std::mem::take(&mut next))?;
                    blobs = 0;
                }
                blobs += pack.blobs.len();
                next.packs.push(pack);
            }
            Ok(())
        })?;
        if next.packs.is_empty() { Ok(()) } else { each(next) }
    }
}
