//! One source of a drill: its place is made, it is restored there, and what is there is looked at.

use super::super::restore::Restore;
use super::apart::{self, Origin, Private, Seen};
use super::database;
use super::place::{Made, Place};
use super::run::Run;
use crate::config::{SourceConfig, SourceKind, Text};
use crate::error::{Error, ErrorCode, Result};
use crate::model::drill::DrillResult;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{Content, SourceRecord};
use crate::model::progress::{Phase, Progress};
use crate::policy::drill as policy;
use crate::repository::{Indexed, Snapshot};
use crate::source::isolation::Isolation;
use crate::source::{Context, Source, Target};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// A source that can be restored: its record, what was captured, and what restores it.
pub(super) struct Restorable<'r> {
    /// Its place among them.
    pub(super) number: usize,
    /// What the manifest says of it.
    pub(super) record: &'r SourceRecord,
    /// What was captured.
    pub(super) snapshot: Snapshot,
    /// `None` for files, which need no configuration.
    pub(super) source: Option<(&'r SourceConfig, Box<dyn Source>)>,
}

impl Run<'_> {
    /// Makes the place of a source, restores into it, and looks at what is there. Returns the place, if one was made,
    /// whatever came of the rest.
    ///
    /// # Errors
    /// Only a cancellation before there was a place.
    pub(super) fn restore(
        &self,
        of: &Restorable<'_>,
        indexed: &Arc<Indexed>,
        origin: &Origin,
    ) -> Result<Option<Place>> {
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
                if config.drill_server.is_some() && matches!(config.kind, SourceKind::Redis(_)) {
                    // Its restore replaces all that a server holds: nothing of a drill's own can be told from the rest.
                    return Err(Error::new(ErrorCode::Usage, "a drill restores redis into no server that is named")
                        .hint("leave out `drill_server` in this source: a drill starts a server of its own"));
                }
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
        let seen = |place: &Place, is_restored: bool| {
            let database = match &place.made {
                Made::Directory(_) => None,
                Made::Isolated(isolated) => {
                    let own = of.source.as_ref().and_then(|(config, _)| own_url(config));
                    Some(database::look(&**isolated, record, own, self.scratch.path(), is_restored))
                }
            };
            let by_directory = private.doubt(&directory, origin).or_else(|| match &place.made {
                Made::Isolated(isolated) => match isolated.target() {
                    Target::Directory(path) => origin.meets(&path),
                    _ => None,
                },
                Made::Directory(_) => None,
            });
            Seen::of(by_directory, database, origin)
        };
        match seen(place, false) {
            Seen::Doubt(why) => return Ok(vec![apart::refusal(&record.name, &why)]),
            Seen::Apart { unknown, .. } => self.find(unknown.map(|why| apart::unknown(&record.name, &why))),
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
                self.find(apart::links_out(path, origin).map(|found| apart::links(name, path, found)));
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
        let place_in_words = match &place.made {
            Made::Directory(_) => "files in a private directory".to_owned(),
            Made::Isolated(isolated) => isolated.description(),
        };
        let proved = match seen(place, true) {
            Seen::Doubt(why) => {
                findings.push(apart::refusal(&record.name, &why));
                None
            }
            Seen::Apart { proved, .. } => Some(proved),
        };
        let (kind, then) = (record.kind.as_str(), &record.content);
        findings.extend(policy::content(kind, then, &content).map(|finding| finding.of_source(name)));
        let is_asked = super::check::checks(self.request).any(|check| check.source.as_deref() == Some(name));
        self.find(policy::not_compared(kind, then, &content, is_asked).map(|finding| finding.of_source(name)));
        let told =
            proved.map(|proved| format!("{place_in_words}; {proved}; looked at before the restore and after it"));
        self.drilled(record, |drilled| {
            drilled.content = content;
            drilled.place = told.unwrap_or_default();
        });
        Ok(findings)
    }

    fn took(&self, record: &SourceRecord, started: Instant) {
        self.drilled(record, |drilled| drilled.seconds = started.elapsed().as_secs_f64());
    }

    /// Records that a source failed; of one that is not required, what is wrong is a warning, but never that a drill came
    /// near the origin or left something.
    pub(super) fn fail(&self, record: &SourceRecord, findings: impl IntoIterator<Item = Finding>) {
        self.drilled(record, |drilled| drilled.result = DrillResult::Failed);
        let is_grave = |code| matches!(code, FindingCode::DrillNotIsolated | FindingCode::DrillLeftBehind);
        let soften = |finding: Finding| match record.required || is_grave(finding.code) {
            true => finding,
            false => finding.softened(),
        };
        self.find(findings.into_iter().map(|finding| soften(finding.of_source(&record.name))));
    }

    pub(super) fn failed(&self, error: &Error) -> Finding {
        let finding = Finding::refusal(FindingCode::DrillRestoreFailed, error.chain());
        let of_data = matches!(error.code(), ErrorCode::Damaged | ErrorCode::NotFound);
        let fallback = of_data.then(|| "run `holdpoint check --read-data`".to_owned());
        error.hints().first().cloned().or(fallback).into_iter().fold(finding, Finding::hint)
    }
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
