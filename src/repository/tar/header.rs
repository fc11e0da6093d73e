//! The header of one entry: `ustar`, and before it the records of pax for what `ustar` has no room for.

use super::super::mode;
use super::super::tree::{Node, NodeType};
use super::BLOCK;
use ::tar::{EntryType, Header};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The longest path and the longest target of a link that `ustar` holds, in bytes.
const NAME: usize = 100;
/// The largest numbers that fit: seven and eleven octal digits.
const SEVEN_DIGITS: u64 = 0o7_777_777;
const ELEVEN_DIGITS: u64 = 0o77_777_777_777;

/// The record that says that names are no text of a known encoding.
const CHARSET: &[u8] = b"21 hdrcharset=BINARY\n";

/// One entry of the archive.
pub(super) struct Member<'a> {
    pub(super) path: &'a Path,
    pub(super) node: &'a Node,
    /// How many bytes follow the header.
    pub(super) size: u64,
    /// The entry of which this is one more name.
    pub(super) link: Option<&'a Path>,
}

impl Member<'_> {
    /// Returns all blocks before the content.
    pub(super) fn header(&self) -> Vec<u8> {
        let node = self.node;
        let mut path = relative(self.path).to_vec();
        if node.kind == NodeType::Dir {
            path.push(b'/');
        }
        let target = match self.link {
            Some(first) => relative(first).to_vec(),
            None if node.kind == NodeType::Symlink => node.link_target().as_bytes().to_vec(),
            None => Vec::new(),
        };
        let mut records = Records::default();
        for (key, bytes) in [("path", &path), ("linkpath", &target)] {
            // Text beyond ASCII is UTF-8 by definition only in a record; what is not UTF-8 is no text.
            let is_text = std::str::from_utf8(bytes).is_ok();
            if bytes.len() > NAME || (!bytes.is_ascii() && is_text) {
                if !is_text && !records.are_binary() {
                    // Every record after it is bytes, not UTF-8.
                    records.0.splice(..0, CHARSET.iter().copied());
                }
                records.add(key, bytes);
            }
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(self.kind());
        let old = header.as_old_mut();
        put(&mut old.name, &path);
        put(&mut old.linkname, &target);
        header.set_mode(mode::to_posix(node.mode));
        header.set_size(records.number("size", self.size, ELEVEN_DIGITS));
        header.set_uid(records.number("uid", node.uid.into(), SEVEN_DIGITS));
        header.set_gid(records.number("gid", node.gid.into(), SEVEN_DIGITS));
        header.set_mtime(self.mtime(&mut records));
        if let Some(ustar) = header.as_ustar_mut() {
            for (field, name) in [(&mut ustar.uname, &node.user), (&mut ustar.gname, &node.group)] {
                // A name that does not fit is worse than none: the number counts then.
                if name.len() < field.len() && name.is_ascii() {
                    put(field, name.as_bytes());
                }
            }
        }
        if matches!(node.kind, NodeType::Dev | NodeType::CharDev) {
            // Both fail only for what is not `ustar`.
            let _ = header.set_device_major(rustix::fs::major(node.device));
            let _ = header.set_device_minor(rustix::fs::minor(node.device));
        }
        if self.link.is_none() {
            for attribute in &node.extended_attributes {
                let value = attribute.value.as_ref().map(|value| value.0.as_slice()).unwrap_or_default();
                records.add(&format!("SCHILY.xattr.{}", attribute.name), value);
            }
        }
        header.set_cksum();
        let mut blocks = records.into_blocks(&path);
        blocks.extend_from_slice(header.as_bytes());
        blocks
    }

    fn kind(&self) -> EntryType {
        if self.link.is_some() {
            return EntryType::Link;
        }
        match self.node.kind {
            NodeType::Dir => EntryType::Directory,
            NodeType::Symlink => EntryType::Symlink,
            NodeType::Dev => EntryType::Block,
            NodeType::CharDev => EntryType::Char,
            NodeType::Fifo => EntryType::Fifo,
            NodeType::File | NodeType::Socket | NodeType::Irregular => EntryType::Regular,
        }
    }

    /// Returns the whole seconds of the time of modification; a record has those that are not whole, or before 1970.
    fn mtime(&self, records: &mut Records) -> u64 {
        let nanoseconds = self.node.mtime.as_nanosecond();
        let whole = nanoseconds.div_euclid(1_000_000_000);
        let fits = u64::try_from(whole).ok().filter(|seconds| *seconds <= ELEVEN_DIGITS);
        if fits.is_none() || nanoseconds.rem_euclid(1_000_000_000) != 0 {
            let sign = if nanoseconds < 0 { "-" } else { "" };
            let size = nanoseconds.unsigned_abs();
            let text = format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000);
            records.add("mtime", text.as_bytes());
        }
        fits.unwrap_or(0)
    }
}

/// Takes the leading `/` away, as `tar` does.
fn relative(path: &Path) -> &[u8] {
    path.strip_prefix("/").unwrap_or(path).as_os_str().as_bytes()
}

/// Puts as much of the bytes into a field as there is room for; a record has the rest.
fn put(field: &mut [u8], bytes: &[u8]) {
    for (to, from) in field.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// What goes into the extended header of an entry.
#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    /// Says whether the names in it are bytes.
    fn are_binary(&self) -> bool {
        self.0.starts_with(CHARSET)
    }

    /// Adds `LENGTH KEY=VALUE\n`, where the length counts its own digits.
    fn add(&mut self, key: &str, value: &[u8]) {
        let rest = key.len() + value.len() + 3;
        let mut length = rest;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        self.0.extend_from_slice(format!("{length} {key}=").as_bytes());
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }

    /// Returns the number as the header holds it, with a record for one that does not fit.
    fn number(&mut self, key: &str, value: u64, most: u64) -> u64 {
        if value <= most {
            return value;
        }
        self.add(key, value.to_string().as_bytes());
        0
    }

    fn into_blocks(self, path: &[u8]) -> Vec<u8> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        // Only programs that do not know pax show it.
        put(&mut header.as_old_mut().name, &[b"PaxHeaders/", path].concat());
        header.set_mode(0o644);
        header.set_size(self.0.len() as u64);
        header.set_cksum();
        let mut blocks = header.as_bytes().to_vec();
        blocks.extend_from_slice(&self.0);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_length() {
        let mut records = Records::default();
        records.add("a", b"b");
        records.add("path", &[b'x'; 91]);
        let text = String::from_utf8(records.0).unwrap();
        assert_eq!(text.lines().map(|line| line.len() + 1).collect::<Vec<_>>(), [6, 101]);
        assert!(text.starts_with("6 a=b\n101 path=x"), "{text}");
    }

    #[test]
    fn what_does_not_fit_is_told_in_records() {
        let mut node = Node::new("f", NodeType::File);
        (node.uid, node.mtime) = (3_000_000, "1969-12-31T23:59:58.5Z".parse().unwrap());
        let member = Member { path: Path::new("/a/ü"), node: &node, size: 9 << 30, link: None };
        let blocks = member.header();
        let text = String::from_utf8_lossy(&blocks);
        for record in ["path=a/ü\n", "size=9663676416\n", "uid=3000000\n", "mtime=-1.500000000\n"] {
            assert!(text.contains(record), "{record:?} in {text}");
        }
        assert_eq!(blocks.len(), 3 * BLOCK);
    }

    #[test]
    fn names_that_are_no_text_are_said_to_be_bytes() {
        let node = Node::new("f", NodeType::File);
        let records = |name: &[u8], link: &[u8]| {
            let path = |bytes| Path::new(std::ffi::OsStr::from_bytes(bytes));
            let blocks = Member { path: path(name), node: &node, size: 0, link: Some(path(link)) }.header();
            String::from_utf8_lossy(&blocks[BLOCK..]).into_owned()
        };
        let (long, text) = ([0xff; 120], "ü".repeat(60));
        for both in [records(&long, text.as_bytes()), records(text.as_bytes(), &long)] {
            assert!(both.starts_with("21 hdrcharset=BINARY\n") && both.contains(" linkpath="), "{both}");
            assert_eq!(both.matches("hdrcharset").count(), 1);
        }
        assert!(records(text.as_bytes(), b"f").starts_with("130 path=ü"));
        assert_eq!(records(&[0xff; 100], b"f").len(), 0);
    }
}
