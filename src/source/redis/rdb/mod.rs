//! Redis's RDB format: read as a stream, item by item, without building what it describes.
//!
//! The format is that of `rdb.h` and `rdb.c` of Redis up to RDB version 12 (Redis 7.4 and 8.0; Valkey up to 8 writes 11).

mod broken;
mod input;
mod text;
mod value;

pub(super) use broken::{Broken, Problem};
pub(super) use input::CRC64;
use input::Input;
use std::io::Read;

/// The oldest version that has a checksum (Redis 2.6), and the newest whose types are all known here.
const VERSIONS: std::ops::RangeInclusive<u16> = 5..=12;

/// What stands where a type would be.
mod opcode {
    pub(super) const SLOT: u8 = 244;
    pub(super) const FUNCTION: u8 = 245;
    pub(super) const MODULE: u8 = 247;
    pub(super) const IDLE: u8 = 248;
    pub(super) const FREQUENCY: u8 = 249;
    pub(super) const FACT: u8 = 250;
    pub(super) const SIZES: u8 = 251;
    pub(super) const EXPIRES_MS: u8 = 252;
    pub(super) const EXPIRES: u8 = 253;
    pub(super) const DATABASE: u8 = 254;
    pub(super) const END: u8 = 255;
}

/// What an RDB file holds, one after another.
#[derive(Debug)]
pub(super) enum Item<'p> {
    /// Something that the server says of itself or of the file, such as `redis-ver`.
    Fact { name: String, value: String },
    /// The source text of a library of functions.
    Function(&'p [u8]),
    /// What a module keeps beside the keys.
    ModuleData,
    /// A key with its value.
    Key(Key<'p>),
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Key<'p> {
    /// The number of its database.
    pub database: u64,
    /// What a client sees, such as `hash`.
    pub kind: &'static str,
    /// The type as the file has it.
    pub type_byte: u8,
    /// When it expires, in milliseconds since 1970.
    pub expires_at: Option<u64>,
    /// Its name.
    pub name: &'p [u8],
    /// Its value as the file has it; empty unless contents are kept.
    pub value: &'p [u8],
}

/// How a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    /// With the checksum of its bytes.
    Sound,
    /// Without one: the server was told not to write it (`rdbchecksum no`).
    WithoutChecksum,
}

/// Reads an RDB file.
pub(super) struct Parser<'r> {
    input: Input<'r>,
    version: u16,
    database: u64,
    keeps_contents: bool,
    checked: Option<Checked>,
    /// The name of the last key, or the text of the last function.
    text: Vec<u8>,
}

impl<'r> Parser<'r> {
    /// Begins to read a file; `keeps_contents` says whether the values of keys are wanted.
    ///
    /// # Errors
    /// It is no RDB file, or of a version that is not known.
    pub(super) fn start(source: Box<dyn Read + 'r>, keeps_contents: bool) -> Result<Self, Broken> {
        let mut input = Input::new(source);
        let header: [u8; 9] = input.array()?;
        let digits = header.strip_prefix(b"REDIS").and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(version) = digits.and_then(|digits| digits.parse().ok()) else {
            return Err(input.broken(Problem::Malformed("it does not begin as an RDB file does".to_owned())));
        };
        if !VERSIONS.contains(&version) {
            return Err(input.broken(Problem::Unknown(format!("version {version}"))));
        }
        Ok(Self { input, version, database: 0, keeps_contents, checked: None, text: Vec::new() })
    }

    /// Returns the version of the format.
    pub(super) fn version(&self) -> u16 {
        self.version
    }

    /// Returns how the file ended, once [`Parser::next`] returned `None`.
    pub(super) fn checked(&self) -> Option<Checked> {
        self.checked
    }

    /// Returns the next item; `None` after the last, when the end of the file was found where it should be, and its
    /// checksum was that of its bytes.
    ///
    /// # Errors
    /// What is wrong with the file, and where.
    pub(super) fn next(&mut self) -> Result<Option<Item<'_>>, Broken> {
        let mut expires_at = None;
        loop {
            let type_byte = self.input.byte()?;
            match type_byte {
                opcode::END => return self.end().map(|()| None),
                opcode::DATABASE => self.database = self.input.length()?,
                opcode::SIZES => self.input.skip_lengths(2)?,
                opcode::SLOT => self.input.skip_lengths(3)?,
                opcode::EXPIRES_MS => expires_at = Some(u64::from_le_bytes(self.input.array()?)),
                opcode::EXPIRES => {
                    expires_at = Some(u64::from(u32::from_le_bytes(self.input.array()?)) * 1000);
                }
                opcode::FREQUENCY => self.input.skip(1)?,
                opcode::IDLE => self.input.skip_lengths(1)?,
                opcode::FACT => return self.fact().map(Some),
                opcode::FUNCTION => {
                    self.input.string(&mut self.text)?;
                    return Ok(Some(Item::Function(&self.text)));
                }
                opcode::MODULE => {
                    // The module, and when it wants its data.
                    self.input.skip_lengths(3)?;
                    self.input.skip_module_fields()?;
                    return Ok(Some(Item::ModuleData));
                }
                _ => return self.key(type_byte, expires_at).map(|key| Some(Item::Key(key))),
            }
        }
    }

    fn fact(&mut self) -> Result<Item<'static>, Broken> {
        self.input.string(&mut self.text)?;
        let name = String::from_utf8_lossy(&self.text).into_owned();
        self.input.string(&mut self.text)?;
        Ok(Item::Fact { name, value: String::from_utf8_lossy(&self.text).into_owned() })
    }

    fn key(&mut self, type_byte: u8, expires_at: Option<u64>) -> Result<Key<'_>, Broken> {
        let database = self.database;
        self.input.string(&mut self.text)?;
        if self.keeps_contents {
            self.input.keep();
        }
        let kind = self.input.skip_value(type_byte)?;
        let value = if self.keeps_contents { self.input.kept() } else { &[] };
        Ok(Key { database, kind, type_byte, expires_at, name: &self.text, value })
    }

    fn end(&mut self) -> Result<(), Broken> {
        let computed = self.input.checksum();
        let written = u64::from_le_bytes(self.input.array()?);
        if !self.input.is_at_end()? {
            return Err(self.input.broken(Problem::Malformed("it goes on after its end".to_owned())));
        }
        self.checked = Some(match written {
            0 => Checked::WithoutChecksum,
            written if written == computed => Checked::Sound,
            _ => return Err(self.input.broken(Problem::Checksum)),
        });
        Ok(())
    }
}
