//! On a store that locks: whether what young snapshots need is locked, and until when.

use super::{Check, Locked, ProblemKind};
use crate::error::Result;
use crate::repository::files::FileType;
use crate::repository::id::{Id, IdMap};
use crate::repository::retention::{self, Needs};
use crate::repository::snapshot::Snapshot;
use crate::repository::{Indexed, Workers};
use crate::storage::many::ask_all;
use jiff::Timestamp;
use std::sync::{Mutex, PoisonError};

impl Check<'_> {
    /// Looks at the lock of everything that the snapshots of releases need which are younger than the terms. `sizes` is what
    /// is in the store: what is missing has been told already.
    pub(super) fn locks(&self, indexed: &Indexed, snapshots: &[(Id, Snapshot)], sizes: &IdMap<u64>) -> Result<()> {
        let storage = self.repository.storage();
        let Some(terms) = storage.lock_terms() else { return Ok(()) };
        let now = Timestamp::now();
        let is_young = |snapshot: &Snapshot| {
            snapshot.tag("release").is_some()
                && retention::after(snapshot.time, terms.retain).is_ok_and(|end| end > now)
        };
        let young: Vec<_> = snapshots.iter().filter(|(_, snapshot)| is_young(snapshot)).collect();
        let width = storage.parallelism().reads;
        // A lock that ran out still tells that the snapshot was published under these terms.
        let locked = ask_all(width, &young, self.workers.cancel, |(id, _)| {
            Ok(storage.locked_until(&FileType::Snapshot.key(id))?.is_some())
        })?;
        let before = locked.iter().filter(|is_locked| !**is_locked).count();
        if before > 0 {
            self.collector.note(format!(
                "{before} snapshots that are younger than `retain` are not locked themselves: they are from before \
                 `object_lock` was what it is, or somebody lifted their locks"
            ));
        }
        let young: Vec<_> =
            young.into_iter().zip(locked).filter_map(|(young, locked)| locked.then_some(young)).collect();
        if young.is_empty() {
            return Ok(());
        }
        let roots: Vec<Id> = young.iter().map(|(_, snapshot)| snapshot.tree).collect();
        let packs = match retention::packs_below(indexed, &roots, self.workers) {
            Ok(packs) => packs,
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => {
                self.collector.note(format!("the locks were not looked at: {}", error.chain()));
                return Ok(());
            }
        };
        let mut needs = Needs::of_repository(self.repository)?;
        needs.add(FileType::Pack, packs.iter().filter(|pack| sizes.contains_key(*pack)));
        needs.add(FileType::Snapshot, young.iter().map(|(id, _)| id));
        let keys: Vec<&str> = needs.keys().collect();
        let found = Mutex::new((None::<Timestamp>, Vec::new()));
        let workers = Workers { threads: width, ..*self.workers };
        workers.each(
            &keys,
            || Ok(()),
            |(), key| {
                let until = storage.locked_until(key)?.filter(|until| *until > now);
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                match until {
                    Some(until) => found.0 = Some(found.0.map_or(until, |first| first.min(until))),
                    None => found.1.push((*key).to_owned()),
                }
                Ok(())
            },
        )?;
        let (until, mut unlocked) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        unlocked.sort();
        if let Some(first) = unlocked.first() {
            self.collector.problem(
                ProblemKind::Lock,
                format!(
                    "{} of {} objects that snapshots need are not locked any more, and could be deleted, such as {first}: \
                     the next `holdpoint gate` or `snapshot` locks what it needs again",
                    unlocked.len(),
                    keys.len()
                ),
            );
        }
        self.collector.locked(Locked { objects: (keys.len() - unlocked.len()) as u64, until });
        Ok(())
    }
}
