//! Restoring a tree, a part of it, or one file into a directory: plan, then perform.
//!
//! Every blob is compared with its id before its bytes are written. Files are written in the order of the packs, on
//! several threads; nothing is synced one by one, but the whole file system once at the end. A marker file in the
//! target tells a restore that did not end from one that did.

mod content;
mod metadata;
mod plan;
mod target;
#[cfg(test)]
mod tests;

pub use metadata::Note;
pub use plan::{Plan, plan, plan_itself};
pub use target::MARKER;

use super::blobs::Indexed;
use super::parallel::Workers;
use crate::error::{Error, ErrorCode, Result};
use content::Writer;
use metadata::Setter;
use plan::{Link, LinkTarget, Special, SpecialKind};
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::Ordering::Acquire;
use std::sync::{Mutex, PoisonError};
use target::{Folders, Target, failed, remove};

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Files, hard links among them.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// The sizes of the files, added up, in bytes.
    pub bytes: u64,
    /// What is otherwise than it was stored; at most a thousand.
    pub notes: Vec<Note>,
}

impl Plan {
    /// Restores into the directory `target`, which is made if needed and must be empty, unless `force` allows names in it
    /// to be replaced, each in one step. The progress counts bytes and files written.
    ///
    /// # Errors
    /// `usage` if the target is not empty; `restore-failed` if something cannot be written, or if some files are damaged
    /// in the repository: then all others were restored, and the mark stays; `store-unavailable`; a cancellation.
    pub fn perform(mut self, indexed: &Indexed, target: &Path, force: bool, workers: &Workers<'_>) -> Result<Restored> {
        let place = Target::open(target, force)?;
        let notes = std::mem::take(&mut self.notes);
        // A directory that was there may hand its group on.
        let owner = (!place.replaces()).then_some(place.owner);
        let setter = Setter::new(owner, notes);
        Folders::new(&self, &place).create_all()?;
        let writer = Writer { indexed, plan: &self, target: &place, setter: &setter, damage: Mutex::default() };
        writer.run(workers)?;
        let damage = writer.damage.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut folders = Folders::new(&self, &place);
        for (number, special) in self.specials.iter().enumerate() {
            workers.cancel.check()?;
            self.make_special(&place, &setter, &mut folders, number, special)?;
        }
        for (number, link) in self.links.iter().enumerate() {
            workers.cancel.check()?;
            self.make_link(&place, &mut folders, number, link)?;
        }
        // What is inside first: writing into a directory changes its time.
        for (number, entry) in (0..).zip(&self.dirs).collect::<Vec<_>>().into_iter().rev() {
            workers.cancel.check()?;
            let dir = folders.get(Some(number))?;
            let path = || self.path(entry.dir, &entry.name);
            setter.set(rustix::fd::AsFd::as_fd(&*dir), &entry.metadata, &path)?;
        }
        if !damage.is_empty() {
            return Err(self.incomplete(target, damage));
        }
        place.complete(target)?;
        Ok(Restored { files: self.files(), dirs: self.dirs(), bytes: self.bytes(), notes: setter.into_notes() })
    }

    fn make_special(
        &self,
        target: &Target,
        setter: &Setter,
        folders: &mut Folders<'_>,
        number: usize,
        special: &Special,
    ) -> Result<()> {
        let entry = &special.entry;
        let path = || self.path(entry.dir, &entry.name);
        let dir = folders.get(entry.dir)?;
        let name = target.working_name('s', number, &entry.name);
        let name: &OsStr = &name;
        let mode = Mode::from_raw_mode(0o600);
        let made = match &special.kind {
            SpecialKind::Symlink(to) => rustix::fs::symlinkat(to, &dir, name),
            SpecialKind::Fifo => rustix::fs::mknodat(&dir, name, FileType::Fifo, mode, 0),
            SpecialKind::BlockDevice(device) => rustix::fs::mknodat(&dir, name, FileType::BlockDevice, mode, *device),
            SpecialKind::CharDevice(device) => {
                rustix::fs::mknodat(&dir, name, FileType::CharacterDevice, mode, *device)
            }
        };
        let device = matches!(special.kind, SpecialKind::BlockDevice(_) | SpecialKind::CharDevice(_));
        match made {
            Err(Errno::PERM) if device => {
                setter.note(path, "is left out: only root may make devices".to_owned());
                return Ok(());
            }
            made => made.map_err(|error| failed("create", self, entry, error))?,
        }
        let symlink = matches!(special.kind, SpecialKind::Symlink(_));
        setter.set_special((rustix::fd::AsFd::as_fd(&*dir), name), symlink, &entry.metadata, &path)?;
        let placed = target.put_in_place(&dir, name, &entry.name);
        placed.map_err(|error| failed("replace", self, entry, error))
    }

    /// Makes a hard link; one to what could not be restored is left out with it.
    fn make_link(&self, target: &Target, folders: &mut Folders<'_>, number: usize, link: &Link) -> Result<()> {
        let (entry, lost) = match link.to {
            LinkTarget::File(to) => {
                let file = self.files.get(to as usize);
                (file.map(|file| &file.entry), file.is_some_and(|file| file.failed.load(Acquire)))
            }
            LinkTarget::Special(to) => (self.specials.get(to as usize).map(|special| &special.entry), false),
        };
        let entry = entry.ok_or_else(|| Error::new(ErrorCode::Internal, "a link leads out of its plan"))?;
        if lost {
            return Ok(());
        }
        let (from, to) = (folders.get(entry.dir)?, folders.get(link.dir)?);
        let name = target.working_name('l', number, &link.name);
        let linked = rustix::fs::linkat(&from, &entry.name, &to, &*name, AtFlags::empty());
        let device = matches!(link.to, LinkTarget::Special(_));
        let placed = match linked {
            // The device that it would lead to was left out, with a note.
            Err(Errno::NOENT) if device => return Ok(()),
            linked => linked.and_then(|()| target.put_in_place(&to, &name, &link.name)),
        };
        // Renaming a name over another of the same inode does nothing: then the working name is still there.
        let cleared = placed.and_then(|()| if target.replaces() { remove(&to, &name) } else { Ok(()) });
        cleared.map_err(|error| {
            let message = format!("cannot link {} in the target", self.path(link.dir, &link.name).display());
            Error::new(ErrorCode::RestoreFailed, message).caused_by(error)
        })
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
