//! Comparing a snapshot with a directory; nothing is changed.

use super::differences::{Aspects, Differences};
use super::folders::Folders;
use super::look::{How, Look};
use super::plan::{Entry, Plan};
use super::remove::names;
use super::target::{MARKER, Target};
use crate::error::{Error, ErrorCode, Result};
use crate::repository::parallel::Workers;
use crate::storage::ReadFrom;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Plan {
    /// Compares everything in the plan with what is in the directory `target`, every byte of the files, and changes
    /// nothing but times of access. With `additional`, names that the snapshot does not have are counted too, a directory
    /// with all that it holds as one; what lies beside a file or directory that was planned alone is not.
    ///
    /// Names that were left out of the snapshot (`exclude`) cannot be told from those that came later. The progress counts the
    /// bytes that are as they should be.
    ///
    /// # Errors
    /// `restore-failed`: something in the target cannot be looked at; `io`: `target` is there and cannot be opened; a
    /// cancellation. A target that does not exist misses everything. A file that cannot be read has another content.
    pub fn compare(&self, target: &Path, additional: bool, workers: &Workers<'_>) -> Result<Differences> {
        let there = target.symlink_metadata().map(|_| true).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(false),
            _ => Err(Error::new(ErrorCode::Io, format!("cannot look at {}", target.display())).caused_by(error)),
        })?;
        if !there {
            return Ok(self.differences(&Look::at_nothing(self)));
        }
        let place = Target::open_existing(target, self.home.is_some())?;
        let how = How { every_blob: false, from: ReadFrom::Anywhere, counts: true };
        let mut look = Look::at(self, &place, how, workers)?;
        self.judge_links(&mut look);
        let mut differences = self.differences(&look);
        if additional {
            self.find_additional(&place, &mut differences, workers)?;
        }
        Ok(differences)
    }

    fn differences(&self, look: &Look) -> Differences {
        let mut differences = Differences {
            names: self.names() as u64,
            files: self.files(),
            bytes: self.bytes(),
            ..Differences::default()
        };
        let mut count = |aspects: &Aspects, entry: &Entry| {
            differences.count(*aspects, || self.path(entry.dir, &entry.name));
        };
        look.dirs.iter().zip(&self.dirs).for_each(|(aspects, dir)| count(aspects, &dir.entry));
        look.files.iter().zip(&self.files).for_each(|(aspects, file)| count(aspects, &file.entry));
        look.specials.iter().zip(&self.specials).for_each(|(aspects, special)| count(aspects, &special.entry));
        for (aspects, link) in look.links.iter().zip(&self.links) {
            differences.count(*aspects, || self.path(link.dir, &link.name));
        }
        differences
    }

    fn find_additional(&self, target: &Target, differences: &mut Differences, workers: &Workers<'_>) -> Result<()> {
        let entries = self.dirs.iter().map(|dir| &dir.entry).chain(self.files.iter().map(|file| &file.entry));
        let entries = entries.chain(self.specials.iter().map(|special| &special.entry));
        let mut known: HashSet<(Option<u32>, &OsStr)> =
            entries.map(|entry| (entry.dir, entry.name.as_os_str())).collect();
        known.extend(self.links.iter().map(|link| (link.dir, link.name.as_os_str())));
        known.extend(self.left_out.iter().map(|(dir, name)| (*dir, name.as_os_str())));
        known.insert((self.home, OsStr::new(MARKER)));
        let mut folders = Folders::new(self, target);
        let whole = (0..).zip(&self.dirs).filter(|(_, dir)| !dir.passing).map(|(number, _)| Some(number));
        for dir in self.whole.then_some(None).into_iter().chain(whole) {
            workers.cancel.check()?;
            let Some(fd) = folders.find(dir)? else { continue };
            let listed = names(&fd).map_err(|error| {
                let at = target.path().display();
                Error::new(ErrorCode::RestoreFailed, format!("cannot list a directory below {at}")).caused_by(error)
            })?;
            for name in listed {
                let name = OsStr::from_bytes(name.to_bytes());
                if !known.contains(&(dir, name)) {
                    differences.count(Aspects::ADDITIONAL, || self.path(dir, name));
                }
            }
        }
        Ok(())
    }
}
