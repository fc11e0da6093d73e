//! Packs: sealed blobs one after another, then a sealed header that lists them (restic `doc/design.rst`, "Pack Format").

use super::crypto::{self, Key};
use super::id::Id;
use crate::error::{Error, ErrorCode, Result};
use serde::{Deserialize, Serialize};

/// What a blob holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobType {
    /// A piece of a file's content.
    Data,
    /// A tree.
    Tree,
}

/// Where a blob is inside its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobLocation {
    /// What it holds.
    pub kind: BlobType,
    /// The id of its plain text.
    pub id: Id,
    /// Where its sealed form starts.
    pub offset: u32,
    /// How long its sealed form is.
    pub length: u32,
    /// How long its plain text is, if it is compressed; 0 if it is not.
    pub uncompressed_length: u32,
}

impl BlobLocation {
    /// Returns how long the plain text is, as far as the location tells.
    pub fn plain_length(&self) -> usize {
        match self.uncompressed_length {
            0 => (self.length as usize).saturating_sub(crypto::OVERHEAD),
            length => length as usize,
        }
    }
}

/// The length of the field that ends a pack: the header's sealed length, 32 bits, little endian.
pub const TRAILER: usize = 4;
const PLAIN_ENTRY: usize = 1 + 4 + 32;
const COMPRESSED_ENTRY: usize = PLAIN_ENTRY + 4;
/// The most that a header may take; restic refuses larger ones too.
const MAX_HEADER: usize = 16 << 20;

/// Appends header and trailer to the sealed blobs in `pack`, which `blobs` describes.
///
/// # Errors
/// `internal`: the header cannot be sealed.
pub fn finish(key: &Key, blobs: &[BlobLocation], pack: &mut Vec<u8>) -> Result<()> {
    let mut header = Vec::with_capacity(blobs.len() * COMPRESSED_ENTRY);
    for blob in blobs {
        let compressed = blob.uncompressed_length != 0;
        header.push(match (blob.kind, compressed) {
            (BlobType::Data, false) => 0,
            (BlobType::Tree, false) => 1,
            (BlobType::Data, true) => 2,
            (BlobType::Tree, true) => 3,
        });
        header.extend_from_slice(&blob.length.to_le_bytes());
        if compressed {
            header.extend_from_slice(&blob.uncompressed_length.to_le_bytes());
        }
        header.extend_from_slice(blob.id.as_bytes());
    }
    let start = pack.len();
    let failed = |error: &dyn std::fmt::Display| Error::new(ErrorCode::Internal, format!("cannot end a pack: {error}"));
    key.seal_into(&header, pack).map_err(|error| failed(&error))?;
    let length = u32::try_from(pack.len() - start).map_err(|error| failed(&error))?;
    pack.extend_from_slice(&length.to_le_bytes());
    Ok(())
}

/// Returns how long header and trailer of a pack with these blobs are.
pub fn header_length(blobs: &[BlobLocation]) -> usize {
    let entry = |blob: &BlobLocation| if blob.uncompressed_length == 0 { PLAIN_ENTRY } else { COMPRESSED_ENTRY };
    blobs.iter().map(entry).sum::<usize>() + crypto::OVERHEAD + TRAILER
}

/// Returns how large a pack with these blobs is.
pub fn size(blobs: &[BlobLocation]) -> u64 {
    blobs.iter().map(|blob| u64::from(blob.length)).sum::<u64>() + header_length(blobs) as u64
}

/// Reads the header of a whole pack.
///
/// # Errors
/// `damaged`, if the header is cut, altered, or does not fit the pack.
pub fn read_header(key: &Key, pack: &[u8]) -> Result<Vec<BlobLocation>> {
    let damaged = |what: &str| Error::new(ErrorCode::Damaged, format!("the header of a pack {what}"));
    let (rest, trailer) = pack.split_last_chunk::<TRAILER>().ok_or_else(|| damaged("is missing"))?;
    let length = u32::from_le_bytes(*trailer) as usize;
    if length > MAX_HEADER {
        return Err(damaged("claims to be larger than any real one"));
    }
    let start = rest.len().checked_sub(length).ok_or_else(|| damaged("claims to be larger than the pack"))?;
    let (blobs, sealed) = rest.split_at(start);
    let mut sealed = sealed.to_vec();
    let header = key.open(&mut sealed).map_err(|error| damaged("was altered").caused_by(error))?;
    let entries = parse_entries(header).ok_or_else(|| damaged("is not what it should be"))?;
    let end = entries.last().map_or(0, |blob| u64::from(blob.offset) + u64::from(blob.length));
    if end != blobs.len() as u64 {
        return Err(damaged("does not fit the pack"));
    }
    Ok(entries)
}

fn parse_entries(mut header: &[u8]) -> Option<Vec<BlobLocation>> {
    let mut entries = Vec::new();
    let mut offset = 0_u32;
    while let Some((&tag, rest)) = header.split_first() {
        let (kind, compressed) = match tag {
            0 => (BlobType::Data, false),
            1 => (BlobType::Tree, false),
            2 => (BlobType::Data, true),
            3 => (BlobType::Tree, true),
            _ => return None,
        };
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (uncompressed_length, rest) = match compressed {
            true => rest.split_first_chunk::<4>().map(|(length, rest)| (u32::from_le_bytes(*length), rest))?,
            false => (0, rest),
        };
        let (id, rest) = rest.split_first_chunk::<32>()?;
        let length = u32::from_le_bytes(*length);
        entries.push(BlobLocation { kind, id: Id::from_bytes(*id), offset, length, uncompressed_length });
        offset = offset.checked_add(length)?;
        header = rest;
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(key: &Key) -> (Vec<u8>, Vec<BlobLocation>) {
        let mut pack = Vec::new();
        let mut blobs = Vec::new();
        for (kind, text, uncompressed_length) in [
            (BlobType::Data, "orders", 0),
            (BlobType::Tree, "{}", 7),
            (BlobType::Tree, "t", 0),
            (BlobType::Data, "", 9),
        ] {
            let offset = u32::try_from(pack.len()).unwrap();
            key.seal_into(text.as_bytes(), &mut pack).unwrap();
            let length = u32::try_from(pack.len()).unwrap() - offset;
            blobs.push(BlobLocation { kind, id: Id::of(text.as_bytes()), offset, length, uncompressed_length });
        }
        let bare = pack.len();
        finish(key, &blobs, &mut pack).unwrap();
        assert_eq!(pack.len() - bare, header_length(&blobs));
        (pack, blobs)
    }

    #[test]
    fn a_header_reads_back() {
        let key = Key::random().unwrap();
        let (pack, blobs) = sample(&key);
        assert_eq!(read_header(&key, &pack).unwrap(), blobs);
    }

    proptest! {
        #[test]
        fn an_altered_header_is_damage_or_the_same(cut in 0_usize..400, at in 0_usize..400, bit in 0_u8..8) {
            let key = Key::from_bytes([7; 64]);
            let (pack, blobs) = sample(&key);
            let mut altered = pack.clone();
            altered.truncate(pack.len().saturating_sub(cut).max(1));
            let at = at % altered.len();
            altered[at] ^= 1 << bit;
            match read_header(&key, &altered) {
                Ok(read) => prop_assert_eq!(read, blobs),
                Err(error) => prop_assert_eq!(error.code(), ErrorCode::Damaged),
            }
        }

        #[test]
        fn no_header_panics(header: Vec<u8>) {
            let _ = parse_entries(&header);
        }
    }
}
