//! The index: which pack holds which blob (restic `doc/design.rst`, "Indexing").

use super::id::{Id, IdMap};
use super::pack::{self, BlobLocation, BlobType};
use crate::error::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

/// One index file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexFile {
    /// Index files that this one replaces; kept by old clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supersedes: Vec<Id>,
    /// The packs that it lists.
    pub packs: Vec<PackEntry>,
}

/// One pack in an index file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackEntry {
    /// The id of the pack.
    pub id: Id,
    /// Its blobs.
    pub blobs: Vec<BlobEntry>,
}

/// One blob in an index file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobEntry {
    /// The id of its plain text.
    pub id: Id,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: BlobType,
    /// Where its sealed form starts.
    pub offset: u32,
    /// How long its sealed form is.
    pub length: u32,
    /// How long its plain text is, if it is compressed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uncompressed_length: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl PackEntry {
    /// Describes a pack by the blobs in it.
    pub fn new(id: Id, blobs: &[BlobLocation]) -> Self {
        let entry = |blob: &BlobLocation| BlobEntry {
            id: blob.id,
            kind: blob.kind,
            offset: blob.offset,
            length: blob.length,
            uncompressed_length: blob.uncompressed_length,
        };
        Self { id, blobs: blobs.iter().map(entry).collect() }
    }

    /// Returns the blobs as a pack's header lists them.
    pub fn locations(&self) -> Vec<BlobLocation> {
        let location = |blob: &BlobEntry| BlobLocation {
            kind: blob.kind,
            id: blob.id,
            offset: blob.offset,
            length: blob.length,
            uncompressed_length: blob.uncompressed_length,
        };
        self.blobs.iter().map(location).collect()
    }
}

/// The number of a pack inside one [`Index`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackNumber(u32);

impl PackNumber {
    /// Returns the place of the pack in the order of [`Index::packs`].
    pub fn position(self) -> usize {
        self.0 as usize
    }
}

/// Where a blob is inside its pack, without what the map's key says already.
#[derive(Debug, Clone, Copy)]
struct Slot {
    pack: PackNumber,
    offset: u32,
    length: u32,
    uncompressed_length: u32,
}

impl Slot {
    fn locate(&self, kind: BlobType, id: &Id) -> (PackNumber, BlobLocation) {
        let Self { pack, offset, length, uncompressed_length } = *self;
        (pack, BlobLocation { kind, id: *id, offset, length, uncompressed_length })
    }
}

/// One pack as the index knows it.
#[derive(Debug, Clone, Copy)]
pub struct PackInfo {
    /// The id of the pack.
    pub id: Id,
    /// The size that its file must have: its blobs, header and trailer.
    pub size: u64,
}

/// All index files of a repository, for looking up; about 60 bytes a blob.
#[derive(Debug, Default)]
pub struct Index {
    packs: Vec<PackInfo>,
    data: IdMap<Slot>,
    trees: IdMap<Slot>,
}

impl Index {
    /// Adds a pack with its blobs; a blob that is known already stays where it was.
    ///
    /// # Errors
    /// `internal`: more packs than any repository has.
    pub fn add(&mut self, pack: Id, blobs: &[BlobLocation]) -> Result<PackNumber> {
        let number = u32::try_from(self.packs.len())
            .map_err(|error| Error::new(ErrorCode::Internal, "too many packs").caused_by(error))?;
        let number = PackNumber(number);
        self.packs.push(PackInfo { id: pack, size: pack::size(blobs) });
        for blob in blobs {
            let slot = Slot {
                pack: number,
                offset: blob.offset,
                length: blob.length,
                uncompressed_length: blob.uncompressed_length,
            };
            self.map_mut(blob.kind).entry(blob.id).or_insert(slot);
        }
        Ok(number)
    }

    /// Makes room for a number of blobs of a kind at once.
    pub fn reserve(&mut self, kind: BlobType, blobs: usize) {
        self.map_mut(kind).reserve(blobs);
    }

    /// Returns where a blob is: the pack, and the place inside it.
    pub fn find(&self, kind: BlobType, id: &Id) -> Option<(PackNumber, BlobLocation)> {
        Some(self.map(kind).get(id)?.locate(kind, id))
    }

    /// Says whether a blob is known.
    pub fn contains(&self, kind: BlobType, id: &Id) -> bool {
        self.map(kind).contains_key(id)
    }

    /// Returns what is known of a pack.
    pub fn pack(&self, number: PackNumber) -> Option<PackInfo> {
        self.packs.get(number.0 as usize).copied()
    }

    /// Returns every pack in the order in which they were added.
    pub fn packs(&self) -> impl Iterator<Item = (PackNumber, PackInfo)> {
        (0..).map(PackNumber).zip(self.packs.iter().copied())
    }

    /// Returns every blob with the pack that it is looked up in, in any order.
    pub fn blobs(&self) -> impl Iterator<Item = (PackNumber, BlobLocation)> {
        let data = self.data.iter().map(|(id, slot)| slot.locate(BlobType::Data, id));
        data.chain(self.trees.iter().map(|(id, slot)| slot.locate(BlobType::Tree, id)))
    }

    /// Returns how many blobs of a kind there are.
    pub fn len(&self, kind: BlobType) -> usize {
        self.map(kind).len()
    }

    fn map(&self, kind: BlobType) -> &IdMap<Slot> {
        match kind {
            BlobType::Data => &self.data,
            BlobType::Tree => &self.trees,
        }
    }

    fn map_mut(&mut self, kind: BlobType) -> &mut IdMap<Slot> {
        match kind {
            BlobType::Data => &mut self.data,
            BlobType::Tree => &mut self.trees,
        }
    }
}
