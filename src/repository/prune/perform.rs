//! Doing what was planned: at every instant all that is named is there.

use super::plan::{Left, Plan, Pruned, Totals, Why};
use super::remove::remove;
use super::repack;
use crate::error::{Error, ErrorCode, Result};
use crate::repository::index::IndexFile;
use crate::repository::lock::LockGuard;
use crate::repository::{FileType, Id, Workers};
use crate::storage::ReadFrom;
use std::collections::BTreeSet;

/// A plan of which everything is done that may fail for what was not foreseen: what is kept is written anew and was read
/// back, and the store lets us delete. Nothing that anybody may rely on was removed yet.
#[must_use]
#[derive(Debug)]
pub struct Prepared<'a> {
    plan: &'a Plan,
    pruned: Pruned,
}

impl Plan {
    /// Does it: [`Plan::prepare`], then [`Prepared::remove`]. `lock` must be exclusive; once it is lost, nothing more is
    /// removed.
    ///
    /// What is kept is written and read back first, then snapshots, index files and packs are removed, in this order. Ended
    /// early, by whatever, it leaves a repository that is whole; a new plan goes on from there. The progress counts the
    /// bytes that are read and written, and the files that are removed.
    ///
    /// # Errors
    /// As the two of them.
    pub fn perform(&self, lock: &LockGuard, workers: &Workers<'_>) -> Result<Pruned> {
        self.prepare(lock, workers)?.remove(lock, workers, &mut || Ok(()))
    }

    /// Does what comes before the first snapshot goes. Whoever tells others that these snapshots go does so after it: what
    /// can keep them from going is mostly met here.
    ///
    /// # Errors
    /// `busy` if the repository changed since the plan was made; `lease-lost` if the lock was lost; `damaged`, naming a
    /// needed blob that is not what its id says; `store-refused` if the store lets us delete nothing; `store-full` or
    /// `store-unavailable`; a cancellation. Nothing but packs without index was removed.
    pub fn prepare(&self, lock: &LockGuard, workers: &Workers<'_>) -> Result<Prepared<'_>> {
        if !lock.shuts(&self.repository) {
            let message = format!("the repository at {} is not locked for us alone", self.repository.location());
            return Err(Error::new(ErrorCode::Internal, message));
        }
        lock.confirm()?;
        self.check_unchanged()?;
        let mut pruned = Pruned { totals: Totals { bytes_written: 0, ..self.totals }, left: self.left.clone() };
        if !self.is_empty() {
            self.try_to_delete()?;
            // What no index lists nobody needs, and its room may be wanted.
            self.remove_packs(&self.orphans, lock, workers, &mut pruned)?;
            pruned.totals.bytes_written += self.write_packs(workers)?;
            pruned.totals.bytes_written += self.write_index(workers)?;
        }
        Ok(Prepared { plan: self, pruned })
    }

    /// Makes sure that the repository is the one that was looked at.
    fn check_unchanged(&self) -> Result<()> {
        let ids = |kind| Ok::<BTreeSet<Id>, Error>(self.repository.list(kind)?.into_iter().map(|(id, _)| id).collect());
        if ids(FileType::Snapshot)? == self.seen.snapshots && ids(FileType::Index)? == self.seen.index_files {
            return Ok(());
        }
        Err(self.changed())
    }

    fn changed(&self) -> Error {
        let message = format!("the repository at {} changed since the prune was planned", self.repository.location());
        Error::new(ErrorCode::Busy, message).hint("run the command again")
    }

    /// Finds out whether the store lets us delete before it is filled with what replaces the deleted.
    fn try_to_delete(&self) -> Result<()> {
        for kind in [FileType::Snapshot, FileType::Index, FileType::Pack] {
            // No file has this name: whoever has the right is told that it is gone.
            let key = kind.key(&Id::from_bytes([0; 32]));
            self.repository.storage().delete(&key).map_err(|error| self.cannot_delete(error))?;
        }
        Ok(())
    }

    fn cannot_delete(&self, error: Error) -> Error {
        error
            .under_same_code(format!("{} cannot be pruned by whoever runs this", self.repository.location()))
            .hint("run it with credentials that may delete; those of pipelines need not")
    }

    /// Writes needed blobs anew, and lists them in the index; returns how many bytes that took.
    fn write_packs(&self, workers: &Workers<'_>) -> Result<u64> {
        let mut written = 0;
        for batch in &self.batches {
            let ids = repack::write(&self.repository, &self.sources, batch, workers)?;
            written += batch.bytes + self.save_index(&batch.index_file(&ids)?, batch.index_size)?;
        }
        Ok(written)
    }

    /// Lists in new index files what stays of those that go; returns how many bytes that took.
    fn write_index(&self, workers: &Workers<'_>) -> Result<u64> {
        let mut sizes = self.rewrite.sizes.iter();
        let mut written = 0;
        self.rewrite.each(&self.repository, workers.cancel, |file| {
            let size = sizes.next().ok_or_else(|| self.changed())?;
            let saved = self.save_index(&file, *size)?;
            written += saved;
            if saved == *size { Ok(()) } else { Err(self.changed()) }
        })?;
        if sizes.next().is_none() { Ok(written) } else { Err(self.changed()) }
    }

    /// Writes an index file and reads it back; returns its size.
    fn save_index(&self, file: &IndexFile, size: u64) -> Result<u64> {
        let (id, size) = self.repository.save_padded(FileType::Index, file, size)?;
        let stored = self.repository.read_file(FileType::Index, &id, ReadFrom::Medium)?;
        let lost = || Error::new(ErrorCode::Damaged, format!("the store lost the index file {id} that it took"));
        stored.map(|_| size).ok_or_else(lost)
    }

    /// Deletes files without which all that comes later must stay, too.
    fn remove_or_stop(
        &self,
        kind: FileType,
        files: &[(Id, u64)],
        lock: &LockGuard,
        workers: &Workers<'_>,
    ) -> Result<()> {
        match remove(&self.repository, kind, files, lock, workers)?.into_iter().next() {
            None => Ok(()),
            Some(Left { id, why, .. }) => {
                let why = if let Why::Refused(said) = why { said } else { String::new() };
                let message = format!("the {} {id} was not deleted: {why}", kind.noun());
                Err(self.cannot_delete(Error::new(ErrorCode::StoreRefused, message)))
            }
        }
    }

    /// Deletes packs that nothing names any more.
    fn remove_packs(
        &self,
        packs: &[(Id, u64)],
        lock: &LockGuard,
        workers: &Workers<'_>,
        pruned: &mut Pruned,
    ) -> Result<()> {
        for left in remove(&self.repository, FileType::Pack, packs, lock, workers)? {
            pruned.totals.bytes_removed = pruned.totals.bytes_removed.saturating_sub(left.size);
            pruned.totals.packs_removed = pruned.totals.packs_removed.saturating_sub(1);
            pruned.left.push(left);
        }
        Ok(())
    }
}

impl Prepared<'_> {
    /// Removes snapshots, then index files, then packs. `may_go_on` is asked before each of the three; what it refuses
    /// with ends the work.
    ///
    /// # Errors
    /// `lease-lost` if the lock was lost; `store-refused` if snapshots or index files cannot be deleted;
    /// `store-unavailable`; what `may_go_on` says; a cancellation.
    pub fn remove(
        self,
        lock: &LockGuard,
        workers: &Workers<'_>,
        may_go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Pruned> {
        let Self { plan, mut pruned } = self;
        if plan.is_empty() {
            return Ok(pruned);
        }
        may_go_on()?;
        plan.remove_or_stop(FileType::Snapshot, &plan.snapshot_files, lock, workers)?;
        may_go_on()?;
        plan.remove_or_stop(FileType::Index, &plan.rewrite.files, lock, workers)?;
        may_go_on()?;
        plan.remove_packs(&plan.packs, lock, workers, &mut pruned)?;
        Ok(pruned)
    }
}
