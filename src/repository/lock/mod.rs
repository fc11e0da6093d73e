//! Locks as restic keeps them: whoever adds to a repository holds a shared one, whoever removes an exclusive one.
//!
//! A lock is a sealed file in `locks/`. Its owner writes it, then looks for others that conflict; of two that write at
//! once, at least one sees the other. It is refreshed every five minutes, and is stale once it is thirty minutes old or
//! its process is proved dead (restic `doc/design.rst`, "Locks", where a host and a process id prove it).

mod file;
mod guard;

pub use file::LockFile;
pub use guard::{LockGuard, LockWatch};

use super::Repository;
use super::files::FileType;
use super::id::Id;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::storage::ReadFrom;
use crate::storage::many::ask_all;
use guard::Timing;
use std::time::{Duration, Instant};

/// How often a conflicting lock is looked at again.
const POLL: Duration = Duration::from_secs(1);
/// How often an unreadable lock is read before it is an error: it may be about to vanish.
const READS: u32 = 3;

/// What a lock keeps others from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    /// Nothing may be removed; others may add and read.
    Shared,
    /// Nobody else may do anything.
    Exclusive,
}

impl Repository {
    /// Takes a lock. Stale locks are removed; see [`LockGuard::removed`]. A live one that conflicts is waited for as long
    /// as `patience` lasts. Should refreshing fail for so long that others may take the lock for stale, `cancel` is
    /// cancelled with [`crate::cancel::Reason::LeaseLost`].
    ///
    /// # Errors
    /// `busy`, naming the holder; `damaged` if a lock cannot be read; `store-unavailable`; a cancellation.
    pub fn lock(&self, kind: LockKind, patience: Duration, cancel: &Cancel) -> Result<LockGuard> {
        let deadline = Instant::now() + patience;
        let mut removed = Vec::new();
        loop {
            let mut holder = self.conflict(kind, None, &mut removed, cancel)?;
            if holder.is_none() {
                let own = self.save_json(FileType::Lock, &LockFile::own(kind))?;
                let taken = || LockGuard::new(self.clone(), kind, own, cancel.clone(), Timing::RESTIC);
                match self.conflict(kind, Some(&own), &mut removed, cancel) {
                    Ok(None) => return Ok(taken()?.with_removed(removed)),
                    Ok(found) => {
                        self.storage().delete(&FileType::Lock.key(&own))?;
                        holder = found;
                    }
                    Err(error) => {
                        self.storage().delete(&FileType::Lock.key(&own))?;
                        return Err(error);
                    }
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if let Some(holder) = holder.filter(|_| left.is_zero()) {
                return Err(busy(&self.location(), &holder));
            }
            cancel.sleep(left.min(POLL + jitter()))?;
        }
    }

    /// Returns the live lock of somebody else that conflicts with `kind`, if there is one; removes stale locks.
    fn conflict(
        &self,
        kind: LockKind,
        own: Option<&Id>,
        removed: &mut Vec<LockFile>,
        cancel: &Cancel,
    ) -> Result<Option<LockFile>> {
        let mut holder = None;
        let mut ids: Vec<Id> = self.list(FileType::Lock)?.into_iter().map(|(id, _)| id).collect();
        ids.retain(|id| Some(id) != own);
        let locks = ask_all(self.storage().parallelism().reads, &ids, cancel, |id| self.read_lock(id, cancel))?;
        for (id, lock) in ids.into_iter().zip(locks) {
            let Some(lock) = lock else { continue };
            if lock.is_stale() {
                self.storage().delete(&FileType::Lock.key(&id))?;
                removed.push(lock);
            } else if kind == LockKind::Exclusive || lock.exclusive {
                holder = Some(lock);
            }
        }
        Ok(holder)
    }

    /// Reads a lock; `None` if it vanished.
    fn read_lock(&self, id: &Id, cancel: &Cancel) -> Result<Option<LockFile>> {
        let mut reads = 1;
        loop {
            match self.load_json(FileType::Lock, id, ReadFrom::Anywhere) {
                Err(_) if reads < READS => cancel.sleep(Duration::from_millis(100))?,
                Err(error) => {
                    let message = format!("the lock {id} cannot be read, so its owner may still be at work");
                    return Err(Error::new(error.code(), message)
                        .caused_by(error)
                        .hint("if nothing else uses the repository, remove it with `restic unlock --remove-all`"));
                }
                read => return read,
            }
            reads += 1;
        }
    }
}

fn busy(location: &str, holder: &LockFile) -> Error {
    let LockFile { pid, hostname, username, time, .. } = holder;
    let kind = if holder.exclusive { "an exclusive" } else { "a" };
    let message = format!(
        "the repository at {location} is locked: process {pid} of {username} on {hostname} has held {kind} lock since {time:.0}"
    );
    Error::new(ErrorCode::Busy, message).hint("wait until it is done; a lock whose process is proved dead, or that is not refreshed for thirty minutes, is removed unaided")
}

/// Keeps two that wait for each other from meeting again at the same instant.
fn jitter() -> Duration {
    let mut byte = [0];
    // Without randomness they meet a few times more.
    let _ = getrandom::fill(&mut byte);
    Duration::from_millis(u64::from(byte[0]))
}
