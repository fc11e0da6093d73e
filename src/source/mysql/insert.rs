//! `INSERT` statements: the bulk of a dump, passed over at the speed of memory.

use super::lexer::{Fault, LONGEST, Lexer, starts_with_word};
use super::values::KeptRows;
use memchr::{memchr, memchr2, memchr3};

impl Lexer<'_> {
    /// Reads the beginning of an `INSERT` up to and with `VALUES`.
    pub(super) fn insert_head(&mut self) -> Result<(), Fault> {
        loop {
            let ahead = self.input.ahead(LONGEST)?;
            let Some(&byte) = ahead.first() else { return Err(self.cut_off()) };
            let follows_space = self.text.last().is_none_or(|last| last.is_ascii_whitespace() || *last == b')');
            if follows_space && starts_with_word(ahead, b"VALUES") {
                self.input.consume(b"VALUES".len());
                return Ok(());
            }
            match byte {
                b'`' | b'"' => self.quoted(byte)?,
                b';' => return Err(self.broken("rows were expected")),
                other => self.keep_one(other),
            }
        }
    }

    /// Counts the rows of an `INSERT` and passes over its end; keeps their text if that is wanted.
    pub(super) fn rows(&mut self, mut keep: Option<&mut KeptRows>) -> Result<u64, Fault> {
        let mut count = 0;
        loop {
            match self.next_byte()? {
                Some(b'(') => self.row(&mut keep)?,
                None => return Err(self.cut_off()),
                Some(_) => return Err(self.broken("a row was expected")),
            }
            count += 1;
            match self.next_byte()? {
                Some(b',') => {}
                Some(b';') => return Ok(count),
                None => return Err(self.cut_off()),
                Some(_) => return Err(self.broken("the end of a row was expected")),
            }
        }
    }

    /// Passes over one row, whose first parenthesis is consumed.
    fn row(&mut self, keep: &mut Option<&mut KeptRows>) -> Result<(), Fault> {
        if let Some(keep) = keep {
            keep.take(b"(");
        }
        let mut depth = 1_u32;
        let mut in_text = false;
        loop {
            let rest = self.input.buffered();
            let found = match in_text {
                true if self.backslash_is_plain => memchr(b'\'', rest),
                true => memchr2(b'\'', b'\\', rest),
                false => memchr3(b'\'', b'(', b')', rest),
            };
            let (length, byte) = match found {
                Some(at) => (at + 1, rest.get(at).copied()),
                None => (rest.len(), None),
            };
            if let Some(keep) = keep {
                keep.take(rest.get(..length).unwrap_or_default());
            }
            self.input.consume(length);
            match (byte, in_text) {
                (Some(b'\''), _) => in_text = !in_text,
                (Some(b'\\'), _) => {
                    let Some(&next) = self.input.ahead(1)?.first() else { return Err(self.cut_off()) };
                    if let Some(keep) = keep {
                        keep.take(&[next]);
                    }
                    self.input.consume(1);
                }
                (Some(b'('), _) => depth += 1,
                (Some(_), _) => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                (None, _) => {
                    if !self.input.fill()? {
                        return Err(self.cut_off());
                    }
                }
            }
        }
    }

    /// Consumes white space and one byte more, which is returned.
    fn next_byte(&mut self) -> Result<Option<u8>, Fault> {
        loop {
            let Some(&byte) = self.input.ahead(1)?.first() else { return Ok(None) };
            self.input.consume(1);
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
        }
    }
}
