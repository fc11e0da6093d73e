//! A large buffer over a stream, with a look ahead.

use crate::cancel::Cancel;
use crate::error::{IoContext, Result};
use std::io::{ErrorKind, Read};

const BUFFER: usize = 512 * 1024;

/// The bytes of a dump, read in large pieces.
pub(super) struct Input<'r> {
    reader: &'r mut dyn Read,
    cancel: &'r Cancel,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    has_ended: bool,
    passed: u64,
}

impl<'r> Input<'r> {
    pub(super) fn new(reader: &'r mut dyn Read, cancel: &'r Cancel) -> Self {
        Self { reader, cancel, buffer: vec![0; BUFFER], from: 0, to: 0, has_ended: false, passed: 0 }
    }

    /// Returns how many bytes were consumed.
    pub(super) fn offset(&self) -> u64 {
        self.passed + self.from as u64
    }

    /// Returns what is in the buffer; it may be empty before the end.
    pub(super) fn buffered(&self) -> &[u8] {
        self.buffer.get(self.from..self.to).unwrap_or_default()
    }

    /// Passes over `count` bytes of what is in the buffer.
    pub(super) fn consume(&mut self, count: usize) {
        self.from = (self.from + count).min(self.to);
    }

    /// Returns at least `count` bytes, or all that are left; `count` is far less than the buffer holds.
    ///
    /// # Errors
    /// The stream's own; a cancellation.
    pub(super) fn ahead(&mut self, count: usize) -> Result<&[u8]> {
        while self.to - self.from < count && !self.has_ended {
            self.fill()?;
        }
        Ok(self.buffered())
    }

    /// Reads more; returns false at the end of the stream.
    ///
    /// # Errors
    /// As [`Input::ahead`].
    pub(super) fn fill(&mut self) -> Result<bool> {
        self.cancel.check()?;
        if self.from > 0 {
            self.buffer.copy_within(self.from..self.to, 0);
            self.passed += self.from as u64;
            (self.from, self.to) = (0, self.to - self.from);
        }
        while !self.has_ended {
            match self.reader.read(self.buffer.get_mut(self.to..).unwrap_or_default()) {
                Ok(0) => self.has_ended = true,
                Ok(count) => {
                    self.to += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).io_context(|| "cannot read the snapshot".to_owned()),
            }
        }
        Ok(false)
    }
}
