//! How what is written anew is laid out in packs and index files: planned, so that their sizes are known before.

use crate::error::{Error, ErrorCode, Result};
use crate::repository::archive::{MAX_BLOBS, PACK_SIZE};
use crate::repository::compression::MIN_PAD;
use crate::repository::files::stored_size;
use crate::repository::id::Id;
use crate::repository::index::{IndexFile, PackEntry};
use crate::repository::pack::{self, BlobLocation};

/// So many packs are indexed together at most: what a run that is killed has to do again.
const PACKS_EACH: usize = 32;
/// How much longer compressed JSON with one id in it may be than with another one, for each that is not known yet: its 64
/// digits, which cannot take more than as many bytes.
const ID_SLACK: usize = 64;

/// A blob that moves from one pack to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    /// The place of its pack among the sources.
    pub(super) source: u32,
    pub(super) blob: BlobLocation,
}

/// A pack that will be written: its blobs, in order, where they are now.
#[derive(Debug, Default)]
pub(super) struct NewPack {
    pub(super) blobs: Vec<Moved>,
}

impl NewPack {
    /// Returns the blobs as they will lie in it.
    ///
    /// # Errors
    /// `internal`: a pack that is larger than any.
    pub(super) fn locations(&self) -> Result<Vec<BlobLocation>> {
        let mut end = 0_u32;
        let locate = |moved: &Moved| {
            let offset = end;
            end = end.checked_add(moved.blob.length)?;
            Some(BlobLocation { offset, ..moved.blob })
        };
        let located: Option<Vec<_>> = self.blobs.iter().map(locate).collect();
        located.ok_or_else(|| Error::new(ErrorCode::Internal, "a pack would be larger than 4 GiB"))
    }
}

/// Packs that are written and indexed together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) packs: Vec<NewPack>,
    /// The sizes of the packs, in all.
    pub(super) bytes: u64,
    /// The size of the index file that will list them.
    pub(super) index_size: u64,
}

/// Lays out blobs in packs of one kind each, blobs of one pack beside each other.
///
/// # Errors
/// `internal`.
pub(super) fn lay_out(mut blobs: Vec<Moved>) -> Result<Vec<Batch>> {
    blobs.sort_unstable_by_key(|moved| (moved.blob.kind, moved.source, moved.blob.offset));
    let mut batches: Vec<Batch> = Vec::new();
    let (mut pack, mut bytes) = (NewPack::default(), 0);
    for moved in blobs {
        let length = moved.blob.length as usize;
        let fits = pack.blobs.first().is_none_or(|first| {
            first.blob.kind == moved.blob.kind && bytes + length <= PACK_SIZE && pack.blobs.len() < MAX_BLOBS
        });
        if !fits {
            push(&mut batches, std::mem::take(&mut pack));
            bytes = 0;
        }
        pack.blobs.push(moved);
        bytes += length;
    }
    if !pack.blobs.is_empty() {
        push(&mut batches, pack);
    }
    for batch in &mut batches {
        batch.measure()?;
    }
    Ok(batches)
}

fn push(batches: &mut Vec<Batch>, pack: NewPack) {
    match batches.last_mut() {
        Some(batch) if batch.has_room_for(&pack) => batch.packs.push(pack),
        _ => batches.push(Batch { packs: vec![pack], ..Batch::default() }),
    }
}

impl Batch {
    fn has_room_for(&self, pack: &NewPack) -> bool {
        let blobs: usize = self.packs.iter().map(|pack| pack.blobs.len()).sum();
        self.packs.len() < PACKS_EACH && blobs + pack.blobs.len() <= MAX_BLOBS
    }

    /// Returns the index file, once the ids of the packs are known.
    ///
    /// # Errors
    /// `internal`.
    pub(super) fn index_file(&self, ids: &[Id]) -> Result<IndexFile> {
        let entries = self.packs.iter().zip(ids).map(|(pack, id)| Ok(PackEntry::new(*id, &pack.locations()?)));
        Ok(IndexFile { supersedes: Vec::new(), packs: entries.collect::<Result<_>>()? })
    }

    fn measure(&mut self) -> Result<()> {
        let mut bytes = 0;
        for pack in &self.packs {
            bytes += pack::size(&pack.locations()?);
        }
        // Digits like those that will be there: how well the rest compresses depends a little on them.
        let ids: Vec<Id> = (0..self.packs.len()).map(|number| Id::of(&number.to_le_bytes())).collect();
        let slack = MIN_PAD + ID_SLACK * ids.len();
        (self.bytes, self.index_size) = (bytes, stored_size(&self.index_file(&ids)?)? + slack as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::pack::BlobType;

    fn moved(number: u32, kind: BlobType, source: u32, length: u32) -> Moved {
        let id = Id::of(&number.to_le_bytes());
        Moved { source, blob: BlobLocation { kind, id, offset: number * 10, length, uncompressed_length: 0 } }
    }

    #[test]
    fn packs_are_of_one_kind_and_as_large_as_those_of_the_archiver() {
        let piece = u32::try_from(PACK_SIZE / 3).unwrap();
        let mut blobs: Vec<Moved> = (0..100).map(|number| moved(number, BlobType::Data, number % 2, piece)).collect();
        blobs.push(moved(1000, BlobType::Tree, 0, 5));
        let batches = lay_out(blobs).unwrap();
        let packs: Vec<&NewPack> = batches.iter().flat_map(|batch| &batch.packs).collect();
        let counts: Vec<usize> = packs.iter().map(|pack| pack.blobs.len()).collect();
        assert_eq!(counts, [[3; 33].as_slice(), &[1, 1]].concat());
        assert_eq!(batches.iter().map(|batch| batch.packs.len()).collect::<Vec<_>>(), [32, 3]);
        assert!(packs[..33].iter().flat_map(|pack| &pack.blobs).is_sorted_by_key(|moved| moved.source));
        assert_eq!(packs[0].locations().unwrap()[2].offset, 2 * piece);
    }

    #[test]
    fn an_index_file_takes_no_more_than_was_announced_whatever_the_ids() {
        let blobs = (0..2000).map(|number| moved(number, BlobType::Data, number, 1 << 16)).collect();
        for batch in lay_out(blobs).unwrap() {
            for salt in 0..50_u8 {
                let ids: Vec<Id> = (0..batch.packs.len()).map(|number| Id::of(&[salt, number as u8])).collect();
                let size = stored_size(&batch.index_file(&ids).unwrap()).unwrap();
                assert!(size + MIN_PAD as u64 <= batch.index_size, "{size} {}", batch.index_size);
            }
        }
    }
}
