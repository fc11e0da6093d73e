//! One blob on its way into a pack: compressed where that helps, then sealed.

use super::super::compression::Compressor;
use super::super::crypto::Key;
use super::super::id::Id;
use super::super::pack::{BlobLocation, BlobType};
use crate::error::{Error, ErrorCode, Result};

/// How much of a large blob is tried before all of it is compressed.
const SAMPLE: usize = 32 << 10;

/// Compresses and seals; one a worker, because it keeps its buffers.
pub(super) struct Encoder {
    compressor: Compressor,
    compressed: Vec<u8>,
    sealed: Vec<u8>,
}

impl Encoder {
    pub fn new() -> Result<Self> {
        Ok(Self { compressor: Compressor::new()?, compressed: Vec::new(), sealed: Vec::new() })
    }

    /// Returns the sealed form of `plain`, and its description with an offset of 0.
    pub fn encode(&mut self, key: &Key, kind: BlobType, id: Id, plain: &[u8]) -> Result<(&[u8], BlobLocation)> {
        let length = |length: usize| {
            u32::try_from(length).map_err(|error| {
                Error::new(ErrorCode::Internal, format!("the {kind} blob {id} is too large for a pack"))
                    .caused_by(error)
            })
        };
        let mut uncompressed_length = 0;
        let mut payload = plain;
        if self.is_worth_compressing(plain)? {
            self.compressor.compress_into(plain, &mut self.compressed)?;
            if self.compressed.len() < plain.len() {
                uncompressed_length = length(plain.len())?;
                payload = &self.compressed;
            }
        }
        self.sealed.clear();
        key.seal_into(payload, &mut self.sealed).map_err(|error| {
            Error::new(ErrorCode::Internal, format!("cannot seal the {kind} blob {id}")).caused_by(error)
        })?;
        let location = BlobLocation { kind, id, offset: 0, length: length(self.sealed.len())?, uncompressed_length };
        Ok((&self.sealed, location))
    }

    /// Tries a sample of a large blob: media and archives do not shrink, and compressing them is a third of their cost.
    fn is_worth_compressing(&mut self, plain: &[u8]) -> Result<bool> {
        if plain.len() < 4 * SAMPLE {
            return Ok(!plain.is_empty());
        }
        let middle = plain.len() / 2;
        let sample = plain.get(middle..middle + SAMPLE).unwrap_or(plain);
        self.compressor.compress_into(sample, &mut self.compressed)?;
        Ok(self.compressed.len() < sample.len() / 100 * 99)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_shrink_is_stored_as_it_is() {
        let key = Key::from_bytes([3; 64]);
        let mut encoder = Encoder::new().unwrap();
        let mut random = vec![0; 300_000];
        getrandom::fill(&mut random).unwrap();
        for (plain, compressed) in [(vec![7; 300_000], true), (random, false), (b"ab".to_vec(), false), (vec![], false)]
        {
            let (sealed, location) = encoder.encode(&key, BlobType::Data, Id::of(&plain), &plain).unwrap();
            assert_eq!(location.uncompressed_length != 0, compressed);
            assert_eq!(sealed.len(), location.length as usize);
        }
    }
}
