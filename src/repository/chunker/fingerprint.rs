//! Rabin fingerprints of a sliding window, and the search for the first one that ends a chunk.
//!
//! The fingerprint of a window is its content, read as one polynomial over GF(2), modulo the chunker polynomial
//! (M. O. Rabin, "Fingerprinting by Random Polynomials", 1981). It depends on nothing before the window. One position
//! follows from the one before by a chain of a table look-up and two operations, which leaves a processor idle most
//! of the time; so the search walks through several places of the data at once.

use super::polynomial::{DEGREE, Polynomial};

/// The size of the window, in bytes.
pub(super) const WINDOW: usize = 64;

/// How many places are searched at once: enough to hide the latency of a look-up, few enough for the registers.
const LANES: usize = 6;

/// Bytes per lane where no cut is near, so that warming up the lanes costs little.
const COARSE: usize = 4096;

/// Bytes per lane in the rest, so that little is left to a single lane.
const FINE: usize = 512;

/// How far a fingerprint is shifted: its highest byte is the highest of the word, so that no mask is needed.
const SHIFT: u32 = u64::BITS - DEGREE;

/// The tables that move the window by one byte.
pub(super) struct Fingerprint {
    /// What the highest byte of a fingerprint adds when it is shifted out of the word.
    reduce: [u64; 256],
    /// What takes the oldest byte of the window out again, after the shift.
    leave: [u64; 256],
}

impl Fingerprint {
    /// Computes the tables.
    pub(super) fn new(polynomial: Polynomial) -> Self {
        let mut tables = Self { reduce: [0; 256], leave: [0; 256] };
        for (byte, (reduce, leave)) in (0..=u8::MAX).zip(tables.reduce.iter_mut().zip(&mut tables.leave)) {
            *reduce = polynomial.remainder(u128::from(byte) << DEGREE) << SHIFT;
            let shift = |value: u64| polynomial.remainder(u128::from(value) << 8);
            *leave = (0..WINDOW).fold(byte.into(), |value, _| shift(value)) << SHIFT;
        }
        tables
    }

    /// Finds the first cut: the smallest `n` above [`WINDOW`] for which the `BITS` lowest bits of the fingerprint of
    /// `data[n - WINDOW..n]` are zero.
    pub(super) fn find<const BITS: u32>(&self, data: &[u8]) -> Option<usize> {
        let coarse = self.skip::<BITS, COARSE>(data);
        let rest = data.get(coarse..)?;
        let fine = self.skip::<BITS, FINE>(rest);
        let found = self.find_one_by_one::<BITS>(rest.get(fine..)?)?;
        Some(coarse + fine + found)
    }

    /// Returns how many bytes can be dropped from the front of `data` without losing a cut.
    fn skip<const BITS: u32, const STRIDE: usize>(&self, data: &[u8]) -> usize {
        let mut skipped = 0;
        while let Some(block) = data.get(skipped..)
            && self.is_clear::<BITS, STRIDE>(block) == Some(true)
        {
            skipped += LANES * STRIDE;
        }
        skipped
    }

    /// Says whether no cut is among the first `LANES * STRIDE` positions of `data`; `None` if it is too short.
    fn is_clear<const BITS: u32, const STRIDE: usize>(&self, data: &[u8]) -> Option<bool> {
        let leaving: &[[u8; STRIDE]; LANES] = lanes(data)?;
        let entering: &[[u8; STRIDE]; LANES] = lanes(data.get(WINDOW..)?)?;
        let mut states = [0; LANES];
        for position in 0..WINDOW {
            for (state, lane) in states.iter_mut().zip(leaving) {
                *state = self.push(*state, lane[position]);
            }
        }
        for position in 0..STRIDE {
            let mut cut = false;
            for ((state, entering), leaving) in states.iter_mut().zip(entering).zip(leaving) {
                *state = self.slide(*state, entering[position], leaving[position]);
                cut |= is_cut::<BITS>(*state);
            }
            if cut {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Does what [`Self::find`] does, with a single lane.
    fn find_one_by_one<const BITS: u32>(&self, data: &[u8]) -> Option<usize> {
        let (window, entering) = data.split_at_checked(WINDOW)?;
        let mut state = window.iter().fold(0, |state, &byte| self.push(state, byte));
        let moved = entering.iter().zip(data).position(|(&entering, &leaving)| {
            state = self.slide(state, entering, leaving);
            is_cut::<BITS>(state)
        })?;
        Some(WINDOW + moved + 1)
    }

    /// Appends a byte to a window that is not full yet.
    #[inline(always)]
    fn push(&self, state: u64, entering: u8) -> u64 {
        (state << 8) ^ self.reduce[(state >> 56) as usize] ^ (u64::from(entering) << SHIFT)
    }

    /// Moves a full window by one byte.
    #[inline(always)]
    fn slide(&self, state: u64, entering: u8, leaving: u8) -> u64 {
        self.push(state, entering) ^ self.leave[usize::from(leaving)]
    }
}

/// Says whether a fingerprint ends a chunk: its `BITS` lowest bits are zero.
#[inline(always)]
fn is_cut<const BITS: u32>(state: u64) -> bool {
    state & (((1 << BITS) - 1) << SHIFT) == 0
}

/// Divides the front of `data` into one piece per lane.
fn lanes<const STRIDE: usize>(data: &[u8]) -> Option<&[[u8; STRIDE]; LANES]> {
    data.as_chunks().0.first_chunk()
}

#[cfg(test)]
mod tests {
    use super::super::tests::noise;
    use super::*;

    /// Computes a fingerprint from its definition.
    fn by_definition(polynomial: Polynomial, window: &[u8]) -> u64 {
        window.iter().fold(0, |value, &byte| polynomial.remainder((u128::from(value) << 8) | u128::from(byte)))
    }

    #[test]
    fn cuts_are_those_of_the_definition() {
        let polynomial = "25b468838dcb75".parse().unwrap();
        let tables = Fingerprint::new(polynomial);
        let data = noise(7, 3000);
        let mut cuts = Vec::new();
        let mut start = 0;
        while let Some(found) = tables.find::<6>(&data[start..]) {
            cuts.push(start + found);
            // The next search begins behind this position.
            start += found - WINDOW;
        }
        let expected = (WINDOW + 1..=data.len())
            .filter(|&end| by_definition(polynomial, &data[end - WINDOW..end]).trailing_zeros() >= 6)
            .collect::<Vec<_>>();
        assert_eq!(cuts, expected);
        assert!(cuts.len() > 20);
    }

    #[test]
    fn lanes_find_what_a_single_lane_finds() {
        let tables = Fingerprint::new("3da3358b4dc173".parse().unwrap());
        // Long enough for every way through coarse and fine blocks.
        let data = noise(11, 3 * LANES * COARSE);
        for start in (0..data.len()).step_by(499) {
            let data = &data[start..];
            assert_eq!(tables.find::<12>(data), tables.find_one_by_one::<12>(data), "from {start}");
            assert_eq!(tables.find::<17>(data), tables.find_one_by_one::<17>(data), "from {start}");
        }
    }

    #[test]
    fn data_that_does_not_exceed_the_window_has_no_cut() {
        let tables = Fingerprint::new("25b468838dcb75".parse().unwrap());
        for len in [0, 1, WINDOW - 1, WINDOW] {
            assert_eq!(tables.find::<20>(&vec![0; len]), None);
        }
        assert_eq!(tables.find::<20>(&[0; WINDOW + 1]), Some(WINDOW + 1));
    }
}
