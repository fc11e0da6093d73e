//! The directory of a cache: files named by their SHA-256, bounded in size, the longest unused evicted first.

use super::super::temporary;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File};
use std::io::{Error, ErrorKind, Result, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// How large a cache may grow unless it is said.
pub const DEFAULT_SIZE: u64 = 1 << 30;
/// How the names of files that are being written begin.
const PREFIX: &str = ".cache-";
/// The share of its size that a cache may grow by until it is looked at again: other runs add to it, too.
const SHARE: u64 = 8;
/// The rights of everybody but the owner.
const OF_OTHERS: u32 = 0o077;

/// A directory of files that can be had again.
#[derive(Debug)]
pub struct CacheDirectory {
    path: PathBuf,
    max_size: u64,
    /// Bytes that may still be written before the directory is looked at; `None` before the first time.
    room: Mutex<Option<u64>>,
    /// Set when a file could not be written: a full disk is not tried again and again.
    is_off: AtomicBool,
}

impl CacheDirectory {
    /// Opens the directory, made where there is none, for at most `max_size` bytes.
    ///
    /// One that lets others in is not used, and not changed, for it may be meant for something else: who reads it sees what
    /// is captured how often, and who writes it can fill it.
    ///
    /// # Errors
    /// It cannot be made or written, or others have rights to it.
    pub fn open(path: &Path, max_size: u64) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let mode = fs::metadata(path)?.permissions().mode() & 0o777;
        if mode & OF_OTHERS != 0 {
            let message = format!("its mode {mode:03o} lets others in: chmod 700, or name another `directory`");
            return Err(Error::new(ErrorKind::PermissionDenied, message));
        }
        temporary::remove_abandoned(path, PREFIX);
        // Gone as soon as it is dropped: it was only to see.
        temporary::create(path, PREFIX, 0o600)?;
        Ok(Self { path: path.to_owned(), max_size, room: Mutex::default(), is_off: AtomicBool::new(false) })
    }

    /// Returns the file of this name if it is there and holds what its name says; one that does not is thrown away.
    pub fn find(&self, name: &str) -> Option<Vec<u8>> {
        let path = self.path.join(name);
        let data = fs::read(&path).ok()?;
        if hex::encode(Sha256::digest(&data)) != name {
            let _ = fs::remove_file(&path);
            return None;
        }
        // What is used stays longest. One that cannot be marked goes earlier.
        let _ = File::options().write(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        Some(data)
    }

    /// Keeps a file as far as that works.
    pub fn keep(&self, name: &str, data: &[u8]) {
        let size = data.len() as u64;
        // Each of them shall be a small part of the whole.
        if size > self.max_size / 2 || self.is_off.load(Relaxed) || self.path.join(name).exists() {
            return;
        }
        let written = self.make_room(size).and_then(|()| {
            let mut file = temporary::create(&self.path, PREFIX, 0o600)?;
            file.write_all(data)?;
            // Not synced: a file that a crash cut does not fit its name.
            file.persist(self.path.join(name)).map(drop).map_err(|error| error.error)
        });
        if written.is_err() {
            self.is_off.store(true, Relaxed);
        }
    }

    /// Removes a file.
    pub fn forget(&self, name: &str) {
        let _ = fs::remove_file(self.path.join(name));
    }

    /// Makes sure that `size` more bytes fit, and evicts what was not used for the longest time if they do not.
    fn make_room(&self, size: u64) -> Result<()> {
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if room.is_none_or(|room| room < size) {
            let mut files = Vec::new();
            let mut total: u64 = 0;
            for entry in fs::read_dir(&self.path)?.flatten() {
                // One that another run has just evicted is not there.
                let Ok(metadata) = entry.metadata() else { continue };
                // What somebody else keeps here is not ours to remove.
                let is_kept = entry.file_name().to_str().is_some_and(super::is_digest);
                if metadata.is_file() && is_kept {
                    total += metadata.len();
                    files.push((metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), entry.path()));
                }
            }
            files.sort_unstable_by_key(|file| std::cmp::Reverse(file.0));
            let share = (self.max_size / SHARE).max(size);
            while total + share > self.max_size
                && let Some((_, size, path)) = files.pop()
            {
                fs::remove_file(path).or_else(gone)?;
                total -= size;
            }
            *room = Some(share);
        }
        *room = room.map(|room| room - size);
        Ok(())
    }
}

fn gone(error: std::io::Error) -> Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn name(data: &[u8]) -> String {
        hex::encode(Sha256::digest(data))
    }

    fn size(folder: &Path) -> u64 {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let cache = CacheDirectory::open(&path, 8000).unwrap();
        let files: Vec<Vec<u8>> = (0..40).map(|number| vec![number; 500]).collect();
        for (number, data) in (0..).zip(&files) {
            cache.keep(&name(data), data);
            // The first one is used again and again.
            let long_ago = SystemTime::now() - Duration::from_secs(1000 - number);
            File::options().write(true).open(path.join(name(data))).unwrap().set_modified(long_ago).unwrap();
            assert_eq!(cache.find(&name(&files[0])).as_ref(), Some(&files[0]));
            assert!(size(&path) <= 8000);
        }
        assert_eq!(cache.find(&name(&files[39])).as_ref(), Some(&files[39]));
        assert_eq!(cache.find(&name(&files[1])), None);
        cache.keep(&name(&[9; 5000]), &[9; 5000]);
        assert_eq!(cache.find(&name(&[9; 5000])), None, "larger than half of it");
    }

    #[test]
    fn what_does_not_fit_its_name_is_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let private = folder.path().join("a/b");
        let cache = CacheDirectory::open(&private, 1 << 20).unwrap();
        let (data, path) = (b"an index", private.join(name(b"an index")));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for broken in [&b"an indexx"[..], b"an inde", b""] {
            cache.keep(&name(data), data);
            assert_eq!((mode(&path), mode(&private)), (0o600, 0o700));
            assert_eq!(cache.find(&name(data)).as_deref(), Some(&data[..]));
            fs::write(&path, broken).unwrap();
            assert_eq!(cache.find(&name(data)), None);
            assert!(!path.exists());
        }
        cache.keep(&name(data), data);
        cache.forget(&name(data));
        assert_eq!(cache.find(&name(data)), None);
    }

    #[test]
    fn a_directory_that_lets_others_in_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        for (mode, is_used) in [(0o755, false), (0o701, false), (0o720, false), (0o700, true)] {
            let _ = fs::create_dir(&path);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let opened = CacheDirectory::open(&path, 1 << 20);
            assert_eq!(opened.is_ok(), is_used, "{mode:o}");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            if let Err(error) = opened {
                assert!(error.to_string().contains(&format!("{mode:o} lets others in")), "{error}");
                assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
            }
        }
    }

    #[test]
    fn a_directory_that_goes_away_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let cache = CacheDirectory::open(&path, 1 << 20).unwrap();
        fs::remove_dir_all(&path).unwrap();
        cache.keep(&name(b"x"), b"x");
        assert_eq!(cache.find(&name(b"x")), None);
        fs::write(&path, "a file").unwrap();
        assert!(CacheDirectory::open(&path, 1 << 20).is_err());
    }

    #[test]
    fn runs_side_by_side_see_whole_files_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let files: Vec<Vec<u8>> = (0..50).map(|number| vec![number; 20_000]).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    // Small enough that they evict each other's.
                    let cache = CacheDirectory::open(&path, 200_000).unwrap();
                    for data in files.iter().chain(&files) {
                        cache.keep(&name(data), data);
                        assert!(cache.find(&name(data)).is_none_or(|found| found == *data));
                    }
                });
            }
        });
        // Each of the four may have written its share since it last looked.
        assert!(size(&path) <= 200_000 + 4 * 200_000 / SHARE + 4 * 20_000);
        assert!(fs::read_dir(&path).unwrap().all(|entry| entry.unwrap().file_name().len() == 64));
    }
}
