//! Lengths and strings of an RDB file (`rdb.c`: `rdbLoadLenByRef`, `rdbGenericLoadStringObject`).

use super::broken::{Broken, Problem};
use super::input::Input;

/// A length, or how a string is encoded where a length would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Length {
    Plain(u64),
    Encoded(u8),
}

/// Encodings of strings: integers of 8, 16 and 32 bits, and LZF.
const INT8: u8 = 0;
const INT16: u8 = 1;
const INT32: u8 = 2;
const LZF: u8 = 3;

impl Input<'_> {
    fn any_length(&mut self) -> Result<Length, Broken> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match (first >> 6, first) {
            (0, _) => Length::Plain(u64::from(low)),
            (1, _) => Length::Plain(u64::from(low) << 8 | u64::from(self.byte()?)),
            (2, 0x80) => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            (2, 0x81) => Length::Plain(u64::from_be_bytes(self.array()?)),
            (2, _) => return Err(self.broken(Problem::Malformed(format!("{first:#04x} begins no length")))),
            _ => Length::Encoded(low),
        })
    }

    /// Reads a length or another number.
    pub(super) fn length(&mut self) -> Result<u64, Broken> {
        match self.any_length()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => Err(self.broken(Problem::Malformed("a string is where a number must be".to_owned()))),
        }
    }

    /// Reads past `count` numbers.
    pub(super) fn skip_lengths(&mut self, count: u64) -> Result<(), Broken> {
        (0..count).try_for_each(|_| self.length().map(drop))
    }

    /// Reads past a string.
    pub(super) fn skip_string(&mut self) -> Result<(), Broken> {
        match self.any_length()? {
            Length::Plain(length) => self.skip(length),
            Length::Encoded(INT8) => self.skip(1),
            Length::Encoded(INT16) => self.skip(2),
            Length::Encoded(INT32) => self.skip(4),
            Length::Encoded(LZF) => {
                let packed = self.length()?;
                self.length()?;
                self.skip(packed)
            }
            Length::Encoded(other) => Err(self.broken(Problem::Unknown(format!("a string of encoding {other}")))),
        }
    }

    /// Reads past `count` strings.
    pub(super) fn skip_strings(&mut self, count: u64) -> Result<(), Broken> {
        (0..count).try_for_each(|_| self.skip_string())
    }

    /// Reads a string into `target`, in place of what it held.
    pub(super) fn string(&mut self, target: &mut Vec<u8>) -> Result<(), Broken> {
        target.clear();
        let number = match self.any_length()? {
            Length::Plain(length) => return self.append(length, target),
            Length::Encoded(INT8) => i32::from(i8::from_le_bytes(self.array()?)),
            Length::Encoded(INT16) => i32::from(i16::from_le_bytes(self.array()?)),
            Length::Encoded(INT32) => i32::from_le_bytes(self.array()?),
            Length::Encoded(LZF) => {
                let (packed_length, length) = (self.length()?, self.length()?);
                let mut packed = Vec::new();
                self.append(packed_length, &mut packed)?;
                return unpack(&packed, length, target).ok_or_else(|| {
                    self.broken(Problem::Malformed("a compressed string cannot be decompressed".to_owned()))
                });
            }
            Length::Encoded(other) => {
                return Err(self.broken(Problem::Unknown(format!("a string of encoding {other}"))));
            }
        };
        target.extend_from_slice(number.to_string().as_bytes());
        Ok(())
    }
}

/// Decompresses LZF (`lzf_d.c`): runs of up to 32 literal bytes, and references of at least 3 bytes into what is there.
/// Returns `None` if that is not what `packed` is, or the result is not of `length`.
fn unpack(packed: &[u8], length: u64, target: &mut Vec<u8>) -> Option<()> {
    let mut bytes = packed.iter().copied();
    while let Some(control) = bytes.next() {
        if control < 32 {
            for _ in 0..=control {
                target.push(bytes.next()?);
            }
        } else {
            let mut count = usize::from(control >> 5);
            if count == 7 {
                count += usize::from(bytes.next()?);
            }
            let back = (usize::from(control & 0x1f) << 8) + usize::from(bytes.next()?) + 1;
            let start = target.len().checked_sub(back)?;
            // Byte by byte: what is copied may overlap what is written.
            for at in start..start + count + 2 {
                target.push(*target.get(at)?);
            }
        }
        if target.len() as u64 > length {
            return None;
        }
    }
    (target.len() as u64 == length).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> Result<Vec<u8>, Broken> {
        let mut text = Vec::new();
        Input::new(Box::new(bytes)).string(&mut text)?;
        Input::new(Box::new(bytes)).skip_string()?;
        Ok(text)
    }

    #[test]
    fn strings_of_every_encoding_are_read() {
        assert_eq!(string(b"\x03abc").unwrap(), b"abc");
        assert_eq!(string(b"\x40\x03abc").unwrap(), b"abc");
        assert_eq!(string(b"\x80\0\0\0\x03abc").unwrap(), b"abc");
        assert_eq!(string(b"\x81\0\0\0\0\0\0\0\x03abc").unwrap(), b"abc");
        assert_eq!(string(b"\xc0\xff").unwrap(), b"-1");
        assert_eq!(string(b"\xc1\x00\x80").unwrap(), b"-32768");
        assert_eq!(string(b"\xc2\xff\xff\xff\x7f").unwrap(), b"2147483647");
        // One literal, then nine bytes from one byte back.
        assert_eq!(string(b"\xc3\x05\x0a\x00a\xe0\x00\x00").unwrap(), b"a".repeat(10));
    }

    #[test]
    fn what_is_no_string_is_told() {
        assert!(matches!(string(b"\x03ab").unwrap_err().problem, Problem::Truncated));
        assert!(matches!(string(b"\x81\xff\xff\xff\xff\xff\xff\xff\xffx").unwrap_err().problem, Problem::Truncated));
        assert!(matches!(string(b"\x82").unwrap_err().problem, Problem::Malformed(_)));
        assert!(matches!(string(b"\xc4").unwrap_err().problem, Problem::Unknown(_)));
        assert!(matches!(string(b"\xc3\x05\x0b\x00a\xe0\x00\x00").unwrap_err().problem, Problem::Malformed(_)));
        assert!(matches!(string(b"\xc3\x03\x0b\xe0\x00\x00").unwrap_err().problem, Problem::Malformed(_)));
    }
}
