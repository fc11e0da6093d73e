//! Looking at one name of a target after the other.

use super::differences::Aspects;
use super::existing::{Comparer, forget};
use super::folders::{Folders, failed};
use super::links::Name;
use super::look::{How, Inode, Item, Looking, PIECE};
use super::plan::{Entry, FileEntry, Link, LinkTarget, Plan, Special, SpecialKind, Use};
use super::target::Target;
use crate::error::Result;
use crate::repository::inode;
use crate::repository::parallel::Workers;
use crate::repository::tree::NodeType;
use crate::storage::ReadFrom;
use rustix::fd::AsFd;
use rustix::fs::{OFlags, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::sync::PoisonError;

/// One file as it is, or why it is none.
type Opened = std::result::Result<(File, Stat), Aspects>;

/// One thread of a look.
pub(super) struct Looker<'a> {
    looking: &'a Looking<'a>,
    folders: Folders<'a>,
    comparer: Comparer,
}

impl<'a> Looker<'a> {
    pub(super) fn new(looking: &'a Looking<'a>) -> Self {
        let folders = Folders::new(looking.plan, looking.target);
        Self { looking, folders, comparer: Comparer::new() }
    }

    pub(super) fn look(&mut self, item: Item) -> Result<()> {
        let Looking { plan, dirs, files, specials, links, .. } = self.looking;
        match item {
            Item::Dir(number) => {
                if let Some(dir) = plan.dirs.get(number as usize) {
                    dirs.add(number, self.dir(number, &dir.entry, dir.passing)?);
                }
            }
            Item::File(number) => {
                if let Some(file) = plan.files.get(number as usize) {
                    files.add(number, self.file(number, file)?);
                }
            }
            Item::Special(number) => {
                if let Some(special) = plan.specials.get(number as usize) {
                    specials.add(number, self.special(number, special)?);
                }
            }
            Item::Link(number) => {
                if let Some(link) = plan.links.get(number as usize) {
                    links.add(number, self.link(number, link)?);
                }
            }
        }
        Ok(())
    }

    fn dir(&mut self, number: u32, entry: &Entry, passing: bool) -> Result<Aspects> {
        let Some(fd) = self.folders.find(Some(number))? else {
            let there = self.stat(entry.dir, &entry.name, entry)?.is_some();
            return Ok(if there { Aspects::KIND } else { Aspects::MISSING });
        };
        if passing {
            return Ok(Aspects::NONE);
        }
        let look = || Ok(entry.metadata.differing(&rustix::fs::fstat(&fd)?, &inode::attributes(fd.as_fd())?));
        look().map_err(|error: Errno| failed("look at", self.looking.plan, entry, error))
    }

    /// Asks about a name; `None` if it does not exist.
    fn stat(&mut self, dir: Option<u32>, name: &OsStr, entry: &Entry) -> Result<Option<Stat>> {
        let Some(fd) = self.folders.find(dir)? else { return Ok(None) };
        match inode::stat(fd.as_fd(), name) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(failed("look at", self.looking.plan, entry, error)),
        }
    }

    fn open(&mut self, dir: Option<u32>, name: &OsStr, entry: &Entry) -> Result<Opened> {
        // Opening a device may do something: it is asked about first.
        let Some(stat) = self.stat(dir, name, entry)? else { return Ok(Err(Aspects::MISSING)) };
        if inode::node_type(&stat) != Some(NodeType::File) {
            return Ok(Err(Aspects::KIND));
        }
        let Some(fd) = self.folders.find(dir)? else { return Ok(Err(Aspects::MISSING)) };
        let file = match inode::open(fd.as_fd(), name, OFlags::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Err(Aspects::MISSING)),
            Err(Errno::LOOP) => return Ok(Err(Aspects::KIND)),
            // What cannot be read cannot be said to be right.
            Err(_) => return Ok(Err(Aspects::CONTENT)),
        };
        let stat = rustix::fs::fstat(&file).map_err(|error| failed("look at", self.looking.plan, entry, error))?;
        if inode::node_type(&stat) != Some(NodeType::File) {
            return Ok(Err(Aspects::KIND));
        }
        if self.looking.how.from == ReadFrom::Medium {
            forget(&file);
        }
        Ok(Ok((file, stat)))
    }

    fn file(&mut self, number: u32, file: &FileEntry) -> Result<Aspects> {
        let (open, stat) = match self.open(file.entry.dir, &file.entry.name, &file.entry)? {
            Ok(opened) => opened,
            Err(aspects) => return Ok(aspects),
        };
        self.share(Name::File(number), &stat);
        let metadata = self.metadata_of(&open, &stat, &file.entry)?;
        let sized = u64::try_from(stat.st_size) == Ok(file.size);
        if !sized && !self.looking.how.every_blob {
            return Ok(metadata.and(Aspects::CONTENT));
        }
        if file.size > PIECE {
            self.see(number, &stat);
            self.looking.large.lock().unwrap_or_else(PoisonError::into_inner).push(number);
            return Ok(metadata.and(Aspects::CONTENT.when(!sized)));
        }
        let uses = self.looking.plan.uses_of(file);
        let right = self.compare(number, file, 0, uses, (&open, &stat));
        let aspects = metadata.and(Aspects::CONTENT.when(!right || !sized));
        if !aspects.is_none() && !aspects.has(Aspects::REPLACE) {
            self.see(number, &stat);
        }
        Ok(aspects)
    }

    fn metadata_of(&self, open: &File, stat: &Stat, entry: &Entry) -> Result<Aspects> {
        let attributes = inode::attributes(open.as_fd());
        let attributes = attributes.map_err(|error| failed("look at", self.looking.plan, entry, error))?;
        Ok(entry.metadata.differing(stat, &attributes))
    }

    /// Compares a piece of a large file.
    pub(super) fn piece(&mut self, number: u32, file: &FileEntry, start: usize, uses: &[Use]) -> Result<()> {
        let Looking { how, files, .. } = self.looking;
        if !how.every_blob && files.get(number).has(Aspects::REPLACE) {
            return Ok(());
        }
        match self.open(file.entry.dir, &file.entry.name, &file.entry)? {
            Ok((open, stat)) => {
                let seen = self.looking.seen.lock().unwrap_or_else(PoisonError::into_inner).get(&number).copied();
                // All pieces are of one file.
                let same = seen == Some((stat.st_dev, stat.st_ino));
                let right = self.compare(number, file, start, uses, (&open, &stat)) && same;
                files.add(number, Aspects::CONTENT.when(!right));
            }
            Err(aspects) => files.add(number, aspects),
        }
        Ok(())
    }

    /// Says whether a file holds these of its blobs, and notes which, if not all of it is right.
    fn compare(
        &mut self,
        number: u32,
        file: &FileEntry,
        start: usize,
        uses: &[Use],
        (open, stat): (&File, &Stat),
    ) -> bool {
        let How { every_blob, counts, .. } = self.looking.how;
        let mut held = Vec::new();
        let mut right = true;
        for one in uses {
            // What cannot be read cannot be said to be right.
            let holds = self.comparer.holds(open, stat, one).unwrap_or(false);
            right &= holds;
            if holds && counts {
                self.looking.workers.progress.add_bytes(one.blob.plain_length() as u64);
            }
            if !right && !every_blob {
                return false;
            }
            held.push(holds);
        }
        let whole = uses.len() == file.blobs as usize;
        let sized = u64::try_from(stat.st_size) == Ok(file.size);
        if every_blob && !(whole && right && sized) {
            self.looking.hold(number, file.blobs, start, &held);
        }
        right
    }

    fn special(&mut self, number: u32, special: &Special) -> Result<Aspects> {
        let Special { entry, kind, .. } = special;
        let Some(stat) = self.stat(entry.dir, &entry.name, entry)? else { return Ok(Aspects::MISSING) };
        let expected = match kind {
            SpecialKind::Symlink(_) => NodeType::Symlink,
            SpecialKind::Fifo => NodeType::Fifo,
            SpecialKind::BlockDevice(_) => NodeType::Dev,
            SpecialKind::CharDevice(_) => NodeType::CharDev,
        };
        if inode::node_type(&stat) != Some(expected) {
            return Ok(Aspects::KIND);
        }
        self.share(Name::Special(number), &stat);
        let Some(fd) = self.folders.find(entry.dir)? else { return Ok(Aspects::MISSING) };
        let Looking { plan, target, .. } = self.looking;
        let look = || -> Result<Aspects, Errno> {
            let same = match kind {
                SpecialKind::Symlink(to) => inode::read_link(fd.as_fd(), &entry.name)? == *to,
                SpecialKind::Fifo => true,
                SpecialKind::BlockDevice(device) | SpecialKind::CharDevice(device) => stat.st_rdev == *device,
            };
            let path = target.path().join(plan.path(entry.dir, &entry.name));
            let attributes = inode::attributes_at(fd.as_fd(), &entry.name, &path)?;
            let metadata = match kind {
                SpecialKind::Symlink(_) => entry.metadata.differing_of_link(&stat, &attributes),
                _ => entry.metadata.differing(&stat, &attributes),
            };
            Ok(metadata.and(Aspects::CONTENT.when(!same)))
        };
        look().map_err(|error| failed("look at", plan, entry, error))
    }

    /// Looks at a hard link, which is taken to be wrong until its inode turns out to be the right one.
    fn link(&mut self, number: u32, link: &Link) -> Result<Aspects> {
        let plan = self.looking.plan;
        let (Some(entry), expected) = (plan.target_of(link), link.to) else { return Ok(Aspects::LINKS) };
        let Some(stat) = self.stat(link.dir, &link.name, entry)? else { return Ok(Aspects::MISSING) };
        let is_file = inode::node_type(&stat) == Some(NodeType::File);
        if is_file != matches!(expected, LinkTarget::File(_)) {
            return Ok(Aspects::KIND);
        }
        self.share(Name::Link(number), &stat);
        Ok(Aspects::LINKS)
    }

    fn see(&self, number: u32, stat: &Stat) {
        let mut seen = self.looking.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(number, (stat.st_dev, stat.st_ino));
    }

    fn share(&self, name: Name, stat: &Stat) {
        #[allow(clippy::useless_conversion, reason = "the type is not the same on every processor")]
        let names: u64 = stat.st_nlink.into();
        if names > 1 {
            let mut sharing = self.looking.sharing.lock().unwrap_or_else(PoisonError::into_inner);
            sharing.add((stat.st_dev, stat.st_ino), names, name);
        }
    }
}

/// Says how one more name of a file stands, and what it is, if it has the content of the file; `None` if not.
///
/// # Errors
/// As [`Look::at`].
pub(super) fn look_at_name(
    plan: &Plan,
    target: &Target,
    file: &FileEntry,
    link: &Link,
    workers: &Workers<'_>,
) -> Result<Option<(Aspects, Inode)>> {
    let how = How { every_blob: false, from: ReadFrom::Anywhere, counts: false };
    let looking = Looking::new(plan, target, how, workers);
    let mut looker = Looker::new(&looking);
    let Ok((open, stat)) = looker.open(link.dir, &link.name, &file.entry)? else { return Ok(None) };
    let metadata = looker.metadata_of(&open, &stat, &file.entry)?;
    let right =
        u64::try_from(stat.st_size) == Ok(file.size) && looker.compare(0, file, 0, plan.uses_of(file), (&open, &stat));
    Ok(right.then_some((metadata, (stat.st_dev, stat.st_ino))))
}
