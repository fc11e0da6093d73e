//! Reading an archive from its start to its end, once, in large pieces.

use crate::cancel::Cancel;
use crate::error::{Error, IoContext};
use std::io::{ErrorKind, Read};

/// How much is read at once.
const BUFFER: usize = 1 << 20;
/// The longest text that is kept: names have at most a few hundred bytes, definitions of views can be long.
const LONGEST_TEXT: usize = 64 << 20;

/// Why an archive could not be read to its end.
#[derive(Debug)]
pub(in crate::source::postgres) enum Failure {
    /// What is wrong with its bytes.
    Content(String),
    /// They could not be had, or the run was cancelled.
    Read(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Read(error)
    }
}

/// Says what is wrong with the bytes of an archive.
pub(super) fn wrong<T>(what: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Content(what.into()))
}

/// The bytes of one file.
pub(super) struct Input<'a> {
    stream: &'a mut dyn Read,
    cancel: &'a Cancel,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// How many bytes were taken so far.
    position: u64,
    /// The size of an integer in bytes, which the head of an archive tells.
    pub int_size: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(stream: &'a mut dyn Read, cancel: &'a Cancel) -> Self {
        Self { stream, cancel, buffer: vec![0; BUFFER], start: 0, end: 0, position: 0, int_size: 4 }
    }

    /// Returns how many bytes were taken so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Returns what is at hand, reading more only if nothing is; empty at the end.
    pub(super) fn at_hand(&mut self) -> Result<&[u8], Failure> {
        while self.start == self.end {
            self.cancel.check()?;
            match self.stream.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => (self.start, self.end) = (0, count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => Err(error).io_context(|| "cannot read the snapshot".to_owned())?,
            }
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    /// Takes so many bytes of what is at hand.
    pub(super) fn take(&mut self, count: usize) {
        self.start += count;
        self.position += count as u64;
    }

    /// Takes the next byte; `None` at the end.
    pub(super) fn next_byte(&mut self) -> Result<Option<u8>, Failure> {
        let byte = self.at_hand()?.first().copied();
        if byte.is_some() {
            self.take(1);
        }
        Ok(byte)
    }

    /// Takes a byte that must be there.
    pub(super) fn byte(&mut self) -> Result<u8, Failure> {
        match self.next_byte()? {
            Some(byte) => Ok(byte),
            None => self.truncated(),
        }
    }

    /// Takes an integer: a byte for its sign, then its value, lowest byte first.
    #[inline]
    pub(super) fn int(&mut self) -> Result<i64, Failure> {
        let size = self.int_size;
        // Nearly always all of it is at hand.
        let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
        if let Some((&sign, rest)) = bytes.split_first()
            && let Some(digits) = rest.get(..size)
        {
            let value = digits.iter().rev().fold(0, |value, &digit| value << 8 | i64::from(digit));
            self.take(1 + size);
            return Ok(if sign == 0 { value } else { -value });
        }
        let sign = self.byte()?;
        let mut value = 0;
        for place in 0..size {
            value |= i64::from(self.byte()?) << (8 * place);
        }
        Ok(if sign == 0 { value } else { -value })
    }

    /// Takes the length of a text; `None` for a text that is not there.
    pub(super) fn length(&mut self) -> Result<Option<u64>, Failure> {
        // A text that is not there has the length -1.
        Ok(u64::try_from(self.int()?).ok())
    }

    /// Takes a text; `None` if it is not there.
    pub(super) fn text(&mut self) -> Result<Option<String>, Failure> {
        let Some(length) = self.length()? else { return Ok(None) };
        let Some(capacity) = usize::try_from(length).ok().filter(|length| *length <= LONGEST_TEXT) else {
            return wrong(format!("a text of {length} bytes at byte {}", self.position));
        };
        let mut bytes = Vec::with_capacity(capacity.min(BUFFER));
        self.each(length, |slice| bytes.extend_from_slice(slice))?;
        // Texts have the encoding of the database, which may be another; they are for messages then.
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Passes over a text.
    pub(super) fn skip_text(&mut self) -> Result<(), Failure> {
        let length = self.length()?.unwrap_or(0);
        self.each(length, |_| ())
    }

    /// Passes over so many bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), Failure> {
        self.each(count, |_| ())
    }

    /// Takes so many bytes, in slices.
    #[inline]
    pub(super) fn each(&mut self, count: u64, mut sink: impl FnMut(&[u8])) -> Result<(), Failure> {
        let mut left = count;
        while left > 0 {
            let at_hand = self.at_hand()?;
            if at_hand.is_empty() {
                return self.truncated();
            }
            let slice = at_hand.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(at_hand);
            let taken = slice.len();
            sink(slice);
            self.take(taken);
            left -= taken as u64;
        }
        Ok(())
    }

    fn truncated<T>(&self) -> Result<T, Failure> {
        wrong(format!("it ends at byte {}, in the middle", self.position))
    }
}
