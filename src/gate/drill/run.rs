//! One drill, from the first look to the last thing removed.

use super::super::restore::find_recorded;
use super::super::rollback::{doubt, restorable};
use super::super::scratch::Scratch;
use super::super::standing;
use super::Request;
use super::apart::Origin;
use super::one::Restorable;
use super::place::Place;
use crate::cancel::Cancel;
use crate::config::SourceConfig;
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::Ledger;
use crate::model::drill::{Drill, DrillResult, DrilledSource};
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::SourceRecord;
use crate::model::progress::Observer;
use crate::policy::drill as policy;
use crate::repository::Indexed;
use crate::repository::lock::LockKind;
use crate::source::{self, Source};
use std::path::PathBuf;
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
        if self.request.escrow_is_daily {
            let message =
                "what is given as the password in escrow is the daily one: nothing would be proved of the other";
            self.find([Finding::refusal(FindingCode::DrillPassword, message)
                .hint("set HOLDPOINT_ESCROW_PASSWORD to the password that lies in escrow")]);
            return Ok(());
        }
        self.find(self.not_in_release());
        let repository = place.open()?;
        if manifest.store.repository_id.as_deref() != Some(repository.id().to_string().as_str()) {
            let message = "the repository is not the one that the gate wrote to";
            return Err(Error::new(ErrorCode::ForeignRepository, message).hint("name the store of the gate by --store"));
        }
        let _lock = repository.lock(LockKind::Shared, PATIENCE, self.cancel)?;
        let indexed = Arc::new(repository.index(self.cancel)?);
        let sources = self
            .prepare(&indexed)
            .map_err(|error| standing::explain(error, &Ledger::new(place.ledger_storage()), &manifest.id))?;
        let captured = sources.iter().filter(|source| source.source.is_none());
        let captured = captured.flat_map(|source| source.snapshot.paths.iter().map(PathBuf::from));
        let origin = Origin::of(self.request, captured);
        for source in &sources {
            self.cancel.check()?;
            let place = self.restore(source, &indexed, &origin);
            places.extend(place?);
        }
        self.cancel.check()?;
        if self.refuses() {
            let events = Ledger::new(place.ledger_storage()).events(&manifest.id)?;
            self.find(standing::let_go(&manifest.id, &events));
        }
        self.find(self.nothing_restored());
        self.ask(places)?;
        self.measure();
        let (seconds, rto) = self.draft(|draft| (draft.seconds, draft.rto));
        // A drill that stopped half-way measured nothing.
        self.find(policy::rto(seconds, rto).filter(|_| !self.refuses()));
        let (age, rpo) = self.draft(|draft| (draft.data_age_seconds, draft.rpo));
        self.find(policy::rpo(age, rpo, self.request.was_named));
        Ok(())
    }

    /// Says which sources have nothing in this release that could be restored.
    fn not_in_release(&self) -> Vec<Finding> {
        let manifest = &self.request.given.manifest;
        let lost = manifest.sources.iter().filter(|source| source.snapshot.is_none()).map(|source| {
            let message = "it has no snapshot in this release: nothing of it can be restored";
            let finding = Finding::refusal(FindingCode::DrillRestoreFailed, message)
                .of_source(&source.name)
                .hint("drill a release that has one");
            if source.required { finding } else { finding.softened() }
        });
        let is_missing = |source: &&SourceConfig| {
            source.capture.is_in(manifest.purpose) && !manifest.sources.iter().any(|one| one.name == source.name)
        };
        let missing = self.request.config.sources.iter().filter(is_missing).map(|source| {
            let message = "the configuration has it, and this release does not: nothing is proved of it";
            Finding::warning(FindingCode::DrillRestoreFailed, message)
                .of_source(&source.name)
                .hint("drill a release that was gated with all sources")
        });
        lost.chain(missing).collect()
    }

    /// Refuses a drill that restored nothing, if nothing else refuses it: it would prove nothing.
    fn nothing_restored(&self) -> Option<Finding> {
        let restored = |draft: &mut Drill| draft.sources.iter().any(|source| source.result == DrillResult::Passed);
        if self.draft(restored) || self.refuses() {
            return None;
        }
        let message = "no source was restored as it should be: nothing is proved";
        let finding = Finding::refusal(FindingCode::DrillRestoreFailed, message);
        Some(finding.hint("see what the warnings say; a release without any snapshot cannot be gone back to"))
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

    pub(super) fn draft<T>(&self, change: impl FnOnce(&mut Drill) -> T) -> T {
        change(&mut self.draft.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn drilled(&self, record: &SourceRecord, change: impl FnOnce(&mut DrilledSource)) {
        self.draft(|draft| draft.sources.iter_mut().find(|source| source.name == record.name).map(change));
    }

    fn measure(&self) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.draft(|draft| draft.seconds = seconds);
    }

    pub(super) fn find(&self, findings: impl IntoIterator<Item = Finding>) {
        self.draft(|draft| draft.findings.extend(findings));
    }

    pub(super) fn refuses(&self) -> bool {
        self.draft(|draft| draft.findings.iter().any(|finding| finding.level == Level::Refusal))
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
