//! Looking at what is in a target already: what of it is as the plan has it. Nothing is changed.

use super::differences::{Aspects, Marks};
use super::existing::{Comparer, forget};
use super::links::{Name, Sharing};
use super::plan::{Entry, FileEntry, Link, LinkTarget, Plan, Special, SpecialKind, Use};
use super::target::{Folders, Target, failed};
use crate::error::Result;
use crate::repository::inode;
use crate::repository::parallel::Workers;
use crate::repository::tree::NodeType;
use crate::storage::ReadFrom;
use rustix::fd::AsFd;
use rustix::fs::{OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::sync::{Mutex, PoisonError};

/// A file of more than so many bytes is compared in pieces of about that size, by several threads.
const PIECE: u64 = 32 << 20;

/// How to look.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Whether a file that differs is read on, to find the blobs that can be taken from it.
    pub(super) every_blob: bool,
    /// Where content is read from.
    pub(super) from: ReadFrom,
    /// Whether the content that is right is progress.
    pub(super) counts: bool,
}

/// What was found.
pub(super) struct Look {
    pub(super) dirs: Vec<Aspects>,
    pub(super) files: Vec<Aspects>,
    pub(super) specials: Vec<Aspects>,
    pub(super) links: Vec<Aspects>,
    /// Which blobs the files have that hold others too.
    held: HashMap<u32, Vec<bool>>,
    /// Which names share an inode.
    pub(super) sharing: Sharing,
}

/// The blobs that an existing file has where they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held<'a> {
    None,
    All,
    These(&'a [bool]),
}

impl Look {
    /// Looks at every name of the plan.
    ///
    /// # Errors
    /// `restore-failed`: a directory cannot be looked at; a cancellation.
    pub(super) fn at(plan: &Plan, target: &Target, how: How, workers: &Workers<'_>) -> Result<Self> {
        let mut items: Vec<Item> = Vec::with_capacity(plan.names());
        items.extend((0..).zip(&plan.dirs).map(|(number, _)| Item::Dir(number)));
        items.extend((0..).zip(&plan.files).map(|(number, _)| Item::File(number)));
        items.extend((0..).zip(&plan.specials).map(|(number, _)| Item::Special(number)));
        items.extend((0..).zip(&plan.links).map(|(number, _)| Item::Link(number)));
        let looking = Looking::new(plan, target, how, workers);
        workers.each(&items, || Ok(Looker::new(&looking)), |looker, item| looker.look(*item))?;
        looking.compare_pieces()?;
        Ok(looking.into_look())
    }

    /// Looks at the content of some files alone.
    ///
    /// # Errors
    /// As [`Look::at`].
    pub(super) fn at_content(
        plan: &Plan,
        target: &Target,
        files: &[u32],
        how: How,
        workers: &Workers<'_>,
    ) -> Result<Self> {
        let items: Vec<_> = files.iter().map(|number| Item::File(*number)).collect();
        let looking = Looking::new(plan, target, how, workers);
        workers.each(&items, || Ok(Looker::new(&looking)), |looker, item| looker.look(*item))?;
        looking.compare_pieces()?;
        Ok(looking.into_look())
    }

    /// Returns what a target that holds nothing looks like.
    pub(super) fn at_nothing(plan: &Plan) -> Self {
        let missing = |count| vec![Aspects::MISSING; count];
        Self {
            dirs: missing(plan.dirs.len()),
            files: missing(plan.files.len()),
            specials: missing(plan.specials.len()),
            links: missing(plan.links.len()),
            held: HashMap::new(),
            sharing: Sharing::default(),
        }
    }

    /// Says whether everything is as the plan has it.
    pub(super) fn is_right(&self) -> bool {
        [&self.dirs, &self.files, &self.specials, &self.links].into_iter().flatten().all(|aspects| aspects.is_none())
    }

    /// Returns what differs of a file.
    pub(super) fn file(&self, number: u32) -> Aspects {
        self.files.get(number as usize).copied().unwrap_or_default()
    }

    /// Returns the blobs that a file has already.
    pub(super) fn held(&self, number: u32) -> Held<'_> {
        let aspects = self.file(number);
        match self.held.get(&number) {
            _ if aspects.has(Aspects::MISSING.and(Aspects::KIND)) => Held::None,
            Some(held) => Held::These(held),
            None if aspects.has(Aspects::CONTENT) => Held::None,
            None => Held::All,
        }
    }

    /// Exchanges a file with one more name for it, whose aspects are `theirs`.
    pub(super) fn exchange(&mut self, file: u32, link: u32, theirs: Aspects) {
        if let (Some(one), Some(two)) = (self.files.get_mut(file as usize), self.links.get_mut(link as usize)) {
            *two = *one;
            *one = theirs;
        }
        self.held.remove(&file);
        self.sharing.exchange(file, link);
    }
}

/// What is looked at at once.
#[derive(Debug, Clone, Copy)]
enum Item {
    Dir(u32),
    File(u32),
    Special(u32),
    Link(u32),
}

/// A look under way, shared by all threads.
struct Looking<'a> {
    plan: &'a Plan,
    target: &'a Target,
    how: How,
    workers: &'a Workers<'a>,
    dirs: Marks,
    files: Marks,
    specials: Marks,
    links: Marks,
    held: Mutex<HashMap<u32, Vec<bool>>>,
    sharing: Mutex<Sharing>,
    /// Files whose content is compared in pieces.
    large: Mutex<Vec<u32>>,
}

impl<'a> Looking<'a> {
    fn new(plan: &'a Plan, target: &'a Target, how: How, workers: &'a Workers<'a>) -> Self {
        Self {
            plan,
            target,
            how,
            workers,
            dirs: Marks::new(plan.dirs.len()),
            files: Marks::new(plan.files.len()),
            specials: Marks::new(plan.specials.len()),
            links: Marks::new(plan.links.len()),
            held: Mutex::default(),
            sharing: Mutex::default(),
            large: Mutex::default(),
        }
    }

    fn into_look(self) -> Look {
        Look {
            dirs: self.dirs.into_aspects(),
            files: self.files.into_aspects(),
            specials: self.specials.into_aspects(),
            links: self.links.into_aspects(),
            held: self.held.into_inner().unwrap_or_else(PoisonError::into_inner),
            sharing: self.sharing.into_inner().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Compares the content of large files.
    fn compare_pieces(&self) -> Result<()> {
        let large = std::mem::take(&mut *self.large.lock().unwrap_or_else(PoisonError::into_inner));
        let mut pieces = Vec::new();
        for number in large {
            let Some(file) = self.plan.files.get(number as usize) else { continue };
            let mut rest = self.plan.uses_of(file);
            let mut start = 0;
            while let Some(first) = rest.first() {
                let count = rest.iter().take_while(|one| one.at < first.at + PIECE).count().max(1);
                let (piece, tail) = rest.split_at(count);
                pieces.push((number, file, start, piece));
                (rest, start) = (tail, start + count);
            }
        }
        self.workers.each(
            &pieces,
            || Ok(Looker::new(self)),
            |looker, (number, file, start, uses)| looker.piece(*number, file, *start, uses),
        )
    }

    fn hold(&self, number: u32, blobs: u32, start: usize, held: &[bool]) {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let all = all.entry(number).or_insert_with(|| vec![false; blobs as usize]);
        for (one, held) in all.iter_mut().skip(start).zip(held) {
            *one = *held;
        }
    }
}

/// One file as it is, or why it is none.
type Opened = std::result::Result<(File, Stat), Aspects>;

/// One thread of a look.
pub(super) struct Looker<'a> {
    looking: &'a Looking<'a>,
    folders: Folders<'a>,
    comparer: Comparer,
}

impl<'a> Looker<'a> {
    fn new(looking: &'a Looking<'a>) -> Self {
        let folders = Folders::new(looking.plan, looking.target);
        Self { looking, folders, comparer: Comparer::new() }
    }

    fn look(&mut self, item: Item) -> Result<()> {
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
            self.looking.large.lock().unwrap_or_else(PoisonError::into_inner).push(number);
            return Ok(metadata.and(Aspects::CONTENT.when(!sized)));
        }
        let uses = self.looking.plan.uses_of(file);
        let right = self.compare(number, file, 0, uses, (&open, &stat));
        Ok(metadata.and(Aspects::CONTENT.when(!right || !sized)))
    }

    fn metadata_of(&self, open: &File, stat: &Stat, entry: &Entry) -> Result<Aspects> {
        let attributes = inode::attributes(open.as_fd());
        let attributes = attributes.map_err(|error| failed("look at", self.looking.plan, entry, error))?;
        Ok(entry.metadata.differing(stat, &attributes))
    }

    /// Compares a piece of a large file.
    fn piece(&mut self, number: u32, file: &FileEntry, start: usize, uses: &[Use]) -> Result<()> {
        let Looking { how, files, .. } = self.looking;
        if !how.every_blob && files.get(number).has(Aspects::REPLACE) {
            return Ok(());
        }
        match self.open(file.entry.dir, &file.entry.name, &file.entry)? {
            Ok((open, stat)) => {
                let right = self.compare(number, file, start, uses, (&open, &stat));
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

    fn share(&self, name: Name, stat: &Stat) {
        #[allow(clippy::useless_conversion, reason = "the type is not the same on every processor")]
        let names: u64 = stat.st_nlink.into();
        if names > 1 {
            let mut sharing = self.looking.sharing.lock().unwrap_or_else(PoisonError::into_inner);
            sharing.add((stat.st_dev, stat.st_ino), names, name);
        }
    }
}

/// Says how one more name of a file stands, if it has the content of the file; `None` if not.
///
/// # Errors
/// As [`Look::at`].
pub(super) fn look_at_name(
    plan: &Plan,
    target: &Target,
    file: &FileEntry,
    link: &Link,
    workers: &Workers<'_>,
) -> Result<Option<Aspects>> {
    let how = How { every_blob: false, from: ReadFrom::Anywhere, counts: true };
    let looking = Looking::new(plan, target, how, workers);
    let mut looker = Looker::new(&looking);
    let Ok((open, stat)) = looker.open(link.dir, &link.name, &file.entry)? else { return Ok(None) };
    let metadata = looker.metadata_of(&open, &stat, &file.entry)?;
    let right =
        u64::try_from(stat.st_size) == Ok(file.size) && looker.compare(0, file, 0, plan.uses_of(file), (&open, &stat));
    Ok(right.then_some(metadata))
}
