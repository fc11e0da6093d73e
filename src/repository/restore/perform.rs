//! Doing what a plan says: only what differs is touched.

use super::Restored;
use super::content::Writer;
use super::differences::Aspects;
use super::folders::{Folders, failed};
use super::look::{How, Look};
use super::metadata::Setter;
use super::plan::{Dir, Entry, Plan};
use super::remove::remove_beginning;
use super::target::Target;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::blobs::Indexed;
use crate::repository::inode;
use crate::repository::parallel::Workers;
use crate::storage::ReadFrom;
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

const DEFAULT_ACL: &str = "system.posix_acl_default";

/// What a restore has changed so far.
#[derive(Debug, Default)]
struct Changes {
    files: AtomicU64,
    dirs: u64,
}

impl Plan {
    /// Restores into the directory `target`, which is made if needed and must be empty, unless `force` allows names in it
    /// to be replaced, each in one step. What is there already and is right, by every byte of its content, is not touched;
    /// where only metadata differ, they alone are set. The progress counts bytes and files that are as they should be.
    ///
    /// What was written is brought to the medium, then read again and compared, before the restore counts as complete; a few
    /// files are read from the medium, many as the system has them.
    ///
    /// # Errors
    /// `usage` if the target is not empty; `restore-failed` if something cannot be written, or was read back otherwise, or if
    /// some files are damaged in the repository: then all others were restored, and the mark stays; `store-unavailable`; a
    /// cancellation.
    pub fn perform(mut self, indexed: &Indexed, target: &Path, force: bool, workers: &Workers<'_>) -> Result<Restored> {
        let place = match self.home.and_then(|home| self.dirs.get(home as usize)) {
            Some(Dir { entry, .. }) => Target::open_inside(target, &entry.name, force)?,
            None => Target::open(target, force)?,
        };
        let notes = std::mem::take(&mut self.notes);
        let look = self.look_for_restore(&place, workers)?;
        workers.progress.add_items(look.files.iter().filter(|aspects| aspects.is_none()).count() as u64);
        if look.is_right() && place.replaces() && !place.is_unfinished() {
            return Ok(Restored { notes, ..self.restored() });
        }
        let owner = place.mark()?;
        // A directory that was there may hand its group on, and its access control list.
        let owner = (!place.replaces()).then_some(owner);
        let setter = Setter::new(owner, place.replaces() || has_default_acl(&place), notes);
        let mut changes = Changes::default();
        if !setter.is_root() && place.replaces() {
            self.unlock(&place, &look)?;
        }
        Folders::new(&self, &place).create_missing(&look)?;
        let replaced: Vec<u32> = (0..)
            .zip(&look.files)
            .filter(|(_, aspects)| aspects.has(Aspects::REPLACE))
            .map(|(number, _)| number)
            .collect();
        let (damage, written) = (Mutex::default(), AtomicU64::default());
        let writer = Writer { indexed, plan: &self, target: &place, setter: &setter, look: &look, damage, written };
        writer.run(&replaced, workers)?;
        let Writer { damage, written, .. } = writer;
        let damage = damage.into_inner().unwrap_or_else(PoisonError::into_inner);
        changes.files.fetch_add((replaced.len() - damage.len()) as u64, Relaxed);
        self.mend_files(&place, &setter, &look, &changes, workers)?;
        self.make_names(&place, &setter, &look, &mut changes.files, workers)?;
        self.remove_abandoned(&place)?;
        self.mend_dirs(&place, &setter, &look, &mut changes, workers)?;
        let locked = if setter.is_root() { Vec::new() } else { self.locked() };
        let from = self.sync(&place, &look, &locked)?;
        self.prove(&place, &setter, (&replaced, from), &locked, workers)?;
        if !damage.is_empty() {
            return Err(self.incomplete(target, damage));
        }
        place.complete()?;
        Ok(Restored {
            changed_files: changes.files.into_inner(),
            changed_dirs: changes.dirs,
            written_bytes: written.into_inner(),
            notes: setter.into_notes(),
            ..self.restored()
        })
    }

    /// Returns what a restore did that had nothing to do.
    fn restored(&self) -> Restored {
        Restored {
            files: self.files(),
            dirs: self.dirs(),
            bytes: self.bytes(),
            changed_files: 0,
            changed_dirs: 0,
            written_bytes: 0,
            notes: Vec::new(),
        }
    }

    fn look_for_restore(&mut self, place: &Target, workers: &Workers<'_>) -> Result<Look> {
        if !place.replaces() {
            return Ok(Look::at_nothing(self));
        }
        let how = How { every_blob: true, from: ReadFrom::Anywhere, counts: true };
        let mut look = Look::at(self, place, how, workers)?;
        self.choose_leaders(&mut look, place, workers)?;
        self.judge_links(&mut look);
        Ok(look)
    }

    /// Lets its owner write into the directories in which something is to be changed, until they are complete.
    fn unlock(&self, target: &Target, look: &Look) -> Result<()> {
        let files = look.files.iter().zip(self.files.iter().map(|file| file.entry.dir));
        let specials = look.specials.iter().zip(self.specials.iter().map(|special| special.entry.dir));
        let links = look.links.iter().zip(self.links.iter().map(|link| link.dir));
        let dirs = look.dirs.iter().zip(self.dirs.iter().map(|dir| dir.entry.dir));
        let all = files.chain(specials).chain(links).chain(dirs);
        let holders: HashSet<u32> =
            all.filter(|(aspects, _)| aspects.has(Aspects::REPLACE)).filter_map(|(_, dir)| dir).collect();
        let mut folders = Folders::new(self, target);
        for (number, Dir { entry, .. }) in (0..).zip(&self.dirs) {
            let Some(dir) = folders.find(Some(number))?.filter(|_| holders.contains(&number)) else { continue };
            let unlock = || {
                let mode = rustix::fs::fstat(&dir)?.st_mode;
                if mode & 0o700 == 0o700 { Ok(()) } else { rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode | 0o700)) }
            };
            unlock().map_err(|error: rustix::io::Errno| failed("write into", self, entry, error))?;
        }
        Ok(())
    }

    /// Sets what differs on files whose content is right.
    fn mend_files(
        &self,
        target: &Target,
        setter: &Setter,
        look: &Look,
        changes: &Changes,
        workers: &Workers<'_>,
    ) -> Result<()> {
        let to_mend = |aspects: &Aspects| !aspects.is_none() && !aspects.has(Aspects::REPLACE);
        let files: Vec<_> =
            (0..).zip(look.files.iter().zip(&self.files)).filter(|(_, (one, _))| to_mend(one)).collect();
        workers.each(
            &files,
            || Ok(Folders::new(self, target)),
            |folders, (number, (_, file))| {
                let entry = &file.entry;
                let dir = folders.get(entry.dir)?;
                let open = || {
                    let open = inode::open(dir.as_fd(), &entry.name, OFlags::empty())?;
                    rustix::fs::fstat(&open).map(|stat| (open, stat))
                };
                let (open, stat) = open().map_err(|error| failed("open", self, entry, error))?;
                if !look.has_seen(*number, &stat) {
                    return Err(self.replaced_meanwhile(target, entry));
                }
                let mended = setter.mend(open.as_fd(), &entry.metadata, &|| self.path(entry.dir, &entry.name))?;
                changes.files.fetch_add(mended.into(), Relaxed);
                workers.progress.add_items(1);
                Ok(())
            },
        )
    }

    /// Gives the directories what they get when they are complete.
    fn mend_dirs(
        &self,
        target: &Target,
        setter: &Setter,
        look: &Look,
        changes: &mut Changes,
        workers: &Workers<'_>,
    ) -> Result<()> {
        let mut folders = Folders::new(self, target);
        // What is inside first: writing into a directory changes its time.
        for (number, (Dir { entry, passing }, aspects)) in
            (0..).zip(self.dirs.iter().zip(&look.dirs)).collect::<Vec<_>>().into_iter().rev()
        {
            workers.cancel.check()?;
            let new = aspects.has(Aspects::REPLACE);
            let path = || self.path(entry.dir, &entry.name);
            if new {
                changes.dirs += 1;
                setter.set(folders.get(Some(number))?.as_fd(), &entry.metadata, &path)?;
            } else if !passing {
                // Its time may be another only because of what was written into it.
                let mended = setter.mend(folders.get(Some(number))?.as_fd(), &entry.metadata, &path)?;
                changes.dirs += u64::from(mended && !aspects.is_none());
            }
        }
        Ok(())
    }

    /// Removes what restores that did not end have left.
    fn remove_abandoned(&self, target: &Target) -> Result<()> {
        let abandoned = target.abandoned();
        if abandoned.is_empty() {
            return Ok(());
        }
        let mut folders = Folders::new(self, target);
        let numbers = (0..).zip(&self.dirs).map(|(number, _)| Some(number));
        // Beside a directory that is restored itself nothing was written.
        for dir in self.home.is_none().then_some(None).into_iter().chain(numbers) {
            let removed = remove_beginning(&*folders.get(dir)?, &abandoned);
            removed.map_err(|error| {
                let message = format!("cannot remove what an interrupted restore left in {}", target.path().display());
                Error::new(ErrorCode::RestoreFailed, message).caused_by(error)
            })?;
        }
        Ok(())
    }

    /// Says that a name leads to another file by now, whose content nobody has compared.
    fn replaced_meanwhile(&self, target: &Target, entry: &Entry) -> Error {
        let path = self.path(entry.dir, &entry.name);
        let message = format!("{} was replaced by something else after it was looked at", path.display());
        Error::new(ErrorCode::RestoreFailed, message)
            .hint(format!("see that nothing writes into {}, and restore again", target.path().display()))
    }

    fn incomplete(&self, target: &Path, mut damage: Vec<(u32, Error)>) -> Error {
        damage.sort_by_key(|(number, _)| *number);
        let path = |number: &u32| {
            let file = self.files.get(*number as usize);
            file.map(|file| self.path(file.entry.dir, &file.entry.name)).unwrap_or_default()
        };
        let names: Vec<_> = damage.iter().take(10).map(|(number, _)| path(number).display().to_string()).collect();
        let more = if damage.len() > names.len() { ", …" } else { "" };
        let message = format!(
            "{} of {} files are damaged in the repository and were not restored: {}{more}",
            damage.len(),
            self.files.len(),
            names.join(", ")
        );
        let mut error = Error::new(ErrorCode::RestoreFailed, message)
            .hint(format!("everything else is in {}", target.display()))
            .hint("run `holdpoint check --read-data` to find out what else is damaged");
        if let Some((_, cause)) = damage.into_iter().next() {
            error = error.caused_by(cause);
        }
        error
    }
}

/// Says whether what is made in the target gets an access control list from it.
fn has_default_acl(target: &Target) -> bool {
    rustix::fs::fgetxattr(target.root(), DEFAULT_ACL, &mut [][..] as &mut [u8]).is_ok()
}
