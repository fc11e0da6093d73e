//! What should go, and cannot for now: locked by the store, or partly needed and too cold to be read.

use super::choose::{Fate, choose};
use super::share::{PackUse, Shares};
use super::{Left, Options, Why};
use crate::cancel::Cancel;
use crate::error::{ErrorCode, Result};
use crate::repository::trees::missing;
use crate::repository::{FileType, Id, Repository};
use crate::storage::many::ask_all;
use jiff::Timestamp;

/// Asks the store what holds files back.
pub(super) struct Asker<'a> {
    repository: &'a Repository,
    cancel: &'a Cancel,
    now: Timestamp,
    /// Whether anything may be locked, so that every file is worth a question.
    locks: bool,
}

impl<'a> Asker<'a> {
    /// Asks about snapshots; returns those that may go, and the others in `left`. What they say tells whether the store
    /// locks anything, also where the settings ask for nothing.
    ///
    /// # Errors
    /// The store's own; a cancellation.
    pub(super) fn start(
        repository: &'a Repository,
        snapshots: Vec<(Id, u64)>,
        left: &mut Vec<Left>,
        cancel: &'a Cancel,
    ) -> Result<(Self, Vec<(Id, u64)>)> {
        let mut asker = Self { repository, cancel, now: Timestamp::now(), locks: true };
        let locked = asker.locks_of(FileType::Snapshot, &snapshots)?;
        asker.locks = repository.storage().lock_terms().is_some() || locked.iter().any(Option::is_some);
        let free = asker.part(FileType::Snapshot, snapshots, locked, left);
        Ok((asker, free))
    }

    /// Says whether the store locks files.
    pub(super) fn locks(&self) -> bool {
        self.locks
    }

    /// Returns the packs that may go, and puts the others in `left`.
    ///
    /// # Errors
    /// The store's own; a cancellation.
    pub(super) fn free(&self, packs: Vec<(Id, u64)>, left: &mut Vec<Left>) -> Result<Vec<(Id, u64)>> {
        let locked = self.locks_of(FileType::Pack, &packs)?;
        Ok(self.part(FileType::Pack, packs, locked, left))
    }

    /// Decides on every pack. What cannot go stays, and what can may then be another one.
    ///
    /// # Errors
    /// `damaged`, naming a pack that is gone; the store's own; a cancellation.
    pub(super) fn choose(&self, shares: &mut Shares, options: &Options, left: &mut Vec<Left>) -> Result<Vec<Fate>> {
        let mut asked = vec![false; shares.packs.len()];
        loop {
            let fates = choose(&shares.packs, options);
            let packs = shares.packs.iter_mut().zip(&mut asked).zip(&fates);
            let mut new: Vec<_> = packs
                .filter(|((_, asked), fate)| **fate != Fate::Keep && !**asked)
                .map(|((pack, asked), fate)| {
                    *asked = true;
                    (pack, *fate)
                })
                .collect();
            if new.is_empty() {
                return Ok(fates);
            }
            let questions: Vec<(&PackUse, Fate)> = new.iter().map(|(pack, fate)| (&**pack, *fate)).collect();
            let answers = ask_all(self.width(), &questions, self.cancel, |(pack, fate)| self.holds(pack, *fate))?;
            for ((pack, _), why) in new.iter_mut().zip(answers) {
                let Some(why) = why else { continue };
                pack.stays = true;
                left.push(Left { kind: FileType::Pack, id: pack.id, size: pack.size, why });
            }
        }
    }

    /// Returns what keeps a pack from its fate.
    fn holds(&self, pack: &PackUse, fate: Fate) -> Result<Option<Why>> {
        let key = FileType::Pack.key(&pack.id);
        if let Some(until) = self.lock_of(&key)?.filter(|until| *until > self.now) {
            return Ok(Some(Why::Locked(until)));
        }
        if fate != Fate::Repack {
            return Ok(None);
        }
        // One byte tells whether the rest can be had.
        match self.repository.storage().get_range(&key, 0, 1) {
            Ok(Some(_)) => Ok(None),
            Ok(None) => Err(missing(&pack.id)),
            Err(error) if error.code() == ErrorCode::ObjectCold => Ok(Some(Why::Cold)),
            Err(error) => Err(error),
        }
    }

    fn width(&self) -> usize {
        self.repository.storage().parallelism().reads
    }

    fn lock_of(&self, key: &str) -> Result<Option<Timestamp>> {
        if self.locks { self.repository.storage().locked_until(key) } else { Ok(None) }
    }

    fn locks_of(&self, kind: FileType, files: &[(Id, u64)]) -> Result<Vec<Option<Timestamp>>> {
        ask_all(self.width(), files, self.cancel, |(id, _)| self.lock_of(&kind.key(id)))
    }

    fn part(
        &self,
        kind: FileType,
        files: Vec<(Id, u64)>,
        locked: Vec<Option<Timestamp>>,
        left: &mut Vec<Left>,
    ) -> Vec<(Id, u64)> {
        let mut free = Vec::new();
        for ((id, size), until) in files.into_iter().zip(locked) {
            match until.filter(|until| *until > self.now) {
                Some(until) => left.push(Left { kind, id, size, why: Why::Locked(until) }),
                None => free.push((id, size)),
            }
        }
        free
    }
}
