//! Looking up and reading blobs.

use super::Repository;
use super::compression::Decompressor;
use super::files::FileType;
use super::id::{Id, IdSet};
use super::index::{Index, IndexFile, PackNumber};
use super::pack::{BlobLocation, BlobType};
use super::tree::Tree;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::many::ask_all;
use std::sync::{PoisonError, RwLock};

/// How many index files are read at once, for each request that may be under way.
const FILES_EACH: usize = 2;

/// An open repository whose index was read: blobs can be looked up.
#[derive(Debug)]
pub struct Indexed {
    repository: Repository,
    /// Grows while a run adds packs.
    index: RwLock<Index>,
    /// The index files that were read when it was opened.
    loaded: IdSet,
}

impl Repository {
    /// Reads the index.
    ///
    /// # Errors
    /// `damaged`, naming the index file; `store-unavailable`; a cancellation.
    pub fn index(&self, cancel: &Cancel) -> Result<Indexed> {
        let mut index = Index::default();
        let mut loaded = IdSet::default();
        self.each_index_file(&self.list(FileType::Index)?, cancel, |id, file| {
            for pack in &file.packs {
                index.add(pack.id, &pack.locations())?;
            }
            loaded.insert(id);
            Ok(())
        })?;
        Ok(Indexed::new(self.clone(), index, loaded))
    }

    /// Reads the index files that were listed, and hands them to `each` in that order. One that was removed since then was
    /// replaced: its packs are in another.
    ///
    /// # Errors
    /// What `each` fails with; as [`Repository::index`].
    pub(super) fn each_index_file(
        &self,
        listed: &[(Id, u64)],
        cancel: &Cancel,
        mut each: impl FnMut(Id, IndexFile) -> Result<()>,
    ) -> Result<()> {
        let width = self.storage().parallelism().reads;
        // A few at a time: an index file takes several times its size while it is read.
        for listed in listed.chunks(width * FILES_EACH) {
            let files = ask_all(width, listed, cancel, |(id, size)| {
                Ok((*id, self.load_sized::<IndexFile>(FileType::Index, id, *size)?))
            })?;
            for (id, file) in files {
                file.map_or(Ok(()), |file| each(id, file))?;
            }
        }
        Ok(())
    }
}

impl Indexed {
    /// Joins a repository and an index that was made from the index files `loaded`.
    pub(super) fn new(repository: Repository, index: Index, loaded: IdSet) -> Self {
        Self { repository, index: RwLock::new(index), loaded }
    }

    /// Says whether an index file was read when the index was opened.
    pub fn was_loaded(&self, index_file: &Id) -> bool {
        self.loaded.contains(index_file)
    }

    /// Returns the repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Calls `look` with the index.
    pub fn with_index<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds a pack that is in the store, so that its blobs are found from now on.
    ///
    /// # Errors
    /// As [`Index::add`].
    pub fn add_pack(&self, pack: Id, blobs: &[BlobLocation]) -> Result<PackNumber> {
        self.index.write().unwrap_or_else(PoisonError::into_inner).add(pack, blobs)
    }

    /// Says whether a blob is known.
    pub fn contains(&self, kind: BlobType, id: &Id) -> bool {
        self.with_index(|index| index.contains(kind, id))
    }

    /// Returns where a blob is: the id of its pack, and the place inside it.
    ///
    /// # Errors
    /// `damaged`: no pack holds it.
    pub fn locate(&self, kind: BlobType, id: &Id) -> Result<(Id, BlobLocation)> {
        let found = self.with_index(|index| {
            let (pack, location) = index.find(kind, id)?;
            Some((index.pack(pack)?.id, location))
        });
        found.ok_or_else(|| Error::new(ErrorCode::Damaged, format!("no pack holds the {kind} blob {id}")))
    }

    /// Reads a blob and compares it with its id.
    ///
    /// # Errors
    /// `damaged`, naming the blob and its pack; `store-unavailable`.
    pub fn read_blob(&self, kind: BlobType, id: &Id) -> Result<Vec<u8>> {
        let (pack, location) = self.locate(kind, id)?;
        let sealed = self.repository.storage.get_range(
            &FileType::Pack.key(&pack),
            location.offset.into(),
            location.length as usize,
        )?;
        let mut sealed = sealed.ok_or_else(|| Error::new(ErrorCode::Damaged, format!("the pack {pack} is missing")))?;
        let mut plain = Vec::new();
        BlobOpener::new(&self.repository)?.open(&pack, &location, &mut sealed, &mut plain)?;
        Ok(plain)
    }

    /// Reads a tree.
    ///
    /// # Errors
    /// As [`Indexed::read_blob`].
    pub fn read_tree(&self, id: &Id) -> Result<Tree> {
        Tree::parse(&self.read_blob(BlobType::Tree, id)?)
    }
}

/// Opens sealed blobs; keeps what is costly to make.
pub struct BlobOpener<'a> {
    repository: &'a Repository,
    decompressor: Decompressor,
}

impl<'a> BlobOpener<'a> {
    /// Creates an opener; one a thread.
    ///
    /// # Errors
    /// `internal`: no memory for it.
    pub fn new(repository: &'a Repository) -> Result<Self> {
        Ok(Self { repository, decompressor: Decompressor::new()? })
    }

    /// Opens `sealed` (in place), decompresses it into `plain` (overwritten) and compares it with its id.
    ///
    /// # Errors
    /// `damaged`, naming the blob and its pack.
    pub fn open(&mut self, pack: &Id, location: &BlobLocation, sealed: &mut [u8], plain: &mut Vec<u8>) -> Result<()> {
        let damaged = || {
            let BlobLocation { kind, id, .. } = location;
            Error::new(ErrorCode::Damaged, format!("the {kind} blob {id} in pack {pack} was altered or cut"))
        };
        let opened = self.repository.key.open(sealed).map_err(|error| damaged().caused_by(error))?;
        if location.uncompressed_length == 0 {
            plain.clear();
            plain.extend_from_slice(opened);
        } else {
            let length = location.uncompressed_length;
            self.decompressor.decompress_into(opened, length, plain).map_err(|error| damaged().caused_by(error))?;
        }
        if Id::of(plain) == location.id { Ok(()) } else { Err(damaged()) }
    }
}

impl std::fmt::Display for BlobType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Data => "data",
            Self::Tree => "tree",
        })
    }
}
