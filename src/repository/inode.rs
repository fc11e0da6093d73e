//! What the system says of an entry of a directory: reached from an open directory, no link followed.

use super::tree::{Base64, ExtendedAttribute, NodeType};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::LazyLock;

/// Returns the type of a node; `None` for what restic does not know either.
pub(super) fn node_type(stat: &Stat) -> Option<NodeType> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Some(NodeType::File),
        FileType::Directory => Some(NodeType::Dir),
        FileType::Symlink => Some(NodeType::Symlink),
        FileType::BlockDevice => Some(NodeType::Dev),
        FileType::CharacterDevice => Some(NodeType::CharDev),
        FileType::Fifo => Some(NodeType::Fifo),
        FileType::Socket => Some(NodeType::Socket),
        FileType::Unknown => None,
    }
}

/// Reads where a symbolic link points to.
pub(super) fn read_link(directory: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OsString> {
    let target = rustix::fs::readlinkat(directory, name, Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()))
}

/// Reads the extended attributes of an open file, sorted by name.
pub(super) fn attributes(file: BorrowedFd<'_>) -> rustix::io::Result<Vec<ExtendedAttribute>> {
    collect_attributes(
        |buffer| rustix::fs::flistxattr(file, buffer),
        |name, buffer| rustix::fs::fgetxattr(file, name, buffer),
    )
}

/// Reads the extended attributes of an entry of a directory, sorted by name; `path` is its full path.
///
/// There is no call that takes a directory and a name, so the path goes through `/proc/self/fd`; it is not followed.
pub(super) fn attributes_at(
    directory: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
) -> rustix::io::Result<Vec<ExtendedAttribute>> {
    static HAS_PROC: LazyLock<bool> = LazyLock::new(|| Path::new("/proc/self/fd").exists());
    // Where no /proc is mounted, the full path serves, as long as it is not too long for the system.
    let path = match *HAS_PROC {
        true => Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name),
        false => path.to_owned(),
    };
    collect_attributes(
        |buffer| rustix::fs::llistxattr(&path, buffer),
        |name, buffer| rustix::fs::lgetxattr(&path, name, buffer),
    )
}

fn collect_attributes(
    list: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>,
    mut get: impl FnMut(&CStr, &mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Vec<ExtendedAttribute>> {
    let names = match read_growing(list) {
        Ok(names) => names,
        Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut attributes = Vec::new();
    for name in names.split_inclusive(|&byte| byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let value = match read_growing(|buffer| get(name, buffer)) {
            Ok(value) => value,
            // It was removed since it was listed.
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error),
        };
        let name = name.to_string_lossy().into_owned();
        attributes.push(ExtendedAttribute { name, value: (!value.is_empty()).then_some(Base64(value)) });
    }
    attributes.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(attributes)
}

/// Calls `read` with a buffer that grows until the answer fits.
fn read_growing(mut read: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    // Most files have none, and most values are short: no memory is taken for these.
    let mut short = [0; 256];
    match read(&mut short) {
        Ok(length) => return Ok(short.get(..length).unwrap_or(&short).to_vec()),
        Err(Errno::RANGE) => {}
        Err(error) => return Err(error),
    }
    // The system ends both a value and a list of names at 64 KiB.
    let mut long = vec![0; 64 << 10];
    let length = read(&mut long)?;
    long.truncate(length);
    Ok(long)
}

/// Opens an entry of a directory for reading, leaving its time of access alone where that is permitted.
pub(super) fn open(directory: BorrowedFd<'_>, name: &OsStr, extra: OFlags) -> rustix::io::Result<OwnedFd> {
    // Without NONBLOCK, opening what has become a pipe meanwhile would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | extra;
    match rustix::fs::openat(directory, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(directory, name, flags, Mode::empty()),
        result => result,
    }
}

/// Asks the system about an entry of a directory, without following a link.
pub(super) fn stat(directory: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<Stat> {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}
