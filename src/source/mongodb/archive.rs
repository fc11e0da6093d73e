//! The archive of `mongodump --archive`: read as a stream, and checked.
//!
//! The format is that of mongo-tools' `common/archive`: a magic number; a block of a header and one document for each
//! collection; then blocks of documents of one collection each, in any order, until a header with `EOF` and the CRC of its
//! documents ends the collection. Each block ends with four bytes of ones.

use super::bson::{self, Value};
use crate::error::{Error, IoContext, Result};
use crc::{CRC_64_XZ, Crc, Digest, Table};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read};

const MAGIC: [u8; 4] = 0x8199_e26d_u32.to_le_bytes();
const END_OF_BLOCK: [u8; 4] = [0xff; 4];
/// How much is read at once.
const PIECE: usize = 256 * 1024;
/// The most that a document can have: the server's limit for those of its own, in bytes.
const LARGEST_DOCUMENT: u32 = 48 * 1024 * 1024;
/// The collection that holds the data of a time series, behind its name.
const BUCKETS: &str = "system.buckets.";

/// What Go calls ECMA is known as XZ elsewhere.
static CRC64: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_XZ);

/// What is wrong with an archive.
#[derive(Debug)]
pub(super) enum Broken {
    /// It ends too early, or without the end of a collection.
    Incomplete(String),
    /// It is not what was written.
    Damaged(String),
    /// The store does not give it.
    Unreadable(Error),
}

/// What an archive holds.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub server_version: String,
    pub tool_version: String,
    /// Documents by database and collection.
    pub documents: BTreeMap<(String, String), u64>,
}

impl Contents {
    /// Says whether what was written during the dump is there, too.
    pub(super) fn has_oplog(&self) -> bool {
        self.documents.keys().any(|(database, collection)| database.is_empty() && collection == "oplog")
    }

    /// Returns the collections that are the application's, with their documents.
    pub(super) fn of_application(&self) -> impl Iterator<Item = (String, u64)> {
        let is_servers = |database: &str, collection: &str| {
            matches!(database, "" | "admin" | "config" | "local")
                || collection.trim_start_matches('$').contains("system.")
        };
        let own = self.documents.iter().filter(move |((database, collection), _)| !is_servers(database, collection));
        own.map(|((database, collection), count)| (format!("{database}.{collection}"), *count))
    }
}

/// Reads a whole archive.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(source: Box<dyn Read + '_>) -> Result<Contents, Broken> {
    let mut reader = Reader { source, buffer: vec![0; PIECE], position: 0, filled: 0, offset: 0 };
    if reader.four("its first bytes")? != MAGIC {
        return Err(Broken::Damaged("it does not begin as an archive of mongodump does".to_owned()));
    }
    let mut contents = Contents::default();
    let (expected, header) = prelude(&mut reader)?;
    contents.server_version = header.text("server_version");
    contents.tool_version = header.text("tool_version");
    let mut open: BTreeMap<(String, String), Collection> = BTreeMap::new();
    while !reader.is_at_end()? {
        let header = reader.header()?;
        let name = (header.text("db"), header.text("collection"));
        if contents.documents.contains_key(&name) {
            return Err(reader.damaged(&format!("{} goes on after its end", shown(&name))));
        }
        let collection = open.entry(name.clone()).or_default();
        if header.get("EOF") == Some(&Value::Truth(true)) {
            let computed = collection.digest.clone().finalize().cast_signed();
            if header.get("CRC") != Some(&Value::Number(computed)) {
                return Err(reader.damaged(&format!("the checksum of {} is not that of its documents", shown(&name))));
            }
            contents.documents.insert(name.clone(), collection.count);
            open.remove(&name);
            if reader.four("the end of a block")? != END_OF_BLOCK {
                return Err(reader.damaged("there are documents behind the end of a collection"));
            }
        } else {
            while reader.document(collection)? {}
        }
    }
    if let Some((name, _)) = open.first_key_value() {
        return Err(Broken::Incomplete(format!("the archive ends in the middle of {}", shown(name))));
    }
    let is_there = |(database, collection): &(String, String)| {
        let buckets = (database.clone(), format!("{BUCKETS}{collection}"));
        contents.documents.contains_key(&(database.clone(), collection.clone()))
            || contents.documents.contains_key(&buckets)
    };
    match expected.iter().find(|name| !is_there(name)) {
        Some(name) => Err(Broken::Incomplete(format!("the archive announces {}, and does not have it", shown(name)))),
        None => Ok(contents),
    }
}

fn prelude(reader: &mut Reader<'_>) -> Result<(Vec<(String, String)>, Header), Broken> {
    let header = reader.header()?;
    let mut expected = Vec::new();
    loop {
        let length = reader.four("the list of collections")?;
        if length == END_OF_BLOCK {
            return Ok((expected, header));
        }
        let collection = reader.header_of(length)?;
        expected.push((collection.text("db"), collection.text("collection")));
    }
}

fn shown((database, collection): &(String, String)) -> String {
    if database.is_empty() { collection.clone() } else { format!("{database}.{collection}") }
}

/// A flat document.
struct Header(Vec<(String, Value)>);

impl Header {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find_map(|(field, value)| (field == name).then_some(value))
    }

    /// Returns a text; empty if it is not there.
    fn text(&self, name: &str) -> String {
        match self.get(name) {
            Some(Value::Text(text)) => text.clone(),
            _ => String::new(),
        }
    }
}

/// A collection that has not ended.
struct Collection {
    digest: Digest<'static, u64, Table<16>>,
    count: u64,
}

impl Default for Collection {
    fn default() -> Self {
        Self { digest: CRC64.digest(), count: 0 }
    }
}

struct Reader<'r> {
    source: Box<dyn Read + 'r>,
    buffer: Vec<u8>,
    position: usize,
    filled: usize,
    /// The place of the buffer's first byte in the archive.
    offset: u64,
}

impl Reader<'_> {
    fn damaged(&self, what: &str) -> Broken {
        Broken::Damaged(format!("the archive is damaged at byte {}: {what}", self.offset + self.position as u64))
    }

    fn is_at_end(&mut self) -> Result<bool, Broken> {
        if self.position < self.filled {
            return Ok(false);
        }
        self.offset += self.filled as u64;
        (self.position, self.filled) = (0, 0);
        loop {
            match self.source.read(&mut self.buffer) {
                Ok(count) => {
                    self.filled = count;
                    return Ok(count == 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    let read: Result<bool> = Err(error).io_context(|| "cannot read the snapshot".to_owned());
                    return read.map_err(Broken::Unreadable);
                }
            }
        }
    }

    /// Reads `count` bytes, which `each` gets in pieces.
    fn take(&mut self, mut count: usize, within: &str, mut each: impl FnMut(&[u8])) -> Result<(), Broken> {
        while count > 0 {
            if self.is_at_end()? {
                return Err(Broken::Incomplete(format!("the archive ends within {within}, at byte {}", self.offset)));
            }
            let there = self.buffer.get(self.position..self.filled).unwrap_or_default();
            let some = there.get(..count.min(there.len())).unwrap_or_default();
            each(some);
            self.position += some.len();
            count -= some.len();
        }
        Ok(())
    }

    fn four(&mut self, within: &str) -> Result<[u8; 4], Broken> {
        let mut bytes = Vec::with_capacity(4);
        self.take(4, within, |some| bytes.extend_from_slice(some))?;
        bytes.try_into().map_err(|_| self.damaged("four bytes are not four"))
    }

    /// Returns how many bytes of a document follow its length.
    fn rest_of(&self, length: [u8; 4]) -> Result<usize, Broken> {
        let length = u32::from_le_bytes(length);
        if !(5..=LARGEST_DOCUMENT).contains(&length) {
            return Err(self.damaged(&format!("no document has {length} bytes")));
        }
        usize::try_from(length - 4).map_err(|_| self.damaged("a document is too large"))
    }

    fn header(&mut self) -> Result<Header, Broken> {
        let length = self.four("a header")?;
        self.header_of(length)
    }

    fn header_of(&mut self, length: [u8; 4]) -> Result<Header, Broken> {
        let rest = self.rest_of(length)?;
        let mut bytes = length.to_vec();
        self.take(rest, "a header", |some| bytes.extend_from_slice(some))?;
        bson::fields(&bytes).map(Header).ok_or_else(|| self.damaged("a header is no flat document"))
    }

    /// Reads a document of a collection; returns false at the end of its block.
    fn document(&mut self, collection: &mut Collection) -> Result<bool, Broken> {
        let length = self.four("a collection")?;
        if length == END_OF_BLOCK {
            return Ok(false);
        }
        let rest = self.rest_of(length)?;
        collection.digest.update(&length);
        let mut last = None;
        self.take(rest, "a document", |some| {
            collection.digest.update(some);
            last = some.last().copied();
        })?;
        if last != Some(0) {
            return Err(self.damaged("a document does not end as one"));
        }
        collection.count += 1;
        Ok(true)
    }
}

#[cfg(test)]
#[path = "archive_tests.rs"]
pub(super) mod tests;
