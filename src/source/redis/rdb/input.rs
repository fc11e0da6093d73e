//! The bytes of an RDB file: read in large pieces, hashed, and kept where they are wanted.

use super::broken::{Broken, Problem};
use crate::error::{Error, IoContext};
use crc::{CRC_64_REDIS, Crc, Digest, Table};
use std::io::{ErrorKind, Read};

/// How much is read at once.
const PIECE: usize = 256 * 1024;

/// The checksum at the end of an RDB file and of a `DUMP` payload.
pub(in super::super) static CRC64: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// A file that is read from its start to its end.
pub(super) struct Input<'r> {
    source: Box<dyn Read + 'r>,
    buffer: Vec<u8>,
    /// Where in the buffer the next byte is.
    position: usize,
    /// How much of the buffer is filled.
    filled: usize,
    /// The place of the buffer's first byte in the file.
    before: u64,
    digest: Digest<'static, u64, Table<16>>,
    /// How much of the buffer is in the digest.
    hashed: usize,
    /// Where in the buffer the bytes begin that are kept, while any are.
    keep_from: Option<usize>,
    kept: Vec<u8>,
}

impl<'r> Input<'r> {
    pub(super) fn new(source: Box<dyn Read + 'r>) -> Self {
        Self {
            source,
            buffer: vec![0; PIECE],
            position: 0,
            filled: 0,
            before: 0,
            digest: CRC64.digest(),
            hashed: 0,
            keep_from: None,
            kept: Vec::new(),
        }
    }

    /// Returns how many bytes were read of the file.
    pub(super) fn offset(&self) -> u64 {
        self.before + self.position as u64
    }

    /// Returns the error of something that is wrong where the file was read to.
    pub(super) fn broken(&self, problem: Problem) -> Broken {
        Broken { problem, offset: self.offset() }
    }

    /// Returns the checksum of everything that was read.
    pub(super) fn checksum(&mut self) -> u64 {
        self.hash();
        self.digest.clone().finalize()
    }

    /// Begins to keep what is read, in place of what was kept before.
    pub(super) fn keep(&mut self) {
        self.kept.clear();
        self.keep_from = Some(self.position);
    }

    /// Returns what was read since [`Input::keep`], and keeps nothing more.
    pub(super) fn kept(&mut self) -> &[u8] {
        self.save();
        self.keep_from = None;
        &self.kept
    }

    /// Says whether the file ends here.
    pub(super) fn is_at_end(&mut self) -> Result<bool, Broken> {
        Ok(self.position == self.filled && !self.fill()?)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Broken> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let mut array = [0; N];
        // Most are within what is there already.
        if let Some(bytes) = self.buffer.get(self.position..self.filled).and_then(<[u8]>::first_chunk) {
            array = *bytes;
            self.position += N;
            return Ok(array);
        }
        for byte in &mut array {
            if self.is_at_end()? {
                return Err(self.broken(Problem::Truncated));
            }
            *byte = self.buffer.get(self.position).copied().unwrap_or_default();
            self.position += 1;
        }
        Ok(array)
    }

    /// Reads `count` bytes to the end of `target`, which grows only as far as there are bytes.
    pub(super) fn append(&mut self, mut count: u64, target: &mut Vec<u8>) -> Result<(), Broken> {
        while count > 0 {
            let some = self.some(count)?;
            target.extend_from_slice(some);
            count -= some.len() as u64;
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, mut count: u64) -> Result<(), Broken> {
        while count > 0 {
            count -= self.some(count)?.len() as u64;
        }
        Ok(())
    }

    /// Reads at least one byte, and at most `most`.
    fn some(&mut self, most: u64) -> Result<&[u8], Broken> {
        if self.is_at_end()? {
            return Err(self.broken(Problem::Truncated));
        }
        let start = self.position;
        let there = self.filled - start;
        self.position += usize::try_from(most).map_or(there, |most| there.min(most));
        Ok(self.buffer.get(start..self.position).unwrap_or_default())
    }

    /// Reads the next piece, once all of the last one is used; returns false at the end of the file.
    fn fill(&mut self) -> Result<bool, Broken> {
        self.hash();
        self.save();
        self.before += self.filled as u64;
        (self.position, self.filled, self.hashed) = (0, 0, 0);
        if let Some(from) = &mut self.keep_from {
            *from = 0;
        }
        loop {
            match self.source.read(&mut self.buffer) {
                Ok(count) => {
                    self.filled = count;
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let read: Result<(), Error> = Err(error).io_context(|| "cannot read the snapshot".to_owned());
                    return read.map(|()| false).map_err(|error| self.broken(Problem::Unreadable(error)));
                }
            }
        }
    }

    fn hash(&mut self) {
        self.digest.update(self.buffer.get(self.hashed..self.position).unwrap_or_default());
        self.hashed = self.position;
    }

    fn save(&mut self) {
        if let Some(from) = &mut self.keep_from {
            self.kept.extend_from_slice(self.buffer.get(*from..self.position).unwrap_or_default());
            *from = self.position;
        }
    }
}
