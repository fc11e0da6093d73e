//! What a store with versions keeps without showing it: damage where something needed is hidden, and the way back.

use super::{Check, ProblemKind};
use crate::error::{Error, ErrorCode, Result};
use crate::repository::files::FileType;
use crate::repository::id::Id;
use crate::storage::{HiddenBy, ReadFrom};
use std::collections::BTreeMap;

/// How many hidden files are named one by one where something is damaged.
const NAMED: usize = 20;

impl Check<'_> {
    /// Lists what is hidden; a store that does not let us costs no more than a note.
    pub(super) fn find_hidden(&mut self) -> Result<()> {
        match self.repository.storage().hidden("") {
            Ok(hidden) => self.hidden = hidden,
            Err(error) if error.code() == ErrorCode::StoreRefused => {
                self.collector.note(format!("what was deleted or overwritten cannot be listed: {}", error.chain()));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Adds to what is wrong with an object how to bring it back, if anything of it is left.
    pub(super) fn with_way_back<T>(&self, key: &str, result: Result<T>) -> Result<T> {
        let back = || self.hidden.iter().find(|hidden| hidden.key == key);
        match result {
            Err(error) if error.code() == ErrorCode::Damaged => Err(match back() {
                Some(hidden) => {
                    let way_back = hidden.way_back(&self.repository.location());
                    Error::new(error.code(), format!("{}; {way_back}", error.chain()))
                }
                None => error,
            }),
            result => result,
        }
    }

    /// Reads the packs that were written twice: no pack ever is by us, so one that is not what its name says was replaced.
    pub(super) fn overwritten_packs(&self) -> Result<()> {
        for hidden in self.hidden.iter().filter(|hidden| matches!(hidden.by, HiddenBy::Newer(_))) {
            self.workers.cancel.check()?;
            let Some((FileType::Pack, id)) = file_of(&hidden.key) else { continue };
            let read = self.repository.read_file(FileType::Pack, &id, ReadFrom::Medium).map(drop);
            self.collect(ProblemKind::Pack, self.with_way_back(&hidden.key, read))?;
        }
        Ok(())
    }

    /// Tells what is hidden and not needed: its bytes still cost, and it can be brought back.
    pub(super) fn tell_hidden(&self) {
        if self.hidden.is_empty() {
            return;
        }
        let mut by_noun = BTreeMap::<&str, u64>::new();
        for hidden in &self.hidden {
            let noun = file_of(&hidden.key).map_or("other object", |(kind, _)| kind.noun());
            *by_noun.entry(noun).or_default() += 1;
        }
        let counts: Vec<_> = by_noun.into_iter().map(|(noun, count)| format!("{noun}: {count}")).collect();
        let bytes: u64 = self.hidden.iter().map(|hidden| hidden.size).sum();
        self.collector.note(format!(
            "{} deleted or overwritten objects ({bytes} bytes; {}) are still in the store, for a delete marker is not a \
             deletion: they cost what they did, and can be brought back",
            self.hidden.len(),
            counts.join(", ")
        ));
        if self.collector.is_sound() {
            return;
        }
        // Something of it may be what is missing, although nothing says so: an index file, for instance.
        let records = self.hidden.iter().filter(|hidden| {
            let kind = file_of(&hidden.key).map(|(kind, _)| kind);
            matches!(kind, Some(FileType::Index | FileType::Key)) && matches!(hidden.by, HiddenBy::Markers(_))
        });
        for hidden in records.take(NAMED) {
            let way_back = hidden.way_back(&self.repository.location());
            self.collector.note(format!("{} was deleted; {way_back}", hidden.key));
        }
    }
}

/// Returns which file of a repository a key names.
pub fn file_of(key: &str) -> Option<(FileType, Id)> {
    let kinds = [FileType::Pack, FileType::Index, FileType::Key, FileType::Lock, FileType::Snapshot];
    let id = Id::parse(key.rsplit('/').next()?).ok()?;
    kinds.into_iter().find(|kind| kind.key(&id) == key).map(|kind| (kind, id))
}
