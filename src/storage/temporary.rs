//! Files that are being written: gone with whoever writes them, or soon after if that process was killed.
//!
//! The writer holds a lock (flock(2)) on the file, which ends with its process however that ends. So a file whose lock
//! can be had is nobody's any more.

use std::fs::{File, TryLockError};
use std::io::Result;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use tempfile::NamedTempFile;

/// How the names end, so that no file of somebody else is taken for one of ours.
const SUFFIX: &str = ".tmp";

/// Creates a file for writing in `folder`; its name begins with `prefix`.
///
/// # Errors
/// The operating system's own.
pub fn create(folder: &Path, prefix: &str, mode: u32) -> Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new()
            .prefix(prefix)
            .suffix(SUFFIX)
            .permissions(std::fs::Permissions::from_mode(mode))
            .tempfile_in(folder)?;
        match file.as_file().try_lock() {
            // Whoever cleans up may have come between the creation and the lock.
            Ok(()) if file.as_file().metadata()?.nlink() == 0 => {}
            Err(TryLockError::WouldBlock) => {}
            Ok(()) => return Ok(file),
            // A file system without locks: nobody can prove the file abandoned, so it stays.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

/// Removes the files in `folder` whose writers are gone. What cannot be opened or removed is left to a later run.
pub fn remove_abandoned(folder: &Path, prefix: &str) {
    let Ok(entries) = folder.read_dir() else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(SUFFIX));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let Ok(file) = File::options().write(true).open(entry.path()) else { continue };
        // The lock is held until the file is gone: its writer may be just about to take it.
        if file.try_lock().is_ok() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_writes_any_more_goes_and_the_rest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let written = create(folder.path(), "put-", 0o600).unwrap();
        let abandoned = create(folder.path(), "put-", 0o600).unwrap();
        let (file, abandoned) = abandoned.keep().unwrap();
        drop(file);
        let foreign = folder.path().join("put-notes");
        std::fs::write(&foreign, "x").unwrap();
        remove_abandoned(folder.path(), "put-");
        assert!(written.path().exists() && foreign.exists() && !abandoned.exists());
        remove_abandoned(&folder.path().join("missing"), "put-");
    }
}
