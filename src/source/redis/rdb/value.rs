//! Values of an RDB file: every type is read past by its structure (`rdb.h`, `rdb.c`: `rdbLoadObject`).

use super::broken::{Broken, Problem};
use super::input::Input;

/// What ends the fields of a module's value.
const MODULE_END: u64 = 0;

impl Input<'_> {
    /// Reads past a value of the type `kind`; returns the name of what a client sees, such as `hash`.
    pub(super) fn skip_value(&mut self, kind: u8) -> Result<&'static str, Broken> {
        match kind {
            0 => self.skip_string().map(|()| "string"),
            1 | 14 => self.skip_many(1).map(|()| "list"),
            2 => self.skip_many(1).map(|()| "set"),
            // Packed into one string each: a ziplist, an intset, a zipmap, a listpack.
            10 => self.skip_string().map(|()| "list"),
            11 | 20 => self.skip_string().map(|()| "set"),
            12 | 17 => self.skip_string().map(|()| "zset"),
            9 | 13 | 16 => self.skip_string().map(|()| "hash"),
            4 => self.skip_many(2).map(|()| "hash"),
            3 => self.skip_scores_in_words().map(|()| "zset"),
            5 => self.skip_scores().map(|()| "zset"),
            18 => self.skip_nodes().map(|()| "list"),
            15 => self.skip_stream(1).map(|()| "stream"),
            19 => self.skip_stream(2).map(|()| "stream"),
            21 => self.skip_stream(3).map(|()| "stream"),
            7 => {
                self.length()?;
                self.skip_module_fields().map(|()| "module")
            }
            24 => self.skip_expiring_fields().map(|()| "hash"),
            25 => {
                self.skip(8)?;
                self.skip_string().map(|()| "hash")
            }
            other => Err(self.broken(Problem::Unknown(format!("a value of type {other}")))),
        }
    }

    /// Reads past a number, and that many times `each` strings.
    fn skip_many(&mut self, each: u64) -> Result<(), Broken> {
        let count = self.length()?;
        (0..count).try_for_each(|_| self.skip_strings(each))
    }

    /// A sorted set of before Redis 4: scores are written as text, behind a length of which three mean NaN and infinity.
    fn skip_scores_in_words(&mut self) -> Result<(), Broken> {
        for _ in 0..self.length()? {
            self.skip_string()?;
            let length = self.byte()?;
            if length < 253 {
                self.skip(u64::from(length))?;
            }
        }
        Ok(())
    }

    fn skip_scores(&mut self) -> Result<(), Broken> {
        for _ in 0..self.length()? {
            self.skip_string()?;
            self.skip(8)?;
        }
        Ok(())
    }

    /// A list as nodes, each a kind of container and a string.
    fn skip_nodes(&mut self) -> Result<(), Broken> {
        for _ in 0..self.length()? {
            self.length()?;
            self.skip_string()?;
        }
        Ok(())
    }

    /// A hash some of whose fields expire: the earliest moment, then a moment, field and value of each.
    fn skip_expiring_fields(&mut self) -> Result<(), Broken> {
        self.skip(8)?;
        for _ in 0..self.length()? {
            self.length()?;
            self.skip_strings(2)?;
        }
        Ok(())
    }

    /// A stream; its `form` grew by identifiers and counters (2, Redis 7.0) and by when consumers were active (3, 7.2).
    fn skip_stream(&mut self, form: u8) -> Result<(), Broken> {
        // Entries: their first identifier, and a listpack.
        self.skip_many(2)?;
        // How many there are, and the last identifier; since form 2 also the first, the largest deleted, and a counter.
        self.skip_lengths(if form >= 2 { 8 } else { 3 })?;
        for _ in 0..self.length()? {
            self.skip_string()?;
            self.skip_lengths(if form >= 2 { 3 } else { 2 })?;
            // Entries that were delivered: identifier and moment as plain bytes, and how often.
            for _ in 0..self.length()? {
                self.skip(16 + 8)?;
                self.length()?;
            }
            for _ in 0..self.length()? {
                self.skip_string()?;
                self.skip(if form >= 3 { 16 } else { 8 })?;
                let pending = self.length()?;
                self.skip(pending.saturating_mul(16))?;
            }
        }
        Ok(())
    }

    /// The fields of a module's value, each behind a number that says what it is.
    pub(super) fn skip_module_fields(&mut self) -> Result<(), Broken> {
        loop {
            match self.length()? {
                MODULE_END => return Ok(()),
                1 | 2 => self.skip_lengths(1)?,
                3 => self.skip(4)?,
                4 => self.skip(8)?,
                5 => self.skip_string()?,
                other => return Err(self.broken(Problem::Unknown(format!("a module's field of type {other}")))),
            }
        }
    }
}
