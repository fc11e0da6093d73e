//! One blob on its way into a pack: compressed where that helps.

use super::super::compression::Compressor;
use crate::error::Result;

/// How much of a large blob is tried before all of it is compressed.
const SAMPLE: usize = 32 << 10;

/// Compresses; one a worker, because it keeps its buffer.
pub(super) struct Encoder {
    compressor: Compressor,
    compressed: Vec<u8>,
}

/// What is sealed of a blob.
pub(super) struct Payload<'a> {
    pub bytes: &'a [u8],
    pub is_compressed: bool,
}

impl Encoder {
    pub fn new() -> Result<Self> {
        Ok(Self { compressor: Compressor::new()?, compressed: Vec::new() })
    }

    /// Returns `plain` compressed, or as it is where that is not longer.
    pub fn encode<'a>(&'a mut self, plain: &'a [u8]) -> Result<Payload<'a>> {
        if self.is_worth_compressing(plain)? {
            self.compressor.compress_into(plain, &mut self.compressed)?;
            if self.compressed.len() < plain.len() {
                return Ok(Payload { bytes: &self.compressed, is_compressed: true });
            }
        }
        Ok(Payload { bytes: plain, is_compressed: false })
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
        let mut encoder = Encoder::new().unwrap();
        let mut random = vec![0; 300_000];
        getrandom::fill(&mut random).unwrap();
        for (plain, compressed) in [(vec![7; 300_000], true), (random, false), (b"ab".to_vec(), false), (vec![], false)]
        {
            let payload = encoder.encode(&plain).unwrap();
            assert_eq!(payload.is_compressed, compressed);
            assert_eq!(payload.bytes == plain, !compressed);
        }
    }
}
