//! A tree with everything that restic keeps.

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;

/// A link whose target is not UTF-8; restic stores such a target as it is since 0.17, and replaces bytes before.
pub const LINK_TO_BYTES: &str = "link to bytes";

/// Bytes that look random and are the same every time.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(length).collect()
}

/// Says whether the tests may make devices and give files away.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Fills `root`, which is made, with one of every kind of node, and with everything that is easy to get wrong.
pub fn build(root: &Path) {
    fs::create_dir_all(root).unwrap();
    contents(root);
    names(root);
    links(root);
    attributes(root);
    if is_root() {
        owned_by_root(root);
    } else {
        eprintln!("not root: the sample has no devices and no foreign owners");
    }
    modes(root);
    times(root);
}

fn contents(root: &Path) {
    fs::write(root.join("empty"), b"").unwrap();
    fs::write(root.join("small"), b"orders\n").unwrap();
    fs::write(root.join("large"), noise(5 << 20, 1)).unwrap();
    fs::write(root.join("text"), "the same line again\n".repeat(100_000)).unwrap();
    fs::write(root.join("same as small"), b"orders\n").unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(b"start", 0).unwrap();
    sparse.write_all_at(&noise(10_000, 2), 9_000_000).unwrap();
    sparse.set_len(40 << 20).unwrap();
    let hole = fs::File::create(root.join("only a hole")).unwrap();
    hole.set_len(3 << 20).unwrap();
    fs::create_dir_all(root.join("folder/in a folder")).unwrap();
    fs::create_dir(root.join("empty folder")).unwrap();
    for number in 0..200 {
        fs::write(root.join(format!("folder/{number}")), noise(number * 37, number as u64)).unwrap();
    }
    rustix::fs::mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o640), 0).unwrap();
}

fn names(root: &Path) {
    for name in ["größe", "日本語", "a \"quote\"", "back\\slash", "new\nline", "tab\tand\x01", "-rf", " ", "\u{200b}"]
    {
        fs::write(root.join(name), name).unwrap();
    }
    fs::write(root.join(OsStr::from_bytes(b"caf\xe9")), b"latin").unwrap();
    let folder = root.join(OsStr::from_bytes(b"\xff\xfe"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("inside"), b"bytes").unwrap();
    fs::write(root.join("n".repeat(255)), b"longest").unwrap();
    let mut deep = root.join("deep");
    for _ in 0..8 {
        deep.push("d".repeat(200));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), b"over a thousand characters down").unwrap();
}

fn links(root: &Path) {
    symlink("small", root.join("link")).unwrap();
    symlink("/nowhere/at all", root.join("dangling")).unwrap();
    symlink("folder", root.join("link to a folder")).unwrap();
    symlink(OsStr::from_bytes(b"caf\xe9"), root.join(LINK_TO_BYTES)).unwrap();
    fs::hard_link(root.join("large"), root.join("folder/large again")).unwrap();
    fs::hard_link(root.join("large"), root.join("a third large")).unwrap();
    fs::hard_link(root.join("empty"), root.join("empty again")).unwrap();
    // Under another inode: not a hard link.
    fs::copy(root.join("large"), root.join("copy of large")).unwrap();
}

fn attributes(root: &Path) {
    let set = |name: &str, attribute: &str, value: &[u8]| {
        rustix::fs::lsetxattr(root.join(name), attribute, value, XattrFlags::empty())
    };
    for (name, attribute, value) in [
        ("small", "user.mime_type", &b"text/plain"[..]),
        ("small", "user.empty", b""),
        ("small", "user.bytes", b"\x00\xff\x00"),
        ("folder", "user.folder", b"yes"),
    ] {
        if let Err(error) = set(name, attribute, value) {
            eprintln!("{attribute}: {error}: the sample has no such attribute");
        }
    }
}

fn owned_by_root(root: &Path) {
    let device = |name: &str, kind, major, minor| {
        let device = rustix::fs::makedev(major, minor);
        rustix::fs::mknodat(CWD, root.join(name), kind, Mode::from_raw_mode(0o660), device)
    };
    for (name, kind, major, minor) in
        [("null", FileType::CharacterDevice, 1, 3), ("loop", FileType::BlockDevice, 7, 300)]
    {
        if let Err(error) = device(name, kind, major, minor) {
            eprintln!("mknod {name}: {error}: the sample has no such device");
        }
    }
    let own = |name: &str, uid, gid| {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(CWD, root.join(name), Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW).unwrap();
    };
    own("text", 1234, 4321);
    own("link", 33, 33);
    own("folder", 65534, 7);
    own("pipe", 5, 6);
    // cap_net_bind_service=ep, revision 2; changing the owner would clear it.
    let capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    own("same as small", 9, 9);
    for (name, attribute, value) in
        [("same as small", "security.capability", &capability[..]), ("folder/5", "trusted.holdpoint", b"trusted")]
    {
        if let Err(error) = rustix::fs::lsetxattr(root.join(name), attribute, value, XattrFlags::empty()) {
            eprintln!("{attribute}: {error}: the sample has no such attribute");
        }
    }
}

fn modes(root: &Path) {
    let set = |name: &str, mode| fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    set("small", 0o600);
    set("text", 0o4755);
    set("folder/1", 0o2711);
    set("folder", 0o1777);
    set("folder/in a folder", 0o2750);
    set("folder/2", 0o444);
    if is_root() {
        set("folder/3", 0o000);
        set("empty folder", 0o000);
    }
}

/// Sets times last, the inside of each directory before it.
fn times(root: &Path) {
    let set = |path: &Path, seconds, nanoseconds| {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    };
    for (name, seconds, nanoseconds) in [
        ("small", 1, 1),
        ("text", -1, 999_999_999),
        ("large", -2_000_000_000, 5),
        ("empty", 0, 0),
        ("link", 1_000_000_000, 123_456_789),
        ("dangling", -3, 3),
        ("pipe", 1_234_567_890, 987_654_321),
        ("folder/5", 4_000_000_000, 1),
        ("folder/in a folder", 77, 7),
        ("folder", 88, 8),
        ("empty folder", -99, 9),
    ] {
        set(&root.join(name), seconds, nanoseconds);
    }
    set(root, 1_600_000_000, 1);
}
