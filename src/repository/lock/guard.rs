//! A lock that is held: refreshed by a thread, removed at the end.

use super::{LockFile, LockKind};
use crate::cancel::{Cancel, Reason};
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::repository::Repository;
use crate::repository::files::FileType;
use crate::repository::id::Id;
use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// When a lock is refreshed and given up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    refresh: Duration,
    /// After a refresh that failed.
    retry: Duration,
    /// How old the newest refresh may be before others soon take the lock for stale.
    lost: SignedDuration,
}

impl Timing {
    /// restic's: refreshed every 5 minutes, given up 8 minutes before it is stale.
    pub(super) const RESTIC: Self = Self {
        refresh: Duration::from_secs(5 * 60),
        retry: Duration::from_secs(60),
        lost: SignedDuration::from_mins(22),
    };
}

/// A held lock; dropping it removes it.
#[derive(Debug)]
pub struct LockGuard {
    held: Arc<Held>,
    thread: Option<JoinHandle<()>>,
    removed: Vec<LockFile>,
}

/// Asks after a lock that somebody else holds: for whoever writes at the end, also of a run that was cancelled.
#[derive(Debug, Clone)]
pub struct LockWatch(Arc<Held>);

#[derive(Debug)]
struct Held {
    repository: Repository,
    kind: LockKind,
    cancel: Cancel,
    timing: Timing,
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug)]
struct State {
    /// Our lock files, the newest last; more than one only when an old one could not be deleted.
    files: Vec<Id>,
    refreshed: Timestamp,
    ended: bool,
}

impl LockGuard {
    /// Keeps the lock `file`, which was just written.
    pub(super) fn new(
        repository: Repository,
        kind: LockKind,
        file: Id,
        cancel: Cancel,
        timing: Timing,
    ) -> Result<Self> {
        let state = Mutex::new(State { files: vec![file], refreshed: Timestamp::now(), ended: false });
        let held = Arc::new(Held { repository, kind, cancel, timing, state, ended: Condvar::new() });
        let mut guard = Self { held: held.clone(), thread: None, removed: Vec::new() };
        let builder = std::thread::Builder::new().name("lock".to_owned());
        // Should no thread start, dropping the guard removes the file.
        let thread = builder.spawn(move || held.keep()).io_context(|| "cannot start a thread".to_owned())?;
        guard.thread = Some(thread);
        Ok(guard)
    }

    pub(super) fn with_removed(mut self, removed: Vec<LockFile>) -> Self {
        self.removed = removed;
        self
    }

    /// Returns the stale locks that were removed before this one could be taken.
    pub fn removed(&self) -> &[LockFile] {
        &self.removed
    }

    /// Says whether it keeps everybody else out of a repository.
    pub fn shuts(&self, repository: &Repository) -> bool {
        self.held.kind == LockKind::Exclusive && self.held.repository.location() == repository.location()
    }

    /// Fails once others may soon take the lock for stale, or the run was cancelled; asks nobody.
    ///
    /// # Errors
    /// `lease-lost`; a cancellation.
    pub fn check(&self) -> Result<()> {
        if self.held.is_lost() {
            self.held.cancel.cancel(Reason::LeaseLost);
        }
        self.held.cancel.check()
    }

    /// Makes sure that the lock still stands before something is done that relies on it: asks the store. One that is lost
    /// cancels the run.
    ///
    /// # Errors
    /// `lease-lost`: somebody took it for stale, or it could not be refreshed; `store-unavailable`; a cancellation.
    pub fn confirm(&self) -> Result<()> {
        self.check()?;
        if !self.held.is_there()? {
            self.held.cancel.cancel(Reason::LeaseLost);
        }
        self.check()
    }

    /// Returns what asks after the lock where it is not held.
    pub fn watch(&self) -> LockWatch {
        LockWatch(Arc::clone(&self.held))
    }

    /// Removes the lock.
    ///
    /// # Errors
    /// `store-unavailable`: the file is still there, and will be taken for stale once this process has ended.
    pub fn release(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.held.state().ended = true;
        self.held.ended.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            return Err(Error::new(ErrorCode::Internal, "the thread that refreshes the lock panicked"));
        }
        self.held.delete_all_but(0)
    }
}

impl LockWatch {
    /// Makes sure that the lock still stands: asks the store. One that is lost cancels the run; that the run was cancelled
    /// for another reason is none to fail.
    ///
    /// # Errors
    /// `lease-lost`: it was lost, or given back; `store-unavailable`.
    pub fn confirm(&self) -> Result<()> {
        let Self(held) = self;
        if !held.state().ended && !held.is_lost() && held.is_there()? {
            return Ok(());
        }
        held.cancel.cancel(Reason::LeaseLost);
        let message = format!("the lock on the repository at {} was lost", held.repository.location());
        Err(Error::new(ErrorCode::LeaseLost, message)
            .hint("start the run again; what it stored already is found again"))
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        // `release` tells; here nobody is left to hear of it, and the next run removes the lock of a dead process.
        let _ = self.end();
    }
}

impl Held {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refreshes the lock until it ends.
    fn keep(&self) {
        let mut pause = self.timing.refresh;
        while self.wait(pause) {
            match self.refresh() {
                Ok(true) => pause = self.timing.refresh,
                Ok(false) => return self.cancel.cancel(Reason::LeaseLost),
                Err(_) if self.is_lost() => return self.cancel.cancel(Reason::LeaseLost),
                Err(_) => pause = self.timing.retry,
            }
        }
    }

    /// Waits; returns `false` as soon as the lock ends.
    fn wait(&self, pause: Duration) -> bool {
        let state = self.state();
        let waited = self.ended.wait_timeout_while(state, pause, |state| !state.ended);
        !waited.unwrap_or_else(PoisonError::into_inner).0.ended
    }

    fn is_lost(&self) -> bool {
        Timestamp::now().duration_since(self.state().refreshed) > self.timing.lost
    }

    /// Says whether our newest lock is in the store.
    fn is_there(&self) -> Result<bool> {
        loop {
            let newest = self.state().files.last().copied();
            let Some(file) = newest else { return Ok(true) };
            if self.repository.storage().size(&FileType::Lock.key(&file))?.is_some() {
                return Ok(true);
            }
            // It may have been refreshed while we looked.
            if self.state().files.last().copied() == newest {
                return Ok(false);
            }
        }
    }

    /// Writes a new lock and deletes the old one; `false` if somebody took the old one for stale and removed it, as
    /// happens to a machine that slept.
    fn refresh(&self) -> Result<bool> {
        if !self.is_there()? {
            return Ok(false);
        }
        let file = LockFile::own(self.kind);
        let id = self.repository.save_json(FileType::Lock, &file)?;
        let mut state = self.state();
        state.files.push(id);
        state.refreshed = file.time;
        drop(state);
        self.delete_all_but(1)?;
        Ok(true)
    }

    /// Deletes our lock files but the newest `keep`.
    fn delete_all_but(&self, keep: usize) -> Result<()> {
        loop {
            let state = self.state();
            let oldest = state.files.first().copied().filter(|_| state.files.len() > keep);
            drop(state);
            let Some(oldest) = oldest else { return Ok(()) };
            self.repository.storage().delete(&FileType::Lock.key(&oldest))?;
            self.state().files.retain(|file| *file != oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::keyfile::Cost;
    use crate::storage::LocalStorage;

    fn repository(folder: &std::path::Path) -> Repository {
        let storage = Arc::new(LocalStorage::new(folder).unwrap());
        Repository::create(storage, "secret", Cost::RandomKey, Default::default()).unwrap()
    }

    fn locks(repository: &Repository) -> Vec<Id> {
        repository.list(FileType::Lock).unwrap().into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_shared_lock_admits_shared_ones_and_no_exclusive_one() {
        let folder = tempfile::tempdir().unwrap();
        let repository = repository(folder.path());
        let cancel = Cancel::new();
        let one = repository.lock(LockKind::Shared, Duration::ZERO, &cancel).unwrap();
        let two = repository.lock(LockKind::Shared, Duration::ZERO, &cancel).unwrap();
        let error = repository.lock(LockKind::Exclusive, Duration::ZERO, &cancel).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Busy);
        assert!(error.message().contains(&format!("process {}", std::process::id())), "{error}");
        one.release().unwrap();
        drop(two);
        assert_eq!(locks(&repository), []);
        let _exclusive = repository.lock(LockKind::Exclusive, Duration::ZERO, &cancel).unwrap();
        let error = repository.lock(LockKind::Shared, Duration::ZERO, &cancel).unwrap_err();
        assert!(error.message().contains("exclusive"), "{error}");
        cancel.cancel(Reason::Deadline);
        let error = repository.lock(LockKind::Shared, Duration::from_secs(60), &cancel).unwrap_err();
        assert_eq!(error.code(), ErrorCode::DeadlinePassed);
    }

    #[test]
    fn a_stale_lock_is_removed_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let repository = repository(folder.path());
        let mut stale = LockFile::own(LockKind::Exclusive);
        stale.time -= SignedDuration::from_hours(1);
        repository.save_json(FileType::Lock, &stale).unwrap();
        let guard = repository.lock(LockKind::Exclusive, Duration::ZERO, &Cancel::new()).unwrap();
        assert_eq!(guard.removed(), [stale]);
        assert_eq!(locks(&repository).len(), 1);
    }

    #[test]
    fn an_unreadable_lock_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let repository = repository(folder.path());
        std::fs::create_dir_all(folder.path().join("locks")).unwrap();
        std::fs::write(folder.path().join(FileType::Lock.key(&Id::of(b"x"))), b"y").unwrap();
        let error = repository.lock(LockKind::Shared, Duration::ZERO, &Cancel::new()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Damaged);
    }

    #[test]
    fn refreshing_replaces_the_file_and_a_removed_one_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let repository = repository(folder.path());
        let guard = repository.lock(LockKind::Shared, Duration::ZERO, &Cancel::new()).unwrap();
        let before = locks(&repository);
        assert!(guard.held.refresh().unwrap());
        let after = locks(&repository);
        assert_eq!(after.len(), 1);
        assert_ne!(before, after);
        guard.confirm().unwrap();
        repository.storage().delete(&FileType::Lock.key(&after[0])).unwrap();
        assert!(!guard.held.refresh().unwrap());
        assert_eq!(guard.confirm().unwrap_err().code(), ErrorCode::LeaseLost);
    }

    #[test]
    fn a_lock_is_asked_after_also_when_the_run_was_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let repository = repository(folder.path());
        let cancel = Cancel::new();
        let guard = repository.lock(LockKind::Shared, Duration::ZERO, &cancel).unwrap();
        let watch = guard.watch();
        cancel.cancel(Reason::Interrupt);
        watch.confirm().unwrap();
        guard.held.state().refreshed -= SignedDuration::from_mins(23);
        assert_eq!(watch.confirm().unwrap_err().code(), ErrorCode::LeaseLost);
        guard.held.state().refreshed = Timestamp::now();
        watch.confirm().unwrap();
        guard.release().unwrap();
        assert_eq!(watch.confirm().unwrap_err().code(), ErrorCode::LeaseLost);
    }

    #[test]
    fn a_lock_that_cannot_be_refreshed_cancels_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let repository = repository(folder.path());
        let cancel = Cancel::new();
        let file = repository.save_json(FileType::Lock, &LockFile::own(LockKind::Shared)).unwrap();
        repository.storage().delete(&FileType::Lock.key(&file)).unwrap();
        let timing = Timing { refresh: Duration::ZERO, retry: Duration::ZERO, lost: SignedDuration::ZERO };
        let guard = LockGuard::new(repository, LockKind::Shared, file, cancel.clone(), timing).unwrap();
        let reason = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(cancel.cancelled());
        assert_eq!(reason, Reason::LeaseLost);
        drop(guard);
    }
}
