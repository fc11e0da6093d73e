//! Bringing back one source of a release.

mod out;

use super::stored::StoredStreams;
use crate::cancel::Cancel;
use crate::config::SourceConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::model::leaning::Base;
use crate::model::manifest::{Content, Manifest, SourceRecord};
use crate::model::progress::{Observer, Phase, Progress};
use crate::repository::restore::{Differences, Plan, Restored, plan, plan_itself, plan_paths};
use crate::repository::{FileType, Id, Indexed, Snapshot, Workers};
use crate::source::{self, Context, Source, Target};
use crate::storage::ReadFrom;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;

/// What a restore of one source needs.
pub struct Restore<'a> {
    /// The repository.
    pub indexed: &'a Arc<Indexed>,
    /// Shows progress.
    pub observer: &'a dyn Observer,
    /// Ends the work.
    pub cancel: &'a Cancel,
    /// Runs what is asynchronous.
    pub runtime: &'a Handle,
    /// Whether what exists may be overwritten.
    pub force: bool,
}

/// Returns the record of a source that can be restored.
///
/// # Errors
/// `not-found`: there is no such source, or it has no snapshot in this release.
pub fn find_source<'m>(manifest: &'m Manifest, name: &str) -> Result<&'m SourceRecord> {
    let names = || manifest.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(source) = manifest.sources.iter().find(|source| source.name == name) else {
        let message = format!("release {} has no source `{name}`", manifest.id);
        return Err(Error::new(ErrorCode::NotFound, message).hint(format!("its sources are: {}", names())));
    };
    if source.snapshot.is_none() {
        let message = format!("the source `{name}` has no snapshot in release {}", manifest.id);
        let hint = "list the releases with `holdpoint releases` and take one that passed";
        return Err(Error::new(ErrorCode::NotFound, message).hint(hint));
    }
    Ok(source)
}

/// Finds the snapshot of a source; it must hold the tree that the manifest names.
///
/// # Errors
/// `not-found`, `damaged`, the store's own.
pub fn find_recorded(indexed: &Indexed, record: &SourceRecord) -> Result<(Id, Snapshot)> {
    let recorded = record.snapshot.as_ref();
    let (id, snapshot) = find_snapshot(indexed, recorded.map_or("", |snapshot| snapshot.id.as_str()))?;
    if recorded.is_none_or(|recorded| recorded.tree != snapshot.tree.to_string()) {
        let message = format!("the snapshot {} of {} holds another tree than the gate saw", id.short(), record.name);
        return Err(Error::new(ErrorCode::Damaged, message).hint("run `holdpoint check --read-data`"));
    }
    Ok((id, snapshot))
}

/// Says whether a source restores into a directory by its own means, if it is configured as it was captured.
pub fn restores_directories(config: &SourceConfig, directory: &Path, record: &SourceRecord) -> bool {
    if config.kind.name() != record.kind {
        return false;
    }
    let source = source::build(config, directory);
    source.restores_directories() && source.facts().method == record.method
}

impl Restore<'_> {
    /// Restores a tree below `directory`.
    ///
    /// # Errors
    /// As [`crate::repository::restore::Plan::perform`]; `restore-failed` too if the repository lacks something or has it
    /// damaged.
    pub fn tree(&self, label: &str, root: Id, directory: &Path) -> Result<Restored> {
        self.paths(label, root, &[], directory)
    }

    /// Restores some paths of a tree below `directory`, each under its full path; all of it, if there are none.
    ///
    /// # Errors
    /// `not-found`, with the names that are most like the one that the tree does not have; else as [`Restore::tree`].
    pub fn paths(&self, label: &str, root: Id, paths: &[PathBuf], directory: &Path) -> Result<Restored> {
        let progress = Progress::new();
        let plan = plan_paths(self.indexed, root, paths, &self.workers(&progress));
        let plan = plan.map_err(|error| nothing_written(label, error))?;
        self.perform(plan, label, directory, &progress)
    }

    /// Restores absolute `paths` of a tree to where they came from; what holds them is made if needed, and otherwise left as it is,
    /// and nobody needs to write there unless something is made.
    ///
    /// # Errors
    /// `not-found` and what is damaged in the trees before anything is written; else as [`Restore::tree`].
    pub fn in_place<P: AsRef<Path>>(&self, label: &str, root: Id, paths: &[P]) -> Result<Restored> {
        let mut planned = Vec::with_capacity(paths.len());
        for path in paths.iter().map(|path| path.as_ref().to_owned()) {
            let progress = Progress::new();
            let plan = plan_itself(self.indexed, root, &path, &self.workers(&progress));
            let plan = plan.map_err(|error| match error.code() {
                // It names what is near.
                ErrorCode::NotFound => {
                    let paths = std::slice::from_ref(&path);
                    plan_paths(self.indexed, root, paths, &self.workers(&progress)).err().unwrap_or(error)
                }
                _ => nothing_written(label, error),
            });
            planned.push((path, plan?, progress));
        }
        let mut all = Restored::default();
        for (path, plan, progress) in planned {
            all.add(self.perform(plan, label, path.parent().unwrap_or(Path::new("/")), &progress)?);
        }
        Ok(all)
    }

    /// Compares a tree with what is below `directory`, and changes nothing; `additional` counts names that the tree does not
    /// have, too.
    ///
    /// # Errors
    /// As [`crate::repository::restore::plan`] and [`crate::repository::restore::Plan::compare`].
    pub fn compare(&self, label: &str, root: Id, directory: &Path, additional: bool) -> Result<Differences> {
        let progress = Progress::new();
        let plan = plan(self.indexed, root, Path::new("/"), &self.workers(&progress))?;
        self.compare_plan(&plan, label, directory, additional, &progress)
    }

    /// Compares `path` of a tree with what is at that path of this machine, and changes nothing. What `path` holds beside the
    /// tree counts if `additional`.
    ///
    /// # Errors
    /// As [`Restore::compare`].
    pub fn compare_in_place(&self, label: &str, root: Id, path: &Path, additional: bool) -> Result<Differences> {
        let progress = Progress::new();
        let plan = plan_itself(self.indexed, root, path, &self.workers(&progress))?;
        self.compare_plan(&plan, label, path.parent().unwrap_or(Path::new("/")), additional, &progress)
    }

    fn compare_plan(
        &self,
        plan: &Plan,
        label: &str,
        directory: &Path,
        additional: bool,
        progress: &Arc<Progress>,
    ) -> Result<Differences> {
        self.observer.started(Phase::Verify, label, progress, Some(plan.bytes()));
        let result = plan.compare(directory, additional, &self.workers(progress));
        let outcome = result.as_ref().map_or("failed", |found| if found.is_none() { "the same" } else { "differs" });
        self.observer.finished(Phase::Verify, label, outcome);
        result
    }

    fn workers<'w>(&'w self, progress: &'w Arc<Progress>) -> Workers<'w> {
        Workers { threads: self.indexed.repository().readers(), progress, cancel: self.cancel }
    }

    fn perform(&self, plan: Plan, label: &str, directory: &Path, progress: &Arc<Progress>) -> Result<Restored> {
        self.observer.started(Phase::Restore, label, progress, Some(plan.bytes()));
        let result = plan.perform(self.indexed, directory, self.force, &self.workers(progress));
        let result = result.map_err(|error| match error.code() {
            ErrorCode::Damaged => error.under(ErrorCode::RestoreFailed, format!("{label} was not restored completely")),
            _ => error,
        });
        self.observer.finished(Phase::Restore, label, if result.is_ok() { "restored" } else { "failed" });
        result
    }

    /// Restores streams by their source's own means; `content` is what the release says of the snapshot, such as what it
    /// leans on.
    ///
    /// # Errors
    /// `restore-failed`, naming what is in the way.
    pub fn streams(
        &self,
        config: &SourceConfig,
        directory: &Path,
        from: (Id, &Content),
        scratch: &Path,
        target: &Target,
    ) -> Result<()> {
        let context = Context::new(self.cancel.clone(), scratch.to_owned(), self.runtime.clone())?;
        self.streams_by(&*source::build(config, directory), &context, from, target)
    }

    /// [`Restore::streams`] by a source that is there already, such as the one that made the place of a drill.
    ///
    /// # Errors
    /// As those.
    pub fn streams_by(
        &self,
        source: &dyn Source,
        context: &Context,
        (root, content): (Id, &Content),
        target: &Target,
    ) -> Result<()> {
        let streams = |root| StoredStreams::of(self.indexed, root, self.cancel);
        let base = match Base::of(content) {
            Some(base) => Some(streams(find_snapshot(self.indexed, &base.snapshot)?.1.tree)?),
            None => None,
        };
        let stored = streams(root)?.leaning_on(base);
        let restored = source.restore(context, &stored, target, self.force);
        // A restore that was cut off must not go on working on the server, either.
        let cleaned = source.clean_up(context);
        restored.and_then(|()| cleaned.map(drop))
    }
}

/// What is damaged in the repository is a restore that failed, whenever that is found: here, before anything was written.
fn nothing_written(label: &str, error: Error) -> Error {
    match error.code() {
        ErrorCode::Damaged => {
            error.under(ErrorCode::RestoreFailed, format!("{label} cannot be restored; nothing was written"))
        }
        _ => error,
    }
}

/// Finds a snapshot by its id, a unique beginning of it, or `latest`.
///
/// # Errors
/// `not-found`, `usage` if several match, `damaged`, the store's own.
pub fn find_snapshot(indexed: &Indexed, name: &str) -> Result<(Id, Snapshot)> {
    let repository = indexed.repository();
    if let Ok(id) = Id::parse(name) {
        let found = repository.load_json(FileType::Snapshot, &id, ReadFrom::Anywhere)?;
        return found.map(|snapshot| (id, snapshot)).ok_or_else(|| no_snapshot(name));
    }
    let mut snapshots = repository.snapshots()?;
    if name == "latest" {
        return snapshots.pop().ok_or_else(|| no_snapshot(name));
    }
    snapshots.retain(|(id, _)| id.to_string().starts_with(name));
    match (snapshots.pop(), snapshots.pop()) {
        (Some(found), None) => Ok(found),
        (None, _) => Err(no_snapshot(name)),
        (Some((one, _)), Some((two, _))) => {
            let message = format!("several snapshots begin with `{name}`: {} and {}", two.short(), one.short());
            Err(Error::new(ErrorCode::Usage, message).hint("give more digits"))
        }
    }
}

fn no_snapshot(name: &str) -> Error {
    Error::new(ErrorCode::NotFound, format!("there is no snapshot `{name}`"))
        .hint("list them with `restic snapshots` or `holdpoint releases`")
}
