//! What a snapshot needs, kept from being deleted for as long as was promised: locks on packs, index files, keys, config.
//!
//! Everything is locked when it is written. What an older run wrote and a new snapshot needs again is extended here, but
//! only when less is left than the promise: each object at most once per quarter of it.

mod known;

pub use known::Known;

use super::Repository;
use super::blobs::Indexed;
use super::files::FileType;
use super::id::Id;
use super::pack::BlobType;
use super::parallel::Workers;
use super::trees::TreeReader;
use super::verify::NeededPacks;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::{LockTerms, ReadFrom};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What has to stay for a number of snapshots to be restorable.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    objects: BTreeMap<String, Id>,
}

impl Needs {
    /// Starts with what every snapshot needs: the config, every key, every index file.
    ///
    /// # Errors
    /// The store's own.
    pub fn of_repository(repository: &Repository) -> Result<Self> {
        let mut needs = Self::default();
        needs.objects.insert(super::CONFIG.to_owned(), Id::of(super::CONFIG.as_bytes()));
        for kind in [FileType::Key, FileType::Index] {
            let files = repository.list(kind)?;
            needs.add(kind, files.iter().map(|(id, _)| id));
        }
        Ok(needs)
    }

    /// Adds files.
    pub fn add<'a>(&mut self, kind: FileType, ids: impl IntoIterator<Item = &'a Id>) {
        self.objects.extend(ids.into_iter().map(|id| (kind.key(id), *id)));
    }

    /// Returns the keys of all that is needed, in the repository's storage.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.objects.keys().map(String::as_str)
    }
}

/// What was done to keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Until when all of it is locked at least.
    pub until: Timestamp,
    /// How many objects were asked for their lock.
    pub looked_at: usize,
    /// How many locks were set or extended.
    pub extended: usize,
}

/// Makes sure that all of `needs` is locked for at least `terms.retain` from now; asks the store only about what `known`
/// does not say, and adds to it what is found out.
///
/// # Errors
/// `store-refused` or `store-unavailable`, naming an object that could not be locked; `damaged` if one is missing; a
/// cancellation. What was found out until then is in `known` all the same.
pub fn keep(
    repository: &Repository,
    needs: &Needs,
    known: &mut Known,
    terms: LockTerms,
    workers: &Workers<'_>,
) -> Result<Kept> {
    let now = Timestamp::now();
    let (due, until) = (after(now, terms.retain)?, after(now, terms.lasting())?);
    let short: Vec<_> =
        needs.objects.iter().filter(|(_, id)| known.until(id).is_none_or(|until| until < due)).collect();
    let found = Mutex::new((Vec::new(), 0, 0));
    let storage = repository.storage();
    let result = workers.each(
        &short,
        || Ok(()),
        |(), &(key, id)| {
            // What is known to be due need not be asked.
            let held = if known.until(id).is_some() { None } else { storage.locked_until(key)? };
            let asked = usize::from(known.until(id).is_none());
            let (until, set) = match held.filter(|held| *held >= due) {
                Some(held) => (held, 0),
                None => {
                    storage.lock_until(key, until)?;
                    (until, 1)
                }
            };
            workers.progress.add_items(1);
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.0.push((*id, until));
            found.1 += asked;
            found.2 += set;
            Ok(())
        },
    );
    let (learnt, looked_at, extended) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (id, until) in learnt {
        known.learn(&id, until);
    }
    result?;
    let first = needs.objects.values().filter_map(|id| known.until(id)).min();
    Ok(Kept { until: first.unwrap_or(due), looked_at, extended })
}

/// Returns a time that is `length` after another.
///
/// # Errors
/// `usage`: no calendar has it.
pub fn after(time: Timestamp, length: Duration) -> Result<Timestamp> {
    let later = SignedDuration::try_from(length).ok().and_then(|length| time.checked_add(length).ok());
    later.ok_or_else(|| {
        Error::new(ErrorCode::Usage, "`retain` is longer than any calendar")
            .hint("set a shorter `retain` in object_lock")
    })
}

/// Finds the packs that the trees below `roots` refer to, reading them; for where nothing was read back.
///
/// # Errors
/// `damaged`, naming what is missing; the store's own; a cancellation.
pub fn packs_below(indexed: &Indexed, roots: &[Id], workers: &Workers<'_>) -> Result<Vec<Id>> {
    let sizes = indexed.repository().pack_sizes()?;
    let packs = NeededPacks::new(indexed, &sizes);
    TreeReader::new(indexed, ReadFrom::Anywhere).walk(roots, workers, |id, tree| {
        let tree = tree?;
        indexed.with_index(|index| {
            packs.need(index, BlobType::Tree, id)?;
            tree.nodes.iter().try_for_each(|node| packs.check_node(index, node).map(drop))
        })
    })?;
    Ok(packs.needed())
}

#[cfg(test)]
mod tests;
