//! One drill, from the first look to the last thing removed.

use super::super::leftovers::{end_users, remove_tree};
use super::super::restore::{Restore, find_recorded};
use super::super::rollback::{doubt, restorable};
use super::super::scratch::Scratch;
use super::apart::{self, Origin, Private};
use super::place::{Made, Place};
use super::{Request, check};
use crate::cancel::Cancel;
use crate::config::{DrillCheck, SourceConfig, SourceKind, Text};
use crate::error::{Error, ErrorCode, Result};
use crate::model::drill::{Drill, DrillResult, DrilledSource};
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{Content, SourceRecord};
use crate::model::progress::{Observer, Phase, Progress};
use crate::policy::drill as policy;
use crate::repository::lock::LockKind;
use crate::repository::{Indexed, Snapshot};
use crate::source::isolation::Isolation;
use crate::source::{self, Context, Source};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How long a drill waits for somebody who removes something from the repository.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every stage of a drill uses.
pub(super) struct Run<'r> {
    /// What is asked.
    pub(super) request: &'r Request,
    /// When the drill began, from which the recovery time counts.
    pub(super) started: Instant,
    /// Shows progress.
    pub(super) observer: &'r dyn Observer,
    /// Ends the drill.
    pub(super) cancel: &'r Cancel,
    /// Runs what is asynchronous.
    pub(super) runtime: &'r Handle,
    /// The private directory, which whoever made it removes.
    pub(super) scratch: &'r Scratch,
    /// What was found so far; also read by whoever must end a drill that does not end itself.
    pub(super) draft: &'r Mutex<Drill>,
}

/// A source that can be restored: its record, what was captured, and what restores it.
struct Restorable<'r> {
    number: usize,
    record: &'r SourceRecord,
    snapshot: Snapshot,
    /// `None` for files, which need no configuration.
    source: Option<(&'r SourceConfig, Box<dyn Source>)>,
}

impl Run<'_> {
    /// Goes all the way. Whatever happens, what was made is removed.
    pub(super) fn perform(&self) {
        let mut places = Vec::new();
        let ended = self.stages(&mut places).and_then(|()| self.cancel.check());
        if self.draft(|draft| draft.seconds == 0.0) {
            self.measure();
        }
        if let Err(error) = ended {
            self.find([stopped(&error)]);
        }
        self.remove(places);
    }

    fn stages(&self, places: &mut Vec<Place>) -> Result<()> {
        let Request { given, signers, place, .. } = self.request;
        self.find(doubt(given, signers.as_ref()));
        if self.refuses() {
            return Ok(());
        }
        let manifest = &given.manifest;
        let lost = manifest.sources.iter().filter(|source| source.snapshot.is_none());
        self.find(lost.map(|source| {
            let message = "it has no snapshot in this release: nothing of it can be restored";
            Finding::warning(FindingCode::DrillRestoreFailed, message).of_source(&source.name)
        }));
        let repository = place.open()?;
        if manifest.store.repository_id.as_deref() != Some(repository.id().to_string().as_str()) {
            let message = "the repository is not the one that the gate wrote to";
            return Err(Error::new(ErrorCode::ForeignRepository, message).hint("name the store of the gate by --store"));
        }
        let _lock = repository.lock(LockKind::Shared, PATIENCE, self.cancel)?;
        let indexed = Arc::new(repository.index(self.cancel)?);
        let sources = self.prepare(&indexed)?;
        let captured = sources.iter().filter(|source| source.source.is_none());
        let captured = captured.flat_map(|source| source.snapshot.paths.iter().map(PathBuf::from));
        let origin = Origin::of(self.request, captured);
        for source in &sources {
            self.cancel.check()?;
            let place = self.restore(source, &indexed, &origin);
            places.extend(place?);
        }
        self.ask(places)?;
        self.measure();
        let (seconds, rto) = self.draft(|draft| (draft.seconds, draft.rto));
        // A drill that stopped half-way measured nothing.
        self.find(policy::rto(seconds, rto).filter(|_| !self.refuses()));
        let (age, rpo) = self.draft(|draft| (draft.data_age_seconds, draft.rpo));
        self.find(policy::rpo(age, rpo, self.request.was_named));
        Ok(())
    }

    /// Finds the snapshot and the configuration of every source; one that lacks either is a finding.
    fn prepare<'r>(&'r self, indexed: &Indexed) -> Result<Vec<Restorable<'r>>> {
        let mut sources = Vec::new();
        for (number, record) in restorable(&self.request.given.manifest).enumerate() {
            let found = find_recorded(indexed, record).and_then(|(_, snapshot)| {
                let source = self.source_of(record)?;
                Ok(Restorable { number, record, snapshot, source })
            });
            match found {
                Ok(found) => sources.push(found),
                Err(error) if error.is_cancelled() => return Err(error),
                Err(error) => {
                    self.fail(record, [self.failed(&error)]);
                }
            }
        }
        Ok(sources)
    }

    fn source_of(&self, record: &SourceRecord) -> Result<Option<(&SourceConfig, Box<dyn Source>)>> {
        if record.kind == "files" {
            return Ok(None);
        }
        let Request { config, directory, .. } = self.request;
        let found = config.sources.iter().find(|one| one.name == record.name && one.kind.name() == record.kind);
        let hint = "give the configuration that the gate ran with (--config FILE)";
        let Some(found) = found else {
            let message = format!("the configuration has no source `{}` of the kind {}", record.name, record.kind);
            return Err(Error::new(ErrorCode::Usage, message).hint(hint));
        };
        let source = source::build(found, directory);
        let method = source.facts().method;
        if method != record.method {
            let message = format!("it was captured by {}, and the configuration says {method}", record.method);
            return Err(Error::new(ErrorCode::Usage, message).hint(hint));
        }
        Ok(Some((found, source)))
    }

    /// Makes the place of a source, restores into it, and looks at what is there. Returns the place, if one was made,
    /// whatever came of the rest.
    ///
    /// # Errors
    /// Only a cancellation before there was a place.
    fn restore(&self, of: &Restorable<'_>, indexed: &Arc<Indexed>, origin: &Origin) -> Result<Option<Place>> {
        let started = Instant::now();
        let (place, private) = match self.make(of) {
            Ok(made) => made,
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => {
                self.fail(of.record, [self.failed(&error)]);
                return Ok(None);
            }
        };
        let mut place = place;
        let restored = self.restore_into(of, &mut place, &private, indexed, origin, started);
        match restored {
            Ok(findings) if findings.is_empty() => {
                place.is_restored = true;
                self.drilled(of.record, |drilled| drilled.result = DrillResult::Passed);
            }
            // What differs can still be asked.
            Ok(findings) => {
                place.is_restored = findings.iter().all(|found| found.code == FindingCode::DrillContentDiffers);
                self.fail(of.record, findings);
            }
            // The stages see that it was cancelled, and this place is removed with the others.
            Err(error) if error.is_cancelled() && self.cancel.is_cancelled() => {
                self.drilled(of.record, |drilled| drilled.result = DrillResult::Failed);
            }
            Err(error) => self.fail(of.record, [self.failed(&error)]),
        }
        Ok(Some(place))
    }

    /// Makes the place of a source: a private directory, and in it whatever the source makes of that.
    fn make(&self, of: &Restorable<'_>) -> Result<(Place, Private)> {
        // Short names: a socket's path must fit into 108 bytes.
        let work = self.folder(&format!("w{}", of.number))?;
        let directory = self.folder(&format!("d{}", of.number))?;
        let private = Private::of(&directory)?;
        let context = Context::new(self.cancel.clone(), work, self.runtime.clone())?;
        let made = match &of.source {
            None => Made::Directory(directory),
            Some((config, source)) => {
                let server = config.drill_server.as_ref().map(Text::resolve).transpose()?;
                Made::Isolated(source.isolate(&context, &Isolation { directory, server })?)
            }
        };
        let place = Place { source: of.record.name.clone(), made, context, is_restored: false };
        Ok((place, private))
    }

    fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.scratch.path().join(name);
        DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            Error::new(ErrorCode::RestoreFailed, format!("cannot create {}", path.display())).caused_by(error)
        })?;
        Ok(path)
    }

    /// Restores a source into its place; returns what is wrong with it.
    fn restore_into(
        &self,
        of: &Restorable<'_>,
        place: &mut Place,
        private: &Private,
        indexed: &Arc<Indexed>,
        origin: &Origin,
        started: Instant,
    ) -> Result<Vec<Finding>> {
        let record = of.record;
        let directory = self.scratch.path().join(format!("d{}", of.number));
        let apart = |place: &Place, is_restored: bool| {
            let by_directory = private.doubt(&directory, origin);
            let doubt = by_directory.or_else(|| match &place.made {
                Made::Directory(_) => None,
                Made::Isolated(isolated) => {
                    let own = of.source.as_ref().and_then(|(config, _)| own_url(config));
                    apart::doubt(&**isolated, record, own, origin, is_restored)
                }
            });
            doubt.map(|why| apart::refusal(&record.name, &why))
        };
        if let Some(finding) = apart(place, false) {
            return Ok(vec![finding]);
        }
        let name = record.name.as_str();
        let (observer, cancel, runtime) = (self.observer, self.cancel, self.runtime);
        let restore = Restore { indexed, observer, cancel, runtime, force: false };
        let mut findings = Vec::new();
        let content = match (&mut place.made, &of.source) {
            (Made::Directory(path), _) => {
                let restored = restore.tree(name, of.snapshot.tree, path)?;
                self.took(record, started);
                let compared = restore.compare(name, of.snapshot.tree, path, true)?;
                if compared.of_substance() > 0 {
                    let how = format!("{} of {} names differ", compared.of_substance(), compared.names);
                    findings.push(policy::differs(&how).of_source(name));
                }
                Content::from([
                    ("files".to_owned(), restored.files.into()),
                    ("directories".to_owned(), restored.dirs.into()),
                ])
            }
            (Made::Isolated(isolated), Some((_, source))) => {
                let progress = Progress::new();
                observer.started(Phase::Restore, name, &progress, Some(record.bytes));
                let from = (of.snapshot.tree, &record.content);
                // By the source that made the place: it knows what the server there is.
                let restored = restore.streams_by(&**source, &place.context, from, &isolated.target());
                let restored = restored.and_then(|()| isolated.start(&place.context));
                observer.finished(Phase::Restore, name, if restored.is_ok() { "restored" } else { "failed" });
                restored?;
                self.took(record, started);
                isolated.look(&place.context)?
            }
            (Made::Isolated(_), None) => {
                return Err(Error::new(ErrorCode::Internal, "files were isolated by a source"));
            }
        };
        findings.extend(apart(place, true));
        let (kind, then) = (record.kind.as_str(), &record.content);
        findings.extend(policy::content(kind, then, &content).map(|finding| finding.of_source(name)));
        let is_asked = checks(self.request).any(|check| check.source.as_deref() == Some(name));
        self.find(policy::not_compared(kind, then, &content, is_asked).map(|finding| finding.of_source(name)));
        let proved = match &place.made {
            Made::Directory(_) => "files in a private directory".to_owned(),
            Made::Isolated(isolated) => isolated.description(),
        };
        let proved = format!(
            "{proved}; apart from {} paths of the sources and the store{}, before the restore and after it",
            origin.count(),
            record
                .identity
                .as_ref()
                .filter(|_| of.source.is_some())
                .map(|it| format!(", not {it}"))
                .unwrap_or_default()
        );
        self.drilled(record, |drilled| {
            drilled.content = content;
            drilled.place = if findings.is_empty() { proved } else { String::new() };
        });
        Ok(findings)
    }

    /// Asks the checks of the configuration, one after another.
    fn ask(&self, places: &[Place]) -> Result<()> {
        for check in checks(self.request) {
            self.cancel.check()?;
            let is_there = |name: &String| places.iter().any(|place| place.source == *name && place.is_restored);
            let manifest = &self.request.given.manifest;
            match &check.source {
                Some(name) if !manifest.sources.iter().any(|source| source.name == *name) => {
                    let message = format!("the check `{}`: the release has no source {name}", check.name);
                    self.find([Finding::refusal(FindingCode::DrillCheckFailed, message).of_source(name)]);
                    continue;
                }
                // Why it is not there was said; the check stays not tried.
                Some(name) if !is_there(name) => continue,
                None if !restorable(manifest).all(|source| is_there(&source.name)) => continue,
                _ => {}
            }
            let (checked, finding) = check::ask(check, places, &self.request.directory, self.cancel)?;
            let record = finding.as_ref().and_then(|finding| finding.source.as_ref());
            let is_required = |name: &String| manifest.sources.iter().any(|one| one.name == *name && one.required);
            let required = record.is_none_or(is_required);
            self.find(finding.map(|finding| if required { finding } else { finding.softened() }));
            self.draft(|draft| {
                if let Some(known) = draft.checks.iter_mut().find(|known| known.name == checked.name) {
                    *known = checked;
                }
            });
        }
        Ok(())
    }

    /// Removes every place, side by side, and looks whether anything is left.
    fn remove(&self, places: Vec<Place>) {
        let left: Vec<Finding> = std::thread::scope(|scope| {
            let remove = |place: Place| {
                let name = place.source.clone();
                scope.spawn(move || place.remove().err().map(|error| left_behind(&error).of_source(name)))
            };
            let threads: Vec<_> = places.into_iter().map(remove).collect();
            let panicked = || Some(Finding::refusal(FindingCode::DrillLeftBehind, "the removal of a place panicked"));
            threads.into_iter().filter_map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect()
        });
        self.find(left);
        self.find(clean(self.scratch.path()));
    }

    fn draft<T>(&self, change: impl FnOnce(&mut Drill) -> T) -> T {
        change(&mut self.draft.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn drilled(&self, record: &SourceRecord, change: impl FnOnce(&mut DrilledSource)) {
        self.draft(|draft| draft.sources.iter_mut().find(|source| source.name == record.name).map(change));
    }

    fn took(&self, record: &SourceRecord, started: Instant) {
        self.drilled(record, |drilled| drilled.seconds = started.elapsed().as_secs_f64());
    }

    fn measure(&self) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.draft(|draft| draft.seconds = seconds);
    }

    /// Records that a source failed; of one that is not required, what is wrong is a warning.
    fn fail(&self, record: &SourceRecord, findings: impl IntoIterator<Item = Finding>) {
        self.drilled(record, |drilled| drilled.result = DrillResult::Failed);
        let soften = |finding: Finding| if record.required { finding } else { finding.softened() };
        self.find(findings.into_iter().map(|finding| soften(finding.of_source(&record.name))));
    }

    fn failed(&self, error: &Error) -> Finding {
        let finding = Finding::refusal(FindingCode::DrillRestoreFailed, error.chain());
        finding.hint(error.hints().first().cloned().unwrap_or_else(|| "run `holdpoint check --read-data`".to_owned()))
    }

    fn find(&self, findings: impl IntoIterator<Item = Finding>) {
        self.draft(|draft| draft.findings.extend(findings));
    }

    fn refuses(&self) -> bool {
        self.draft(|draft| draft.findings.iter().any(|finding| finding.level == Level::Refusal))
    }
}

/// Returns the checks of the configuration that are for this environment.
pub(super) fn checks(request: &Request) -> impl Iterator<Item = &DrillCheck> {
    let environment = &request.given.manifest.environment.name;
    let is_for = move |check: &&DrillCheck| check.environments.as_ref().is_none_or(|names| names.contains(environment));
    request.config.drill.checks.iter().filter(is_for)
}

fn own_url(config: &SourceConfig) -> Option<&Text> {
    match &config.kind {
        SourceKind::Files(_) | SourceKind::Command(_) | SourceKind::Sqlite(_) => None,
        SourceKind::Postgres(postgres) => Some(&postgres.server.url),
        SourceKind::Mysql(mysql) => Some(&mysql.server.url),
        SourceKind::Redis(redis) => Some(&redis.url),
        SourceKind::Mongodb(mongodb) => Some(&mongodb.server.url),
    }
}

/// Makes the finding of an error that stopped the whole drill.
pub(super) fn stopped(error: &Error) -> Finding {
    let code = match error.code() {
        ErrorCode::WrongPassword => FindingCode::DrillPassword,
        ErrorCode::Busy => FindingCode::RepositoryLocked,
        ErrorCode::Internal => FindingCode::InternalError,
        _ if error.is_cancelled() || error.code() == ErrorCode::LeaseLost => {
            return Finding::from_error(error, FindingCode::InternalError);
        }
        _ => FindingCode::DrillRestoreFailed,
    };
    let finding = Finding::refusal(code, error.chain());
    error.hints().first().into_iter().fold(finding, |finding, hint| finding.hint(hint.clone()))
}

/// Empties a private directory and ends what was started for it; says what had to be ended, and what is left.
pub(super) fn clean(scratch: &Path) -> Vec<Finding> {
    let (ended, left) = end_users(scratch);
    let names = |users: &[super::super::leftovers::User]| {
        users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut findings = Vec::new();
    if !ended.is_empty() {
        let message = format!("{} had to be ended: nobody had stopped it", names(&ended));
        findings.push(
            Finding::warning(FindingCode::DrillLeftBehind, message)
                .hint("a check's program must end what it starts in a session of its own"),
        );
    }
    if !left.is_empty() {
        let message = format!("{} still uses {}", names(&left), scratch.display());
        findings
            .push(Finding::refusal(FindingCode::DrillLeftBehind, message).hint("end it, then remove the directory"));
    }
    if let Err(error) = remove_tree(scratch) {
        findings.push(left_behind(&error));
    }
    findings
}

fn left_behind(error: &Error) -> Finding {
    let hint = error.hints().first().cloned();
    Finding::refusal(FindingCode::DrillLeftBehind, error.chain())
        .hint(hint.unwrap_or_else(|| "remove by hand what is left".to_owned()))
}
