//! Positions in the log, and the names of its segments.

use std::fmt;

/// A position in the log (`pg_lsn`), in bytes from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::source::postgres) struct Lsn(pub u64);

impl Lsn {
    /// Reads a position as the server writes it, such as `0/2000028`.
    pub fn parse(text: &str) -> Option<Self> {
        let (high, low) = text.trim().split_once('/')?;
        let half = |text: &str| u32::from_str_radix(text, 16).ok();
        Some(Self(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & u64::from(u32::MAX))
    }
}

/// The name of a segment: timeline, and the position of its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source::postgres) struct SegmentName {
    /// The timeline that it was written on.
    pub timeline: u32,
    high: u32,
    /// Which segment of those that share the upper half of a position.
    low: u32,
}

impl SegmentName {
    /// Returns the segment that holds the byte at `position`; `size` is that of segments, in bytes.
    pub fn of(timeline: u32, position: Lsn, size: u32) -> Self {
        let half = |value: u64| u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0);
        Self { timeline, high: half(position.0 >> 32), low: half(position.0) / size.max(1) }
    }

    /// Reads a name of 24 hexadecimal digits; others, such as `00000002.history`, are not segments.
    pub fn parse(name: &str) -> Option<Self> {
        if name.len() != 24 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let part = |range| name.get(range).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        Some(Self { timeline: part(0..8)?, high: part(8..16)?, low: part(16..24)? })
    }

    /// Returns the position of the first byte of the segment.
    pub fn start(self, size: u32) -> Lsn {
        Lsn((u64::from(self.high) << 32).saturating_add(u64::from(self.low).saturating_mul(u64::from(size))))
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline, self.high, self.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_names_are_read_as_they_are_written() {
        let position = Lsn::parse("1A/2000028").unwrap();
        assert_eq!((position.0, position.to_string().as_str()), (0x1A_0200_0028, "1A/2000028"));
        assert_eq!(Lsn::parse("2000028"), None);
        const SIZE: u32 = 16 << 20;
        let name = SegmentName::of(3, position, SIZE);
        assert_eq!(name.to_string(), "000000030000001A00000002");
        assert_eq!(SegmentName::parse("000000030000001A00000002"), Some(name));
        assert_eq!(name.start(SIZE), Lsn(0x1A_0200_0000));
        assert_eq!(SegmentName::of(1, Lsn(0x1A_0200_0028), 1 << 20).to_string(), "000000010000001A00000020");
        for no in ["00000002.history", "000000030000001A00000002.partial", "00000003000000Z", ""] {
            assert_eq!(SegmentName::parse(no), None, "{no}");
        }
    }
}
