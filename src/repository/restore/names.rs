//! Making the names that are neither files with content nor directories: symbolic and hard links, pipes, devices.

use super::differences::Aspects;
use super::folders::{Folders, failed};
use super::look::Look;
use super::metadata::Setter;
use super::plan::{Link, LinkTarget, Plan, Special, SpecialKind};
use super::remove::remove;
use super::target::Target;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::parallel::Workers;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Acquire;

impl Plan {
    /// Makes those that differ; counts the hard links among `files`.
    ///
    /// # Errors
    /// `restore-failed`; a cancellation.
    pub(super) fn make_names(
        &self,
        target: &Target,
        setter: &Setter,
        look: &Look,
        files: &mut AtomicU64,
        workers: &Workers<'_>,
    ) -> Result<()> {
        let mut folders = Folders::new(self, target);
        for (number, (special, aspects)) in self.specials.iter().zip(&look.specials).enumerate() {
            workers.cancel.check()?;
            if aspects.has(Aspects::REPLACE) {
                self.make_special(target, setter, &mut folders, number, special)?;
            } else if !aspects.is_none() {
                self.mend_special(setter, &mut folders, special, *aspects)?;
            }
        }
        for (number, (link, aspects)) in self.links.iter().zip(&look.links).enumerate() {
            workers.cancel.check()?;
            let moved = match link.to {
                LinkTarget::File(to) => look.file(to).has(Aspects::REPLACE),
                LinkTarget::Special(to) => {
                    look.specials.get(to as usize).is_some_and(|aspects| aspects.has(Aspects::REPLACE))
                }
            };
            if moved || !aspects.is_none() {
                self.make_link(target, &mut folders, number, link)?;
                *files.get_mut() += 1;
            }
        }
        Ok(())
    }

    fn mend_special(
        &self,
        setter: &Setter,
        folders: &mut Folders<'_>,
        special: &Special,
        differing: Aspects,
    ) -> Result<()> {
        let entry = &special.entry;
        let path = || self.path(entry.dir, &entry.name);
        let dir = folders.get(entry.dir)?;
        let symlink = matches!(special.kind, SpecialKind::Symlink(_));
        setter.mend_special((dir.as_fd(), &entry.name), symlink, &entry.metadata, differing, &path).map(drop)
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
        setter.set_special((dir.as_fd(), name), symlink, &entry.metadata, &path)?;
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
}
