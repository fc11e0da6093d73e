//! Reads a stream and yields its chunks.

use std::io::{self, Read};
use std::mem;

use super::{Chunker, MAX_SIZE};

/// How much is read between two looks for a cut, in bytes. What is read beyond a cut is copied once.
const STEP: usize = 256 << 10;

/// Cuts a stream into chunks. It holds at most 256 KiB of what it has read, besides the buffer of the caller.
pub struct ChunkReader<'a, R> {
    chunker: &'a Chunker,
    reader: R,
    /// What was read beyond the last cut.
    ahead: Vec<u8>,
    /// How much memory to reserve for the next read, in bytes.
    reserve: usize,
    ended: bool,
}

impl<'a, R: Read> ChunkReader<'a, R> {
    /// Cuts what `reader` yields, from now to its end. It needs no buffer of its own.
    pub fn new(chunker: &'a Chunker, reader: R) -> Self {
        Self { chunker, reader, ahead: Vec::new(), reserve: STEP, ended: false }
    }

    /// Says how many bytes are expected, so that a small stream takes little memory. A wrong number does no harm.
    #[must_use]
    pub fn expecting(mut self, bytes: u64) -> Self {
        self.reserve = usize::try_from(bytes).map_or(STEP, |bytes| bytes.min(STEP));
        self
    }

    /// Replaces the content of `chunk`, whose memory is used again, by the next chunk.
    ///
    /// Returns false at the end of the stream, with `chunk` empty. An empty stream has no chunks; no chunk is empty.
    ///
    /// # Errors
    /// Those of the reader but [`io::ErrorKind::Interrupted`], which is tried again. `chunk` is then empty, and what
    /// was read is kept: a further call goes on reading, and nothing is left out.
    pub fn next_chunk(&mut self, chunk: &mut Vec<u8>) -> io::Result<bool> {
        chunk.clear();
        chunk.append(&mut self.ahead);
        let length = match self.fill(chunk) {
            Ok(length) => length,
            Err(error) => {
                mem::swap(chunk, &mut self.ahead);
                return Err(error);
            }
        };
        self.ahead.extend(chunk.drain(length..));
        Ok(length > 0)
    }

    /// Reads on until `chunk` holds a whole chunk, and returns its length.
    fn fill(&mut self, chunk: &mut Vec<u8>) -> io::Result<usize> {
        let mut scanned = 0;
        loop {
            if let Some(length) = self.chunker.find_cut(chunk, scanned) {
                return Ok(length);
            }
            if self.ended {
                return Ok(chunk.len());
            }
            scanned = chunk.len();
            self.read_step(chunk)?;
        }
    }

    /// Appends up to [`STEP`] bytes to `chunk`, fewer only at the end of the stream or of the largest chunk.
    fn read_step(&mut self, chunk: &mut Vec<u8>) -> io::Result<()> {
        let wanted = STEP.min(MAX_SIZE.saturating_sub(chunk.len()));
        chunk.reserve(wanted.min(mem::replace(&mut self.reserve, STEP)));
        let read = self.reader.by_ref().take(wanted as u64).read_to_end(chunk)?;
        self.ended = read < wanted;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use proptest::prelude::*;

    use super::super::MIN_SIZE;
    use super::super::tests::{GOLDEN, noise, sample};
    use super::*;

    fn chunker() -> Chunker {
        Chunker::new("25b468838dcb75".parse().unwrap())
    }

    fn chunks(chunker: &Chunker, reader: impl Read) -> Vec<Vec<u8>> {
        let mut reader = ChunkReader::new(chunker, reader);
        let mut chunk = Vec::new();
        let mut chunks = Vec::new();
        while reader.next_chunk(&mut chunk).unwrap() {
            chunks.push(chunk.clone());
        }
        assert!(chunk.is_empty());
        assert!(!reader.next_chunk(&mut chunk).unwrap());
        chunks
    }

    /// Yields pieces of the given sizes in turn, each after an interruption; fails once at `failure`.
    struct Pieces<'a> {
        data: &'a [u8],
        sizes: std::iter::Cycle<std::slice::Iter<'a, usize>>,
        interrupt: bool,
        failure: Option<usize>,
    }

    impl Read for Pieces<'_> {
        fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
            self.interrupt = !self.interrupt;
            if self.interrupt {
                return Err(Error::from(ErrorKind::Interrupted));
            }
            if self.failure.is_some_and(|left| self.data.len() <= left) {
                self.failure = None;
                return Err(Error::from(ErrorKind::ConnectionReset));
            }
            let size = self.sizes.next().copied().unwrap_or(1).min(target.len());
            self.data.read(&mut target[..size])
        }
    }

    #[test]
    fn a_stream_is_cut_as_restic_cuts_it() {
        let data = sample();
        for (polynomial, expected) in GOLDEN {
            let chunks = chunks(&Chunker::new(polynomial.parse().unwrap()), data.as_slice());
            assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), expected);
            assert!(chunks.concat() == data);
        }
    }

    #[test]
    fn the_end_of_a_stream_makes_no_empty_chunk() {
        let chunker = chunker();
        for (len, expected) in [
            (0, vec![]),
            (1, vec![1]),
            (MIN_SIZE, vec![MIN_SIZE]),
            (MIN_SIZE + 1, vec![MIN_SIZE, 1]),
            (2 * MIN_SIZE, vec![MIN_SIZE; 2]),
        ] {
            let lengths = chunks(&chunker, io::repeat(0).take(len as u64)).iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!(lengths, expected);
        }
        let largest = chunks(&chunker, io::repeat(1).take(2 * MAX_SIZE as u64));
        assert_eq!(largest.iter().map(Vec::len).collect::<Vec<_>>(), [MAX_SIZE; 2]);
    }

    #[test]
    fn a_small_stream_takes_little_memory() {
        let chunker = chunker();
        let mut chunk = Vec::new();
        let mut reader = ChunkReader::new(&chunker, io::repeat(7).take(1000)).expecting(1000);
        assert!(reader.next_chunk(&mut chunk).unwrap());
        assert_eq!(chunk, [7; 1000]);
        assert!(chunk.capacity() < 4096);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

        #[test]
        fn the_sizes_of_reads_change_nothing(
            seed in 1..u64::MAX,
            len in 0usize..5 << 20,
            sizes in proptest::collection::vec(1usize..100_000, 1..10),
            failure in 0usize..5 << 20,
            expected in 0u64..10 << 20,
        ) {
            let chunker = chunker();
            let data = noise(seed, len);
            let whole = chunks(&chunker, data.as_slice());
            let pieces = Pieces { data: &data, sizes: sizes.iter().cycle(), interrupt: false, failure: Some(failure) };
            let mut reader = ChunkReader::new(&chunker, pieces).expecting(expected);
            let mut chunk = Vec::new();
            let mut failures = 0;
            let mut found = Vec::new();
            loop {
                match reader.next_chunk(&mut chunk) {
                    Ok(true) => found.push(chunk.clone()),
                    Ok(false) => break,
                    Err(error) => {
                        prop_assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                        prop_assert!(chunk.is_empty());
                        failures += 1;
                    }
                }
            }
            // The reader fails once, when as many bytes are left; it does not when there never were as many.
            prop_assert!(failures <= 1);
            prop_assert!(found == whole);
        }
    }
}
