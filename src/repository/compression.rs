//! Compression: zstd, with every length checked before memory is taken for it.

use crate::error::{Error, ErrorCode, Result};
use std::io::Read;

/// The level for everything we write: zstd's own default, and what restic's `auto` comes to.
const LEVEL: i32 = 3;
/// The most that a sealed file (index, snapshot, lock) may hold; restic's largest index files are a tenth of it.
const MAX_FILE: u64 = 1 << 30;
/// The most that one blob may hold: chunks end at 8 MiB, a tree of a million nodes takes 400 MiB.
pub const MAX_BLOB: u32 = 1 << 30;

/// A compressor to keep: making one costs more than a small blob.
pub struct Compressor(zstd::bulk::Compressor<'static>);

impl Compressor {
    /// Creates a compressor.
    ///
    /// # Errors
    /// `internal`: no memory for it.
    pub fn new() -> Result<Self> {
        zstd::bulk::Compressor::new(LEVEL).map(Self).map_err(|error| failed(&error))
    }

    /// Compresses `plain` into `out`, which is overwritten.
    ///
    /// # Errors
    /// `internal`: no memory for it.
    pub fn compress_into(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        out.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        self.0.compress_to_buffer(plain, out).map_err(|error| failed(&error))?;
        Ok(())
    }
}

/// Returns `plain` compressed, for single files.
///
/// # Errors
/// `internal`: no memory for it.
pub fn compress(plain: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    Compressor::new()?.compress_into(plain, &mut out)?;
    Ok(out)
}

/// How long a frame is at least that decompressors skip: its mark and its length.
pub const MIN_PAD: usize = 8;

/// Appends `length` bytes to compressed data that decompressors skip (RFC 8878, "Skippable Frames"); less than
/// [`MIN_PAD`] are left out.
pub fn pad(compressed: &mut Vec<u8>, length: usize) {
    let Some(content) = length.checked_sub(MIN_PAD).and_then(|content| u32::try_from(content).ok()) else { return };
    compressed.extend_from_slice(&0x184D_2A50_u32.to_le_bytes());
    compressed.extend_from_slice(&content.to_le_bytes());
    compressed.resize(compressed.len() + content as usize, 0);
}

/// A decompressor to keep.
pub struct Decompressor(zstd::bulk::Decompressor<'static>);

impl Decompressor {
    /// Creates a decompressor.
    ///
    /// # Errors
    /// `internal`: no memory for it.
    pub fn new() -> Result<Self> {
        zstd::bulk::Decompressor::new().map(Self).map_err(|error| failed(&error))
    }

    /// Decompresses a blob of exactly `length` bytes into `out`, which is overwritten.
    ///
    /// # Errors
    /// `damaged`: it is not compressed data, or not of that length.
    pub fn decompress_into(&mut self, compressed: &[u8], length: u32, out: &mut Vec<u8>) -> Result<()> {
        let damaged = || Error::new(ErrorCode::Damaged, "a compressed blob is not what it should be");
        if length > MAX_BLOB {
            return Err(damaged());
        }
        out.clear();
        out.reserve(length as usize);
        let written = self.0.decompress_to_buffer(compressed, out).map_err(|error| damaged().caused_by(error))?;
        if written == length as usize { Ok(()) } else { Err(damaged()) }
    }
}

/// Decompresses a sealed file, whose length nobody told.
///
/// # Errors
/// `damaged`: it is not compressed data, or more than any real file holds.
pub fn decompress_file(compressed: &[u8]) -> Result<Vec<u8>> {
    let damaged = || Error::new(ErrorCode::Damaged, "a compressed file is not what it should be");
    let decoder = zstd::stream::read::Decoder::with_buffer(compressed).map_err(|error| damaged().caused_by(error))?;
    let mut plain = Vec::new();
    decoder.take(MAX_FILE + 1).read_to_end(&mut plain).map_err(|error| damaged().caused_by(error))?;
    if plain.len() as u64 > MAX_FILE { Err(damaged()) } else { Ok(plain) }
}

fn failed(error: &std::io::Error) -> Error {
    Error::new(ErrorCode::Internal, format!("zstd failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_padded_decompresses_to_the_same() {
        let compressed = compress(b"orders").unwrap();
        for length in [0, 7, 8, 9, 1000] {
            let mut padded = compressed.clone();
            pad(&mut padded, length);
            assert_eq!(padded.len(), compressed.len() + if length < MIN_PAD { 0 } else { length });
            assert_eq!(decompress_file(&padded).unwrap(), b"orders");
        }
    }
}
