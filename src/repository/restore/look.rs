//! Looking at what is in a target already: what of it is as the plan has it. Nothing is changed.

use super::differences::{Aspects, Marks};
use super::links::Sharing;
use super::looker::Looker;
use super::plan::Plan;
use super::target::Target;
use crate::error::Result;
use crate::repository::parallel::Workers;
use crate::storage::ReadFrom;
use rustix::fs::Stat;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A file of more than so many bytes is compared in pieces of about that size, by several threads.
pub(super) const PIECE: u64 = 32 << 20;

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
    /// What the files were, by device and inode, of which only metadata differ, or whose content was compared in pieces.
    seen: HashMap<u32, Inode>,
}

/// A device, and the number of an inode on it.
pub(super) type Inode = (u64, u64);

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
            seen: HashMap::new(),
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

    /// Says whether a file is the one that was looked at.
    pub(super) fn has_seen(&self, number: u32, stat: &Stat) -> bool {
        self.seen.get(&number) == Some(&(stat.st_dev, stat.st_ino))
    }

    /// Exchanges a file with one more name for it, whose aspects are `theirs`.
    pub(super) fn exchange(&mut self, file: u32, link: u32, (theirs, inode): (Aspects, Inode)) {
        self.seen.insert(file, inode);
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
pub(super) enum Item {
    Dir(u32),
    File(u32),
    Special(u32),
    Link(u32),
}

/// A look under way, shared by all threads.
pub(super) struct Looking<'a> {
    pub(super) plan: &'a Plan,
    pub(super) target: &'a Target,
    pub(super) how: How,
    pub(super) workers: &'a Workers<'a>,
    pub(super) dirs: Marks,
    pub(super) files: Marks,
    pub(super) specials: Marks,
    pub(super) links: Marks,
    pub(super) held: Mutex<HashMap<u32, Vec<bool>>>,
    pub(super) sharing: Mutex<Sharing>,
    pub(super) seen: Mutex<HashMap<u32, Inode>>,
    /// Files whose content is compared in pieces.
    pub(super) large: Mutex<Vec<u32>>,
}

impl<'a> Looking<'a> {
    pub(super) fn new(plan: &'a Plan, target: &'a Target, how: How, workers: &'a Workers<'a>) -> Self {
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
            seen: Mutex::default(),
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
            seen: self.seen.into_inner().unwrap_or_else(PoisonError::into_inner),
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

    /// Notes which blobs a file has, from the one with the number `start` on.
    pub(super) fn hold(&self, number: u32, blobs: u32, start: usize, held: &[bool]) {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let all = all.entry(number).or_insert_with(|| vec![false; blobs as usize]);
        for (one, held) in all.iter_mut().skip(start).zip(held) {
            *one = *held;
        }
    }
}
