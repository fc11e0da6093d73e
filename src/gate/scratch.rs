//! A private directory for what must be on disk for a while; gone with the run, and with the next one if it was killed.

use super::leftovers::{end_users, remove_tree};
use crate::error::{IoContext, Result};
use crate::model::release_id::path_component;
use crate::source::throwaway::{end_abandoned, is_abandoned, own_prefix, scratch_places};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A directory that only we can read.
#[derive(Debug)]
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// Creates the directory below the system's own for temporary files, and removes those of runs that were killed.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn create() -> Result<Self> {
        let parent = std::env::temp_dir();
        // Servers of drills that run as another account have their homes elsewhere.
        scratch_places().for_each(|place| remove_abandoned(&place));
        let prefix = own_prefix();
        let directory = tempfile::Builder::new()
            .prefix(&prefix)
            // Whatever the umask says.
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .io_context(|| format!("cannot create a directory in {}", parent.display()))?;
        Ok(Self(directory))
    }

    /// Returns a directory of its own for one source.
    ///
    /// # Errors
    /// The directory cannot be created.
    pub fn folder(&self, source: &str) -> Result<PathBuf> {
        let path = self.0.path().join(path_component(source));
        fs::DirBuilder::new().mode(0o700).create(&path).io_context(|| format!("cannot create {}", path.display()))?;
        Ok(path)
    }

    /// Returns the directory itself.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Removes the directories of processes that are gone. What cannot be removed is not ours to remove.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    let own = rustix::process::getuid().as_raw();
    for entry in entries.flatten() {
        let gone = entry.file_name().to_str().is_some_and(is_abandoned);
        let ours = fs::symlink_metadata(entry.path()).is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == own);
        // A drill of that run may have left a server that runs in there, or a check's program; they go first.
        if ours && gone && end_abandoned(&entry.path()) {
            end_users(&entry.path());
            let _ = remove_tree(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::throwaway::prefix;

    #[test]
    fn the_directory_of_a_dead_process_goes_and_that_of_a_living_one_stays() {
        let parent = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = parent.path().join(format!("{}x", prefix(child.id())));
        child.wait().unwrap();
        let living = parent.path().join(format!("{}x", own_prefix()));
        fs::create_dir_all(dead.join("below")).unwrap();
        fs::create_dir(&living).unwrap();
        remove_abandoned(parent.path());
        assert!(!dead.exists() && living.exists());
    }
}
