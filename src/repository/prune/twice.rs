//! What is stored twice: the copy that stays is read before the other one goes.

use super::choose::Fate;
use super::held::Asker;
use super::share::{Place, Shares};
use super::used::refused;
use super::{Left, Options, Why};
use crate::error::{Error, ErrorCode, Result};
use crate::repository::blobs::BlobOpener;
use crate::repository::index::PackNumber;
use crate::repository::pack::BlobLocation;
use crate::repository::verify::PACKS_AT_ONCE;
use crate::repository::{FileType, Id, Repository, Workers};
use crate::storage::ReadFrom;
use crate::storage::many::ask_all;
use std::collections::{BTreeMap, BTreeSet};

/// What a copy turns out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Whole,
    Damaged,
    /// It cannot be read at once.
    Cold,
}

/// Decides on every pack. Where one goes that holds a needed blob, because another pack that stays holds it, too, that one
/// is read first: a copy that is damaged does not count, and beside one that cannot be read all others stay.
///
/// # Errors
/// `damaged`, naming a blob of which no copy is whole, or a pack that is gone; the store's own; a cancellation.
pub(super) fn choose(
    repository: &Repository,
    asker: &Asker<'_>,
    shares: &mut Shares,
    options: &Options,
    left: &mut Vec<Left>,
    workers: &Workers<'_>,
) -> Result<Vec<Fate>> {
    let mut proved = BTreeSet::new();
    loop {
        let fates = asker.choose(shares, options, left)?;
        let mut open = BTreeMap::<PackNumber, Vec<BlobLocation>>::new();
        for (pack, blob) in shares.relied_on(&fates).filter(|(pack, blob)| !proved.contains(&(*pack, blob.offset))) {
            open.entry(pack).or_default().push(blob);
        }
        let mut is_settled = true;
        for ((pack, blob), found) in read(repository, shares, open, workers)? {
            is_settled &= found == Found::Whole;
            match found {
                Found::Whole => {
                    proved.insert((pack, blob.offset));
                }
                Found::Damaged if shares.reject(&blob) => {}
                Found::Damaged => {
                    let message = format!("no copy of the {} blob {} is whole", blob.kind, blob.id);
                    return Err(refused(Error::new(ErrorCode::Damaged, message)));
                }
                Found::Cold => {
                    let held = shares.hold(&blob, &fates).into_iter();
                    left.extend(held.map(|(id, size)| Left { kind: FileType::Pack, id, size, why: Why::Cold }));
                }
            }
        }
        if is_settled {
            return Ok(fates);
        }
    }
}

/// Reads packs, and in them blobs.
fn read(
    repository: &Repository,
    shares: &Shares,
    open: BTreeMap<PackNumber, Vec<BlobLocation>>,
    workers: &Workers<'_>,
) -> Result<Vec<(Place, Found)>> {
    let open: Vec<_> = open.into_iter().collect();
    // Each thread holds a whole pack.
    let width = repository.readers().min(PACKS_AT_ONCE);
    let found = ask_all(width, &open, workers.cancel, |(pack, blobs)| {
        let Some(pack) = shares.packs.get(pack.position()) else {
            return Err(Error::new(ErrorCode::Internal, "a blob is in no pack"));
        };
        workers.progress.add_bytes(pack.size);
        look(repository, &pack.id, blobs)
    })?;
    let places = open.into_iter().flat_map(|(pack, blobs)| blobs.into_iter().map(move |blob| (pack, blob)));
    Ok(places.zip(found.into_iter().flatten()).collect())
}

/// Reads one pack, and says of each blob what it is.
fn look(repository: &Repository, pack: &Id, blobs: &[BlobLocation]) -> Result<Vec<Found>> {
    let bytes = match repository.read_file(FileType::Pack, pack, ReadFrom::Medium) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(vec![Found::Damaged; blobs.len()]),
        Err(error) if error.code() == ErrorCode::Damaged => return Ok(vec![Found::Damaged; blobs.len()]),
        Err(error) if error.code() == ErrorCode::ObjectCold => return Ok(vec![Found::Cold; blobs.len()]),
        Err(error) => return Err(error),
    };
    let (mut opener, mut sealed, mut plain) = (BlobOpener::new(repository)?, Vec::new(), Vec::new());
    let mut look = |blob: &BlobLocation| {
        let start = blob.offset as usize;
        let Some(part) = bytes.get(start..start.saturating_add(blob.length as usize)) else { return Found::Damaged };
        sealed.clear();
        sealed.extend_from_slice(part);
        let opened = opener.open(pack, blob, &mut sealed, &mut plain);
        if opened.is_ok() { Found::Whole } else { Found::Damaged }
    };
    Ok(blobs.iter().map(&mut look).collect())
}
