//! Removing what is in the way.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes a name, if it is there.
pub(super) fn remove(dir: impl AsFd, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

/// Removes a name and, if it is a directory, all that is in it. No link is followed, and no other file system is entered: what
/// is mounted there makes it fail.
pub(super) fn remove_all(dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(Errno::NOENT) => return Ok(()),
        removed => return removed,
    }
    let top = rustix::fs::openat(dir, name, DIRECTORY, Mode::empty())?;
    // What is below is brought up to the top, so that no depth of directories needs as many descriptors, or a stack.
    let mut brought = 0_u64;
    loop {
        let names = names(&top)?;
        if names.is_empty() {
            return rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR);
        }
        for name in names {
            match rustix::fs::unlinkat(&top, &name, AtFlags::empty()) {
                Err(Errno::ISDIR | Errno::PERM) => {}
                removed => {
                    removed?;
                    continue;
                }
            }
            match rustix::fs::unlinkat(&top, &name, AtFlags::REMOVEDIR) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                removed => {
                    removed?;
                    continue;
                }
            }
            let below = rustix::fs::openat(&top, &name, DIRECTORY, Mode::empty())?;
            for inner in self::names(&below)? {
                match rustix::fs::unlinkat(&below, &inner, AtFlags::empty()) {
                    Err(Errno::ISDIR | Errno::PERM) => {}
                    removed => {
                        removed?;
                        continue;
                    }
                }
                // A name that is taken, by a directory that holds something or by a file, makes it fail: the next will do.
                loop {
                    brought += 1;
                    match rustix::fs::renameat(&below, &inner, &top, format!(".{brought}")) {
                        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => {}
                        renamed => break renamed?,
                    }
                }
            }
            rustix::fs::unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
        }
    }
}

/// Returns the names in a directory.
pub(super) fn names(dir: &OwnedFd) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// Removes what has a name in `dir` that begins with one of `prefixes`.
pub(super) fn remove_beginning(dir: &OwnedFd, prefixes: &[&str]) -> Result<(), Errno> {
    for name in names(dir)? {
        if prefixes.iter().any(|prefix| name.to_bytes().starts_with(prefix.as_bytes())) {
            remove_all(dir, OsStr::from_bytes(name.to_bytes()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn all_that_is_below_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), b"").unwrap();
        let mut deep = folder.path().join("gone");
        for number in 0..40 {
            deep.push(format!(".{number}"));
            fs::create_dir_all(&deep).unwrap();
            fs::write(deep.join("file"), b"").unwrap();
            fs::write(deep.join(".1"), b"").or_else(|_| fs::write(deep.join(".x"), b"")).unwrap();
            symlink(&outside, deep.join("link")).unwrap();
            let _ = fs::remove_file(deep.join(format!(".{}", number + 1)));
        }
        let dir = rustix::fs::open(folder.path(), DIRECTORY, Mode::empty()).unwrap();
        remove_all(&dir, OsStr::new("gone")).unwrap();
        remove_all(&dir, OsStr::new("gone")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(outside.join("kept").exists());
    }
}
