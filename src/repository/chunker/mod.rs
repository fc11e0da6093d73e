//! Content-defined chunking: where a stream is cut depends on the bytes around the cut, so that equal data gives
//! equal chunks wherever it stands.
//!
//! The cuts are exactly those of restic for the same polynomial (<https://github.com/restic/chunker>, `chunker.go`): a
//! chunk ends behind the first 64 bytes whose Rabin fingerprint has 20 zero bits at its low end, but is never smaller
//! than [`MIN_SIZE`] nor larger than [`MAX_SIZE`]. What is left at the end of the stream is the last chunk.

mod fingerprint;
mod polynomial;
mod reader;

pub use polynomial::Polynomial;
pub use reader::ChunkReader;

use fingerprint::{Fingerprint, WINDOW};

/// The size of the smallest chunk in bytes; only the last one of a stream may be smaller.
pub const MIN_SIZE: usize = 512 << 10;

/// The size of the largest chunk, in bytes.
pub const MAX_SIZE: usize = 8 << 20;

/// How many bits of a fingerprint must be zero: a cut every 1 MiB beyond the smallest size, on average.
const CUT_BITS: u32 = 20;

/// Finds the cuts for one polynomial. It holds only tables, so that one serves all threads and streams.
pub struct Chunker {
    fingerprint: Fingerprint,
}

impl Chunker {
    /// Prepares the tables for a repository's polynomial.
    pub fn new(polynomial: Polynomial) -> Self {
        Self { fingerprint: Fingerprint::new(polynomial) }
    }

    /// Returns the length in bytes of the first chunk of `data`, which begins where a chunk begins.
    ///
    /// `None` means that no chunk ends within `data`: look again with more of the stream, or take all of it as the
    /// last chunk if the stream has ended. `scanned` is the length for which that was said already, so that these
    /// bytes are not searched again; 0 at first.
    pub fn find_cut(&self, data: &[u8], scanned: usize) -> Option<usize> {
        let data = data.get(..MAX_SIZE).unwrap_or(data);
        let start = scanned.max(MIN_SIZE - 1) - WINDOW;
        let cut = data.get(start..).and_then(|data| self.fingerprint.find::<CUT_BITS>(data));
        cut.map(|length| start + length).or((data.len() == MAX_SIZE).then_some(MAX_SIZE))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustic_cdc::{Rabin64, RollingHash64};

    use super::*;

    /// Returns `len` bytes without pattern: the generator "xorshift64" (13, 7, 17), little-endian.
    pub(super) fn noise(mut state: u64, len: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        words.flatten().take(len).collect()
    }

    /// Returns a stream with every kind of cut: by fingerprint, at the smallest and at the largest size, at the end.
    pub(super) fn sample() -> Vec<u8> {
        let mut data = noise(1, 16_000_000);
        data.resize(data.len() + 3_000_000, 0);
        data.resize(data.len() + 9_000_001, 1);
        data.extend(noise(2, 5_000_003));
        data
    }

    /// A polynomial that restic 0.14 made, and the lengths of the blobs that it stored [`sample`] as.
    pub(super) const GOLDEN: [(&str, &[usize]); 2] = [
        (
            "25eafb472f06d5",
            &[
                1033456, 3008390, 704695, 1321880, 1583368, 2807530, 968090, 1075461, 2032986, 1385577, 524288, 524288,
                524288, 524288, 524288, 8388608, 1658176, 1098032, 3312315,
            ],
        ),
        (
            "2531816f037563",
            &[
                1659134, 2191607, 561201, 1305338, 741096, 1634937, 2808452, 2554600, 699958, 536214, 742203, 565324,
                524288, 524288, 524288, 524288, 524288, 8388608, 2092506, 3897386,
            ],
        ),
    ];

    fn lengths(chunker: &Chunker, mut data: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while !data.is_empty() {
            let length = chunker.find_cut(data, 0).unwrap_or(data.len());
            lengths.push(length);
            data = &data[length..];
        }
        lengths
    }

    /// Cuts one chunk as restic does, byte by byte, with the rolling hash of `rustic_cdc`.
    fn oracle(polynomial: &str, data: &[u8]) -> Option<usize> {
        let polynomial = u64::from_str_radix(polynomial, 16).unwrap();
        let mut hash = Rabin64::new_with_polynom(6, &polynomial);
        hash.slide(1);
        let skipped = MIN_SIZE - 64;
        (skipped..data.len()).map(|position| (position + 1, data[position])).find_map(|(length, byte)| {
            hash.slide(byte);
            let cut = hash.hash & ((1 << 20) - 1) == 0 && length >= MIN_SIZE;
            (cut || length == MAX_SIZE).then_some(length)
        })
    }

    #[test]
    fn chunks_are_those_of_restic() {
        let data = sample();
        for (polynomial, expected) in GOLDEN {
            assert_eq!(lengths(&Chunker::new(polynomial.parse().unwrap()), &data), expected);
        }
    }

    #[test]
    fn sizes_stay_within_their_limits() {
        let chunker = Chunker::new("25b468838dcb75".parse().unwrap());
        assert_eq!(chunker.find_cut(&[], 0), None);
        assert_eq!(chunker.find_cut(&vec![0; MIN_SIZE - 1], 0), None);
        assert_eq!(chunker.find_cut(&vec![0; MIN_SIZE], 0), Some(MIN_SIZE));
        assert_eq!(chunker.find_cut(&vec![0; 2 * MIN_SIZE], 0), Some(MIN_SIZE));
        assert_eq!(chunker.find_cut(&vec![1; MAX_SIZE - 1], 0), None);
        assert_eq!(chunker.find_cut(&vec![1; MAX_SIZE], MAX_SIZE - 1), Some(MAX_SIZE));
        assert_eq!(chunker.find_cut(&vec![1; MAX_SIZE + 1], 0), Some(MAX_SIZE));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

        #[test]
        fn cuts_are_those_of_another_implementation(
            golden in 0..GOLDEN.len(),
            seed in 1..u64::MAX,
            len in 0usize..3 << 20,
            run in (0usize..2 << 20, 0usize..1 << 20, 0u8..2),
            step in 1usize..400_000,
        ) {
            let mut data = noise(seed, len);
            let (at, run_len, byte) = run;
            data.iter_mut().skip(at).take(run_len).for_each(|target| *target = byte);
            let polynomial = GOLDEN[golden].0;
            let chunker = Chunker::new(polynomial.parse().unwrap());
            let expected = oracle(polynomial, &data);
            prop_assert_eq!(chunker.find_cut(&data, 0), expected);

            // The same data, as it grows.
            let mut scanned = 0;
            let found = loop {
                let seen = (scanned + step).min(data.len());
                let found = chunker.find_cut(&data[..seen], scanned);
                if found.is_some() || seen == data.len() {
                    break found;
                }
                scanned = seen;
            };
            prop_assert_eq!(found, expected);
        }
    }
}
