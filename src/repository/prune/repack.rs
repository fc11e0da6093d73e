//! Writing needed blobs anew: as they are sealed, each compared with its id, the new packs read back.

use super::layout::{Batch, Moved, NewPack};
use super::used::refused;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::blobs::BlobOpener;
use crate::repository::files::FileType;
use crate::repository::id::Id;
use crate::repository::pack::{self, BlobType};
use crate::repository::trees::missing;
use crate::repository::{Repository, Workers};
use crate::storage::{Class, PutMode, ReadFrom};
use std::sync::{Mutex, PoisonError};

/// How much is read at once, unless one blob is longer.
const SPAN: u32 = 4 << 20;
/// What lies between two needed blobs is read with them if it is no longer than this: a request costs more.
const GAP: u32 = 128 << 10;

/// Writes and reads back the packs of a batch; returns their ids, in order.
///
/// # Errors
/// `damaged`, naming a blob; `object-cold`; `store-full` or `store-unavailable`; a cancellation.
pub(super) fn write(repository: &Repository, sources: &[Id], batch: &Batch, workers: &Workers<'_>) -> Result<Vec<Id>> {
    let numbered: Vec<(usize, &NewPack)> = batch.packs.iter().enumerate().collect();
    let ids = Mutex::new(vec![None; numbered.len()]);
    // Each thread holds a whole pack.
    let uploaders = Workers { threads: repository.storage().parallelism().uploads, ..*workers };
    let state = || {
        Ok(Builder { repository, sources, workers, opener: BlobOpener::new(repository)?, buffers: Default::default() })
    };
    uploaders.each(&numbered, state, |builder, (number, pack)| {
        let id = builder.build(pack)?;
        if let Some(slot) = ids.lock().unwrap_or_else(PoisonError::into_inner).get_mut(*number) {
            *slot = Some(id);
        }
        Ok(())
    })?;
    let ids: Option<Vec<Id>> = ids.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
    ids.ok_or_else(|| Error::new(ErrorCode::Internal, "a pack was not written"))
}

struct Builder<'a> {
    repository: &'a Repository,
    sources: &'a [Id],
    workers: &'a Workers<'a>,
    opener: BlobOpener<'a>,
    /// A sealed blob to be opened, and what is in it.
    buffers: (Vec<u8>, Vec<u8>),
}

impl Builder<'_> {
    fn build(&mut self, pack: &NewPack) -> Result<Id> {
        let locations = pack.locations()?;
        let mut bytes = Vec::with_capacity(usize::try_from(pack::size(&locations)).unwrap_or(0));
        for run in runs(&pack.blobs) {
            self.workers.cancel.check()?;
            self.copy(run, &mut bytes)?;
        }
        pack::finish(self.repository.key(), &locations, &mut bytes)?;
        let (id, size) = (Id::of(&bytes), bytes.len() as u64);
        let class = match locations.first().map(|blob| blob.kind) {
            Some(BlobType::Data) => Class::Data,
            _ => Class::Record,
        };
        // A pack of that name holds the same bytes.
        let _ = self.repository.storage().put(&FileType::Pack.key(&id), &bytes.into(), PutMode::CreateOnly, class)?;
        self.repository.read_file(FileType::Pack, &id, ReadFrom::Medium)?.ok_or_else(|| missing(&id))?;
        self.workers.progress.add_bytes(size);
        Ok(id)
    }

    /// Appends blobs that lie close together in one pack, each of which must be what its id says.
    fn copy(&mut self, run: &[Moved], bytes: &mut Vec<u8>) -> Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let source = self.sources.get(first.source as usize).copied();
        let source = source.ok_or_else(|| Error::new(ErrorCode::Internal, "a blob comes from no pack"))?;
        let (start, end) = (first.blob.offset, last.blob.offset.saturating_add(last.blob.length));
        let length = (end - start) as usize;
        let read = self.repository.storage().get_range(&FileType::Pack.key(&source), start.into(), length)?;
        let read = read.ok_or_else(|| refused(missing(&source)))?;
        self.workers.progress.add_bytes(length as u64);
        let (sealed, plain) = &mut self.buffers;
        for Moved { blob, .. } in run {
            let at = (blob.offset - start) as usize;
            let part = read.get(at..at + blob.length as usize).ok_or_else(|| refused(missing(&source)))?;
            sealed.clear();
            sealed.extend_from_slice(part);
            self.opener.open(&source, blob, sealed, plain).map_err(refused)?;
            bytes.extend_from_slice(part);
        }
        Ok(())
    }
}

/// Parts blobs, sorted by pack and offset, into those that are read together.
fn runs(blobs: &[Moved]) -> Vec<&[Moved]> {
    let (mut runs, mut start) = (Vec::new(), 0);
    for (position, pair) in blobs.windows(2).enumerate() {
        let [one, two] = pair else { continue };
        let first = blobs.get(start).map_or(0, |first| first.blob.offset);
        let end = one.blob.offset.saturating_add(one.blob.length);
        let goes_on = one.source == two.source
            && two.blob.offset.saturating_sub(end) <= GAP
            && two.blob.offset.saturating_add(two.blob.length).saturating_sub(first) <= SPAN;
        if !goes_on {
            runs.extend(blobs.get(start..=position));
            start = position + 1;
        }
    }
    runs.extend(blobs.get(start..).filter(|rest| !rest.is_empty()));
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::pack::BlobLocation;

    #[test]
    fn blobs_are_read_together_as_long_as_they_are_close() {
        let moved = |source, offset, length| {
            let (kind, id) = (BlobType::Data, Id::of(b""));
            Moved { source, blob: BlobLocation { kind, id, offset, length, uncompressed_length: 0 } }
        };
        let blobs = [
            moved(0, 0, 10),
            moved(0, 10, 10),
            moved(0, 20 + GAP, 10),
            moved(0, 31 + 2 * GAP, SPAN),
            moved(0, 31 + 2 * GAP + SPAN, 10),
            moved(1, 40 + 2 * GAP + SPAN, 10),
        ];
        let lengths: Vec<usize> = runs(&blobs).iter().map(|run| run.len()).collect();
        assert_eq!(lengths, [3, 1, 1, 1]);
        assert!(runs(&[]).is_empty());
        assert_eq!(runs(&blobs[..1]).len(), 1);
    }
}
