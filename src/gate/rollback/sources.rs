//! The sources of a rollback, and bringing them back.

use super::super::restore::{Restore, find_recorded};
use super::super::scratch::Scratch;
use super::added::{self, Removed};
use super::{Request, survey};
use crate::cancel::Cancel;
use crate::config::SourceConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::Ledger;
use crate::model::manifest::{Manifest, SourceRecord};
use crate::model::progress::Observer;
use crate::model::release_id::ReleaseId;
use crate::repository::lock::LockKind;
use crate::repository::restore::Restored;
use crate::repository::{Indexed, Snapshot};
use crate::source::Target;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How long a rollback waits for somebody who removes something from the repository.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a step of a rollback works with.
pub(super) struct Hands<'a> {
    /// Shows progress.
    pub(super) observer: &'a Arc<dyn Observer>,
    /// Ends the work.
    pub(super) cancel: &'a Cancel,
    /// Runs what is asynchronous.
    pub(super) runtime: &'a Handle,
}

/// Returns the sources that have a snapshot, in the order of their restore.
pub(in crate::gate) fn restorable(manifest: &Manifest) -> impl Iterator<Item = &SourceRecord> {
    manifest.sources.iter().filter(|source| source.snapshot.is_some())
}

/// Returns the configuration of a source, if it is still the one that was captured.
pub(super) fn configured<'r>(request: &'r Request<'_>, record: &SourceRecord) -> Option<&'r SourceConfig> {
    request.run.config.sources.iter().find(|config| config.name == record.name && config.kind.name() == record.kind)
}

/// Opens the repository that the manifest names, locks it against whoever removes something, and calls `work` with it.
pub(super) fn with_repository<T>(
    request: &Request<'_>,
    cancel: &Cancel,
    work: impl FnOnce(&Arc<Indexed>) -> Result<T>,
) -> Result<T> {
    let repository = request.run.place.open()?;
    let theirs = request.given.manifest.store.repository_id.as_deref();
    if theirs != Some(repository.id().to_string().as_str()) {
        return Err(Error::new(ErrorCode::ForeignRepository, "the repository is not the one that the gate wrote to")
            .hint("name the store of the gate by --store"));
    }
    let _lock = repository.lock(LockKind::Shared, PATIENCE, cancel)?;
    let indexed = Arc::new(repository.index(cancel)?);
    work(&indexed)
}

/// Restores a source to where it came from; returns what came of it, in words. Of files, those that came after the gate
/// are removed, as far as the release `saved` holds them.
///
/// # Errors
/// `restore-failed`, naming what is in the way; the repository's own; a cancellation.
pub(super) fn restore(
    request: &Request<'_>,
    name: &str,
    saved: Option<&ReleaseId>,
    hands: &Hands<'_>,
) -> Result<String> {
    let record = restorable(&request.given.manifest).find(|record| record.name == name);
    let record = record.ok_or_else(|| Error::new(ErrorCode::NotFound, format!("there is no source `{name}`")))?;
    let scratch = Scratch::create()?;
    // Whatever was looked at before, this is the moment in which it counts.
    if let Some(wrong) = survey::look_at(request, record, &scratch, hands.cancel, hands.runtime)? {
        let error = Error::new(ErrorCode::RestoreFailed, format!("{name}: {}", wrong.message));
        return Err(wrong.hint.into_iter().fold(error, Error::hint));
    }
    with_repository(request, hands.cancel, |indexed| {
        let (_, snapshot) = find_recorded(indexed, record)?;
        let Hands { observer, cancel, runtime } = *hands;
        let restore = Restore { indexed, observer: &**observer, cancel, runtime, force: true };
        if record.kind == "files" {
            let removed = remove_added(request, record, &snapshot, saved, (indexed, cancel))?;
            let restored = files(&restore, record, &snapshot, &**observer)?;
            return Ok(format!("{restored}{removed}"));
        }
        let Some(config) = configured(request, record) else {
            return Err(Error::new(ErrorCode::Usage, format!("the configuration has no source `{name}`")));
        };
        let from = (snapshot.tree, &record.content);
        restore.streams(config, &request.run.directory, from, scratch.path(), &Target::Origin)?;
        Ok("restored and verified".to_owned())
    })
}

/// Says whether files that came after the gate can be told from those that the source left out then.
pub(super) fn tells_what_was_added(request: &Request<'_>) -> bool {
    request.run.config.digest == request.given.manifest.decision.policy.config_digest
}

/// Removes the files that are in the snapshot of the present state and not in that of the gate.
fn remove_added(
    request: &Request<'_>,
    record: &SourceRecord,
    snapshot: &Snapshot,
    saved: Option<&ReleaseId>,
    (indexed, cancel): (&Arc<Indexed>, &Cancel),
) -> Result<String> {
    let Some(id) = saved.filter(|_| tells_what_was_added(request)) else { return Ok(String::new()) };
    let ledger = Ledger::new(request.run.place.ledger_storage());
    let manifest = ledger.get(id.as_str())?.manifest;
    let Some(present) = restorable(&manifest).find(|present| present.name == record.name) else {
        return Ok(String::new());
    };
    let (_, present) = find_recorded(indexed, present)?;
    // Of other paths everything would seem to have come after the gate.
    if present.paths != snapshot.paths {
        return Ok(format!("; {id} holds other paths, so whatever came after the gate stays"));
    }
    let roots: Vec<PathBuf> = snapshot.paths.iter().map(PathBuf::from).collect();
    let added = added::added(indexed, snapshot.tree, present.tree, cancel)?;
    let Removed { names, changed, first } = added::remove(&added, &roots, cancel)?;
    let mut said = String::new();
    if names > 0 {
        said += &format!("; {names} names that came after the gate removed, which {id} holds");
    }
    if changed > 0 {
        let first: Vec<_> = first.iter().map(|path| path.display().to_string()).collect();
        said += &format!(
            "; {changed} names that came after the gate changed since they were saved, and stay: {}",
            first.join(", ")
        );
    }
    Ok(said)
}

fn files(restore: &Restore<'_>, record: &SourceRecord, snapshot: &Snapshot, observer: &dyn Observer) -> Result<String> {
    let restored = restore.in_place(&record.name, snapshot.tree, &snapshot.paths)?;
    for note in restored.notes {
        observer.note(&format!("{}: {}", note.path.display(), note.message));
    }
    let Restored { files, bytes, changed_files, .. } = restored;
    Ok(format!("{files} files restored and verified, {bytes} bytes; {changed_files} of them differed"))
}
