//! Hard links: which names share an inode, and which should.

use super::differences::Aspects;
use super::look::{Held, Look};
use super::looker::look_at_name;
use super::plan::{Entry, FileEntry, Link, LinkTarget, Plan};
use super::target::Target;
use crate::error::Result;
use crate::repository::parallel::Workers;
use std::collections::{HashMap, HashSet};

/// A name of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    File(u32),
    Special(u32),
    Link(u32),
}

/// The names of a plan that share an inode with another name, by device and inode.
#[derive(Debug, Default)]
pub(super) struct Sharing(HashMap<(u64, u64), Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// How many names the inode has, those that the plan does not know among them.
    count: u64,
    names: Vec<Name>,
}

impl Sharing {
    pub(super) fn add(&mut self, inode: (u64, u64), count: u64, name: Name) {
        let shared = self.0.entry(inode).or_default();
        shared.count = count;
        shared.names.push(name);
    }

    /// Exchanges a file with one more name for it.
    pub(super) fn exchange(&mut self, file: u32, link: u32) {
        for name in self.0.values_mut().flat_map(|shared| &mut shared.names) {
            *name = match *name {
                Name::File(number) if number == file => Name::Link(link),
                Name::Link(number) if number == link => Name::File(file),
                other => other,
            };
        }
    }
}

impl Plan {
    /// Returns what a hard link leads to.
    pub(super) fn target_of(&self, link: &Link) -> Option<&Entry> {
        match link.to {
            LinkTarget::File(to) => self.files.get(to as usize).map(|file| &file.entry),
            LinkTarget::Special(to) => self.specials.get(to as usize).map(|special| &special.entry),
        }
    }

    /// Returns how many bytes of a file are there already.
    fn held_bytes(&self, held: Held<'_>, file: &FileEntry) -> u64 {
        let Held::These(held) = held else { return 0 };
        let uses = self.uses_of(file).iter().zip(held).filter(|(_, held)| **held);
        uses.map(|(one, _)| one.blob.plain_length() as u64).sum()
    }

    /// Returns what a name belongs to: the first name of its inode.
    fn leader(&self, name: Name) -> Option<LinkTarget> {
        match name {
            Name::File(number) => Some(LinkTarget::File(number)),
            Name::Special(number) => Some(LinkTarget::Special(number)),
            Name::Link(number) => self.links.get(number as usize).map(|link| link.to),
        }
    }

    /// Where the first name of a file is wrong and another one of it is right, has that one lead: then the inode stays.
    ///
    /// # Errors
    /// `restore-failed`: something cannot be looked at.
    pub(super) fn choose_leaders(&mut self, look: &mut Look, target: &Target, workers: &Workers<'_>) -> Result<()> {
        let wrong = Aspects::MISSING.and(Aspects::KIND).and(Aspects::CONTENT);
        let mut done = HashSet::new();
        for number in 0..self.links.len() {
            let Some(link) = self.links.get(number) else { continue };
            let LinkTarget::File(leader) = link.to else { continue };
            let there = look.links.get(number).is_some_and(|aspects| !aspects.has(wrong));
            if !there || !look.file(leader).has(wrong) || done.contains(&leader) {
                continue;
            }
            workers.cancel.check()?;
            let Some(file) = self.files.get(leader as usize) else { continue };
            let Some(theirs) = look_at_name(self, target, file, link, workers)? else { continue };
            workers.progress.add_bytes(file.size.saturating_sub(self.held_bytes(look.held(leader), file)));
            if let (Some(file), Some(link)) = (self.files.get_mut(leader as usize), self.links.get_mut(number)) {
                std::mem::swap(&mut file.entry.dir, &mut link.dir);
                std::mem::swap(&mut file.entry.name, &mut link.name);
            }
            // As many links as there are files at most, and there are fewer files than `u32` counts.
            look.exchange(leader, u32::try_from(number).unwrap_or(u32::MAX), theirs);
            done.insert(leader);
        }
        Ok(())
    }

    /// Says of every name whether it shares its inode with the names that it should, and with no other.
    pub(super) fn judge_links(&self, look: &mut Look) {
        let mut sizes: HashMap<LinkTarget, u64> = HashMap::new();
        for link in &self.links {
            *sizes.entry(link.to).or_insert(1) += 1;
        }
        let sharing = std::mem::take(&mut look.sharing);
        for Shared { count, names } in sharing.0.into_values() {
            self.judge_inode(look, &sizes, count, names);
        }
    }

    fn judge_inode(&self, look: &mut Look, sizes: &HashMap<LinkTarget, u64>, count: u64, mut names: Vec<Name>) {
        // The threads found them in any order.
        names.sort_by_key(|name| match name {
            Name::File(number) => (0, *number),
            Name::Special(number) => (1, *number),
            Name::Link(number) => (2, *number),
        });
        let outside = count.saturating_sub(names.len() as u64);
        let mut keeper = None;
        for name in &names {
            let (aspects, stored, leader) = match *name {
                Name::File(number) => {
                    let stored = self.files.get(number as usize).map_or(0, |file| file.names);
                    (look.files.get_mut(number as usize), stored, LinkTarget::File(number))
                }
                Name::Special(number) => {
                    let stored = self.specials.get(number as usize).map_or(0, |special| special.names);
                    (look.specials.get_mut(number as usize), stored, LinkTarget::Special(number))
                }
                Name::Link(_) => continue,
            };
            let Some(aspects) = aspects else { continue };
            // Names outside of the plan are right if the snapshot has seen as many.
            let known = stored.saturating_sub(sizes.get(&leader).copied().unwrap_or(1));
            if keeper.is_none() && !aspects.has(Aspects::REPLACE) && outside <= known {
                keeper = Some(leader);
            } else {
                *aspects = aspects.and(Aspects::LINKS);
            }
        }
        for name in names {
            let Name::Link(number) = name else { continue };
            let belongs = keeper.is_some() && self.leader(name) == keeper;
            if let Some(aspects) = look.links.get_mut(number as usize).filter(|_| belongs) {
                *aspects = Aspects::NONE;
            }
        }
    }
}
