//! Trees: the nodes of one directory, as JSON (restic `doc/design.rst`, "Trees and Data").

use super::id::Id;
use super::name;
use crate::error::{Error, ErrorCode, Result};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeType {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A block device.
    Dev,
    /// A character device.
    CharDev,
    /// A named pipe.
    Fifo,
    /// A socket; other clients may have stored one.
    Socket,
    /// Something that its client could not name.
    Irregular,
}

/// One entry of a directory. Absent fields are left out, in restic's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The name: one path component, any bytes but `/` and NUL.
    #[serde(serialize_with = "write_name", deserialize_with = "read_name")]
    pub name: OsString,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: NodeType,
    /// Permissions and type in the bits of Go's `os.FileMode`; see [`super::mode`].
    #[serde(default, skip_serializing_if = "is_zero_u32")]
    pub mode: u32,
    /// When the content was last modified.
    #[serde(default, deserialize_with = "read_time")]
    pub mtime: Timestamp,
    /// restic stores the time of modification here too, unless asked for the real one.
    #[serde(default, deserialize_with = "read_time")]
    pub atime: Timestamp,
    /// When the inode last changed.
    #[serde(default, deserialize_with = "read_time")]
    pub ctime: Timestamp,
    /// The owner's number.
    #[serde(default)]
    pub uid: u32,
    /// The group's number.
    #[serde(default)]
    pub gid: u32,
    /// The owner's name, where it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The group's name, where it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The inode.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub inode: u64,
    /// The device that holds the inode; stored for hard links only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub device_id: u64,
    /// The size of a file in bytes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size: u64,
    /// How many names the inode has; not stored for directories.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub links: u64,
    /// Where a symbolic link points to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub linktarget: String,
    /// The same, where it is not UTF-8; it wins over `linktarget`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linktarget_raw: Option<Base64>,
    /// Extended attributes, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub extended_attributes: Vec<ExtendedAttribute>,
    /// The number of a device.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub device: u64,
    /// The blobs of a file in order; `None` for everything else.
    #[serde(default)]
    pub content: Option<Vec<Id>>,
    /// The tree of a directory; `None` for everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtree: Option<Id>,
    /// What its client could not read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtendedAttribute {
    /// Its name, such as `user.mime_type`.
    pub name: String,
    /// Its value; restic writes an empty one as `null`.
    #[serde(default)]
    pub value: Option<Base64>,
}

/// Bytes that are written in base64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base64(pub Vec<u8>);

/// The nodes of one directory, sorted by the bytes of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// The nodes.
    #[serde(deserialize_with = "null_is_default")]
    pub nodes: Vec<Node>,
}

impl Node {
    /// Creates a node without metadata.
    pub fn new(name: impl Into<OsString>, kind: NodeType) -> Self {
        Self {
            name: name.into(),
            kind,
            mode: 0,
            mtime: Timestamp::UNIX_EPOCH,
            atime: Timestamp::UNIX_EPOCH,
            ctime: Timestamp::UNIX_EPOCH,
            uid: 0,
            gid: 0,
            user: String::new(),
            group: String::new(),
            inode: 0,
            device_id: 0,
            size: 0,
            links: 0,
            linktarget: String::new(),
            linktarget_raw: None,
            extended_attributes: Vec::new(),
            device: 0,
            content: None,
            subtree: None,
            error: String::new(),
        }
    }

    /// Returns where a symbolic link points to.
    pub fn link_target(&self) -> OsString {
        match &self.linktarget_raw {
            Some(raw) => OsString::from_vec(raw.0.clone()),
            None => OsString::from(&self.linktarget),
        }
    }

    /// Stores where a symbolic link points to.
    pub fn set_link_target(&mut self, target: OsString) {
        match target.into_string() {
            Ok(text) => self.linktarget = text,
            Err(raw) => {
                self.linktarget = String::from_utf8_lossy(raw.as_bytes()).into_owned();
                self.linktarget_raw = Some(Base64(raw.into_vec()));
            }
        }
    }

    /// Says whether the name can be a directory entry: restoring any other could write outside the target.
    fn has_safe_name(&self) -> bool {
        let name = self.name.as_bytes();
        !name.is_empty() && name != b"." && name != b".." && !name.contains(&b'/') && !name.contains(&0)
    }
}

impl Tree {
    /// Reads a tree blob.
    ///
    /// # Errors
    /// `damaged`: it is not a tree, or one of its names could not be a directory entry.
    pub fn parse(json: &[u8]) -> Result<Self> {
        let tree: Self = serde_json::from_slice(json)
            .map_err(|error| Error::new(ErrorCode::Damaged, "a tree is not what it should be").caused_by(error))?;
        match tree.nodes.iter().find(|node| !node.has_safe_name()) {
            None => Ok(tree),
            Some(node) => {
                let message = format!("a tree holds a node named {:?}, which is no name of a file", node.name);
                Err(Error::new(ErrorCode::Damaged, message))
            }
        }
    }

    /// Writes the tree as restic does: JSON and a newline.
    ///
    /// # Errors
    /// `internal`, if JSON cannot hold it; no tree of ours is such.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorCode::Internal, "cannot write a tree").caused_by(error))?;
        json.push(b'\n');
        Ok(json)
    }

    /// Returns the node of that name; the nodes must be sorted.
    pub fn find(&self, name: &std::ffi::OsStr) -> Option<&Node> {
        let at = self.nodes.binary_search_by(|node| node.name.as_bytes().cmp(name.as_bytes())).ok()?;
        self.nodes.get(at)
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}

fn write_name<S: Serializer>(name: &OsString, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&name::quote(name.as_bytes()))
}

fn read_name<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<OsString, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    let name = name::unquote(&text).ok_or_else(|| serde::de::Error::custom("a name is not quoted as it should be"))?;
    Ok(OsString::from_vec(name))
}

/// Reads a time; one that lies outside of what a [`Timestamp`] can hold becomes the nearest that it can.
fn read_time<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Timestamp, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
    match text.parse() {
        Ok(time) => Ok(time),
        // Go's zero time, in a zone that would move it before the year 1, and times of damaged file systems.
        Err(_) if text.starts_with("0000-") || text.starts_with('-') => Ok(Timestamp::MIN),
        Err(_) if text.starts_with("9999-") => Ok(Timestamp::MAX),
        Err(error) => Err(serde::de::Error::custom(error)),
    }
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        use base64::Engine;
        serializer.serialize_str(&base64::prelude::BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        use base64::Engine;
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        base64::prelude::BASE64_STANDARD.decode(text.as_bytes()).map(Self).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by restic 0.14.
    const RESTIC: &str = r#"{"nodes":[{"name":"caf\\xe9","type":"file","mode":420,"mtime":"2026-11-20T21:30:00.5+01:00","atime":"2026-11-20T21:30:00.5+01:00","ctime":"2026-11-20T21:30:01.123456789+01:00","uid":0,"gid":0,"user":"root","group":"root","inode":7,"size":3,"links":1,"extended_attributes":[{"name":"user.a","value":"Yg=="}],"content":["e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},{"name":"d","type":"dir","mode":2147484141,"mtime":"0001-01-01T00:00:00Z","atime":"0001-01-01T00:00:00Z","ctime":"0001-01-01T00:00:00Z","uid":0,"gid":0,"content":null,"subtree":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}"#;

    #[test]
    fn a_tree_of_restic_reads_and_writes_back() {
        let tree = Tree::parse(RESTIC.as_bytes()).unwrap();
        assert_eq!(tree.nodes[0].name.as_bytes(), b"caf\xe9");
        assert_eq!(tree.find(std::ffi::OsStr::new("d")).unwrap().kind, NodeType::Dir);
        let json = String::from_utf8(tree.to_json().unwrap()).unwrap();
        let expected = RESTIC
            .replace("2026-11-20T21:30:00.5+01:00", "2026-11-20T20:30:00.5Z")
            .replace("2026-11-20T21:30:01.123456789+01:00", "2026-11-20T20:30:01.123456789Z");
        assert_eq!(json, expected + "\n");
    }

    #[test]
    fn names_that_leave_the_directory_are_damage() {
        for name in ["", ".", "..", "a/b", "a\\\\x00b"] {
            let json = format!(r#"{{"nodes":[{{"name":"{name}","type":"file"}}]}}"#);
            assert_eq!(Tree::parse(json.as_bytes()).unwrap_err().code(), ErrorCode::Damaged, "{name}");
        }
    }

    #[test]
    fn a_link_target_keeps_its_bytes() {
        let mut node = Node::new("l", NodeType::Symlink);
        node.set_link_target(OsString::from_vec(b"caf\xe9".to_vec()));
        let tree = Tree::parse(&Tree { nodes: vec![node.clone()] }.to_json().unwrap()).unwrap();
        assert_eq!(tree.nodes[0].link_target().as_bytes(), b"caf\xe9");
    }
}
