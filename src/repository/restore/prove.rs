//! What makes a restore count: all of it is on the medium, and reads back as what it should be.

use super::differences::Aspects;
use super::folders::{Folders, failed};
use super::look::{How, Look};
use super::metadata::Setter;
use super::plan::{Dir, Entry, Plan};
use super::target::Target;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::inode;
use crate::repository::parallel::Workers;
use crate::storage::ReadFrom;
use rustix::fd::AsFd;
use rustix::fs::OFlags;
use std::collections::HashSet;
use std::sync::atomic::Ordering::Acquire;

/// The most files and directories that are brought to the medium one by one, and read from there again. For many, dropping
/// them from the page cache and reading them again takes several times as long as writing them.
const FEW: usize = 64;

impl Plan {
    /// Says of each file whether its permissions, or those of a directory on the way, lock its owner out.
    pub(super) fn locked(&self) -> Vec<bool> {
        let mut dirs: Vec<bool> = Vec::with_capacity(self.dirs.len());
        let at = |dirs: &[bool], dir: Option<u32>| {
            dir.and_then(|number| dirs.get(number as usize)).copied().unwrap_or(false)
        };
        for Dir { entry, .. } in &self.dirs {
            dirs.push(at(&dirs, entry.dir) || entry.metadata.mode & 0o500 != 0o500);
        }
        let locked = |entry: &Entry| at(&dirs, entry.dir) || entry.metadata.mode & 0o400 == 0;
        self.files.iter().map(|file| locked(&file.entry)).collect()
    }

    /// Brings what was touched to the medium; says where it can be read back from at a price that fits.
    pub(super) fn sync(&self, target: &Target, look: &Look, locked: &[bool]) -> Result<ReadFrom> {
        let touched = |aspects: &Aspects| !aspects.is_none();
        let files: Vec<_> = look.files.iter().zip(&self.files).filter(|(aspects, _)| touched(aspects)).collect();
        let mut dirs: HashSet<Option<u32>> = files.iter().map(|(_, file)| file.entry.dir).collect();
        let specials = look.specials.iter().zip(&self.specials).filter(|(aspects, _)| touched(aspects));
        dirs.extend(specials.map(|(_, special)| special.entry.dir));
        dirs.extend(
            look.links.iter().zip(&self.links).filter(|(aspects, _)| touched(aspects)).map(|(_, link)| link.dir),
        );
        for (number, (aspects, dir)) in (0..).zip(look.dirs.iter().zip(&self.dirs)) {
            if touched(aspects) {
                dirs.extend([Some(number), dir.entry.dir]);
            }
        }
        // One call for the whole file system costs less than one for each of many files, and more than one for each of a few:
        // it waits for what others have written, too. What a restore that did not end has written, nobody knows.
        if files.len() + dirs.len() > FEW || target.is_unfinished() || locked.contains(&true) {
            let all = || (0..).zip(&self.dirs).map(|(number, _)| number);
            let dirs: Vec<u32> =
                if target.is_unfinished() { all().collect() } else { dirs.into_iter().flatten().collect() };
            return self.sync_file_systems(target, &dirs).map(|()| ReadFrom::Anywhere);
        }
        let mut folders = Folders::new(self, target);
        for (_, file) in files.iter().filter(|(_, file)| !file.failed.load(Acquire)) {
            let entry = &file.entry;
            let dir = folders.get(entry.dir)?;
            let synced = inode::open(dir.as_fd(), &entry.name, OFlags::empty()).and_then(rustix::fs::fsync);
            synced.map_err(|error| failed("write to the medium", self, entry, error))?;
        }
        for number in dirs.into_iter().flatten() {
            let synced = rustix::fs::fsync(&*folders.get(Some(number))?);
            let entry = self.dirs.get(number as usize).map(|dir| &dir.entry);
            let failed = |error| match entry {
                Some(entry) => failed("write to the medium", self, entry, error),
                None => Error::new(ErrorCode::Internal, "a directory is not in its plan"),
            };
            synced.map_err(failed)?;
        }
        target.sync_names().map(|()| ReadFrom::Medium)
    }

    /// Brings every file system to the medium that the target or one of `dirs` is on: other ones may be mounted below the target.
    fn sync_file_systems(&self, target: &Target, dirs: &[u32]) -> Result<()> {
        let mut done = HashSet::new();
        target.sync_file_system(target.home(), &mut done)?;
        let mut folders = Folders::new(self, target);
        for number in dirs {
            // One that its owner is locked out of by now is on the file system of the one above it, which he restored into.
            if let Some(dir) = folders.find(Some(*number))? {
                target.sync_file_system(&dir, &mut done)?;
            }
        }
        target.sync_names()
    }

    /// Reads what was written and compares it with the snapshot.
    pub(super) fn prove(
        &self,
        target: &Target,
        setter: &Setter,
        (written, from): (&[u32], ReadFrom),
        locked: &[bool],
        workers: &Workers<'_>,
    ) -> Result<()> {
        let mut to_read = Vec::with_capacity(written.len());
        for number in written {
            let Some(file) = self.files.get(*number as usize) else { continue };
            if locked.get(*number as usize).copied().unwrap_or(false) {
                let message = "was not read back: its permissions forbid it to whoever restores".to_owned();
                setter.note(|| self.path(file.entry.dir, &file.entry.name), message);
            } else if !file.failed.load(Acquire) {
                to_read.push(*number);
            }
        }
        let written = to_read;
        let how = How { every_blob: false, from, counts: false };
        let look = Look::at_content(self, target, &written, how, workers)?;
        let wrong = Aspects::MISSING.and(Aspects::KIND).and(Aspects::CONTENT);
        let mut wrong = written.iter().filter(|number| look.file(**number).has(wrong));
        let Some(first) = wrong.next().and_then(|number| self.files.get(*number as usize)) else { return Ok(()) };
        let path = self.path(first.entry.dir, &first.entry.name);
        let message = match wrong.count() {
            0 => format!("{} was written, and then read back otherwise", path.display()),
            more => format!("{} and {more} other files were written, and then read back otherwise", path.display()),
        };
        Err(Error::new(ErrorCode::RestoreFailed, message).hint(format!(
            "make sure that nothing writes into {} meanwhile; if nothing does, its medium cannot be trusted",
            target.path().display()
        )))
    }
}
