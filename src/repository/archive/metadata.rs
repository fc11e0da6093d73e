//! From what the system says of a file to its node.

pub(super) use super::super::inode::{attributes, attributes_at, node_type, open, read_link, stat};
use super::super::mode;
use super::super::tree::{Node, NodeType};
use jiff::Timestamp;
use rustix::fs::Stat;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Returns the node of a file without content, link target and extended attributes.
pub(super) fn node(name: &OsStr, kind: NodeType, stat: &Stat) -> Node {
    let mtime = time(stat.st_mtime, stat.st_mtime_nsec);
    let (user, group) = names(stat.st_uid, stat.st_gid);
    let mut node = Node {
        mode: mode::to_go(kind, stat.st_mode),
        mtime,
        // restic stores the time of access only when asked to: it changes with every reader.
        atime: mtime,
        ctime: time(stat.st_ctime, stat.st_ctime_nsec),
        uid: stat.st_uid,
        gid: stat.st_gid,
        user,
        group,
        inode: stat.st_ino,
        ..Node::new(name, kind)
    };
    if kind != NodeType::Dir {
        #[allow(clippy::useless_conversion, reason = "the type is not the same on every processor")]
        {
            node.links = stat.st_nlink.into();
        }
        if node.links > 1 {
            node.device_id = stat.st_dev;
        }
    }
    match kind {
        NodeType::File => node.size = u64::try_from(stat.st_size).unwrap_or(0),
        NodeType::Dev | NodeType::CharDev => node.device = stat.st_rdev,
        _ => {}
    }
    node
}

/// Says whether a file is, by size, times and inode, the one that the parent snapshot has (as restic decides it).
pub(super) fn is_unchanged(stat: &Stat, before: &Node) -> bool {
    node_type(stat) == Some(before.kind)
        && before.inode == stat.st_ino
        && before.mtime == time(stat.st_mtime, stat.st_mtime_nsec)
        && before.ctime == time(stat.st_ctime, stat.st_ctime_nsec)
        && (before.kind != NodeType::File || i64::try_from(before.size) == Ok(stat.st_size))
        && before.error.is_empty()
}

fn time(seconds: i64, nanoseconds: u64) -> Timestamp {
    let nanoseconds = i32::try_from(nanoseconds).unwrap_or(0);
    Timestamp::new(seconds, nanoseconds).unwrap_or(if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Returns the names of a user and a group; empty where they have none.
fn names(uid: u32, gid: u32) -> (String, String) {
    static USERS: LazyLock<Mutex<HashMap<u32, String>>> = LazyLock::new(Mutex::default);
    static GROUPS: LazyLock<Mutex<HashMap<u32, String>>> = LazyLock::new(Mutex::default);
    let look_up = |cache: &Mutex<HashMap<u32, String>>, id: u32, find: &dyn Fn() -> Option<String>| {
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.entry(id).or_insert_with(|| find().unwrap_or_default()).clone()
    };
    // A name that cannot be looked up is left out: the number is what counts.
    let user = || Some(nix::unistd::User::from_uid(uid.into()).ok()??.name);
    let group = || Some(nix::unistd::Group::from_gid(gid.into()).ok()??.name);
    (look_up(&USERS, uid, &user), look_up(&GROUPS, gid, &group))
}
