//! One run of the gate, from the first look to the record.

use super::ahead::Ahead;
use super::bases::{self, Leaned};
use super::capture::{self, Known, SourceRun};
use super::copies;
use super::earlier;
use super::judge;
use super::manifest::{self, Draft};
use super::record;
use super::request::Request;
use super::retention::{self, Kept};
use super::scratch::Scratch;
use super::survey::{self, Ready};
use super::verify::{self, PackList, Proved, ReadBack};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::ledger::Ledger;
use crate::ledger::lease::{self, Lease, Owner};
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{From, Manifest, Purpose, Severity, SourceRecord, VerifyMode};
use crate::model::progress::Observer;
use crate::model::release_id::ReleaseId;
use crate::policy::content;
use crate::policy::severity::severity;
use crate::release::git::WorkTree;
use crate::repository::archive::{PackWriter, StoredPacks, adopt_orphans};
use crate::repository::lock::{LockGuard, LockKind};
use crate::repository::verify::Verified;
use crate::repository::{Creator, FileType, Id, Indexed, Repository};
use crate::storage::Look;
use crate::storage::many::both;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How far this machine's clock may be behind the newest record before the gate refuses.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);
/// What a run that waits leaves of its deadline for the record.
const TIME_TO_RECORD: Duration = Duration::from_secs(5);

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// Its record.
    pub manifest: Manifest,
    /// The exit code of the verdict.
    pub exit: ExitCode,
    /// Whether the ledger holds the record as a release.
    pub in_ledger: bool,
    /// The ledgers of the copies that hold it, too.
    pub copies: Vec<Ledger>,
}

/// What every stage of a run uses.
pub struct Run<'r> {
    /// What is asked.
    pub request: &'r Request,
    /// When the run began, from which its deadline counts.
    pub started: Instant,
    /// Shows progress.
    pub observer: &'r dyn Observer,
    /// Ends the run.
    pub cancel: &'r Cancel,
    /// Runs what is asynchronous.
    pub runtime: &'r Handle,
    /// The manifest so far; also read by whoever must end a run that does not end itself.
    pub draft: &'r Mutex<Draft>,
}

/// What a run holds until its record is written; given back in the order of the fields.
#[derive(Default)]
struct Held {
    lock: Option<LockGuard>,
    lease: Option<Lease>,
}

/// A repository that is locked and whose index was read.
struct Entered {
    indexed: Arc<Indexed>,
    /// Packs that a killed run had stored.
    adopted: Vec<Id>,
    /// All packs, if they were listed.
    packs: Option<PackList>,
}

impl Run<'_> {
    /// Runs the gate. Whatever happens, there is a record.
    pub fn perform(&self) -> Outcome {
        let mut held = Held::default();
        if let Err(error) = self.stages(&mut held) {
            // What ended the stages may have been found already, under a code that says more.
            if !self.draft(|draft| draft.findings.iter().any(|finding| finding.message == error.chain())) {
                self.find([Finding::from_error(&error, FindingCode::StoreFailed)]);
            }
        }
        // A cancellation that no stage ran into, such as one during the last of them, counts all the same.
        if let Err(error) = self.cancel.check() {
            self.find([Finding::from_error(&error, FindingCode::InternalError)]);
        }
        self.conclude(held)
    }

    fn stages(&self, held: &mut Held) -> Result<()> {
        let request = self.request;
        let (from, findings) = survey::observe(request, self.cancel, self.runtime)?;
        self.find(findings);
        self.draft(|draft| draft.from = from.clone());
        if request.config.gate.verify == VerifyMode::None {
            self.find([Finding::warning(
                FindingCode::VerificationOff,
                "nothing is read back: [gate] verify is \"none\"",
            )
            .hint("a snapshot that nobody read back is a hope; set verify = \"new\"")]);
        }
        if request.purpose == Purpose::Gate && severity(&from, &request.target.version) == Severity::Same {
            let message = format!("{} is deployed already", request.target.version);
            self.find([Finding::warning(FindingCode::SameVersion, message)]);
        }
        if request.purpose == Purpose::Gate {
            self.find([Finding::warning(
                FindingCode::Unsigned,
                "the manifest is not signed: no signing key is configured",
            )]);
        }
        // Deriving the key takes a while, and so do the requests before it.
        let place = request.place.clone();
        let opening = Ahead::start(move || place.open())?;
        let scratch = Scratch::create()?;
        let (ready, findings) = survey::prepare(request, &scratch, self.cancel, self.runtime)?;
        self.find(findings);
        self.find(survey::undeclared(request));
        self.find(survey::left_out(request, &ready));
        self.find(request.place.preflight(Look::AsAsked)?);
        self.find(copies::domain::findings(&request.place, &request.copies));
        for ready in &ready {
            self.record_of(&ready.config.name, |record| manifest::add_facts(record, ready.source.facts()));
        }
        if self.refuses() {
            return Ok(());
        }
        let ledger = Ledger::new(request.place.ledger_storage());
        self.take_lease(held)?;
        if self.refuses() {
            return Ok(());
        }
        // The ledger and the repository know nothing of each other: they are read at the same time.
        let (comparable, entered) = both(|| self.ask_ledger(from, &ledger), || self.enter(opening, &mut held.lock));
        let comparable = comparable?;
        if self.refuses() {
            return Ok(());
        }
        let Some(Entered { indexed, adopted, packs: listed }) = entered? else { return Ok(()) };
        self.find(copies::step::look(request, indexed.repository(), self.cancel)?);
        if self.refuses() {
            return Ok(());
        }
        self.find(judge::judge_identities(&ready, comparable.as_ref()));
        let leaned = self.lean(&ready, &ledger, &indexed)?;
        if self.refuses() {
            return Ok(());
        }
        let known = earlier::known(request, &indexed, comparable.as_ref())?;
        let left = request.timeout.saturating_sub(self.started.elapsed());
        self.find(comparable.as_ref().and_then(|last| earlier::check_fit(last, &ready, &known, left)));
        let since = Timestamp::now();
        let (runs, written) = self.capture(&ready, &known, &indexed)?;
        let packs = [written.packs.as_slice(), &adopted].concat();
        let read_back = self.read_back(&indexed, &packs, listed)?;
        let proofs = self.prove(&ready, &runs, comparable.as_ref(), &indexed, &read_back);
        if let Some(lease) = &held.lease {
            lease.check()?;
        }
        let trees = proofs.values().collect();
        self.keep(&Kept { trees, leaned: &leaned, written: &written, since }, &indexed)?;
        if let Some(lease) = &held.lease {
            lease.check()?;
        }
        self.publish(&ready, &runs, &known, &proofs, &indexed)?;
        self.copy(&indexed)
    }

    /// Asks the ledger what there is to know of earlier runs; returns the last release that passed.
    fn ask_ledger(&self, mut from: From, ledger: &Ledger) -> Result<Option<Manifest>> {
        // Together these questions take as long as one.
        let ((clock, previous), (deployed, comparable)) = both(
            || both(|| self.check_clock(ledger), || ledger.previous()),
            || both(|| survey::compare_with_ledger(&mut from, ledger), || judge::last_comparable(self.request, ledger)),
        );
        clock?;
        if self.refuses() {
            return Ok(None);
        }
        self.find(deployed?);
        let changed_paths = self.changed_paths(from.commit.as_deref())?;
        let previous = previous?;
        self.draft(|draft| {
            draft.from = from;
            draft.changed_paths = changed_paths;
            draft.previous = previous;
        });
        let search = comparable?;
        self.find(search.unreadable.iter().map(|record| {
            let message = format!("release {} cannot be read: {}", record.id, record.error.chain());
            Finding::warning(FindingCode::LedgerDamaged, message)
        }));
        Ok(search.found.map(|stored| stored.manifest))
    }

    /// Opens or creates the repository, locks it, reads its index, and takes over what a killed run left; `None` if
    /// somebody else has locked it.
    fn enter(&self, opening: Ahead<Repository>, lock: &mut Option<LockGuard>) -> Result<Option<Entered>> {
        let request = self.request;
        let repository = match opening.wait() {
            Err(error) if error.code() == ErrorCode::NoRepository => request.place.open_or_create(Creator {
                hostname: request.application.clone(),
                username: request.pipeline.actor.clone().unwrap_or_default(),
            }),
            result => result,
        }?;
        self.draft(|draft| draft.repository_id = Some(repository.id().to_string()));
        match repository.lock(LockKind::Shared, self.patience(), self.cancel) {
            Ok(taken) => {
                self.find(taken.removed().iter().map(|lock| {
                    let message =
                        format!("removed the lock of a dead client: process {} on {}", lock.pid, lock.hostname);
                    Finding::info(FindingCode::StaleLockRemoved, message)
                }));
                *lock = Some(taken);
            }
            Err(error) if error.code() == ErrorCode::Busy => {
                self.find([Finding::from_error(&error, FindingCode::RepositoryLocked)]);
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        let (packs, indexed) = both(|| self.list_alone(&repository), || repository.index(self.cancel));
        let (packs, indexed) = (packs?, Arc::new(indexed?));
        let adopted = match &packs {
            Some(packs) => adopt_orphans(&indexed, packs.sizes(), self.cancel)?,
            None => Vec::new(),
        };
        Ok(Some(Entered { indexed, adopted, packs }))
    }

    /// Lists the packs, if nobody else can be writing any that have no index yet.
    fn list_alone(&self, repository: &Repository) -> Result<Option<PackList>> {
        let (packs, locks) = both(|| PackList::of(repository), || repository.list(FileType::Lock));
        Ok(if locks?.len() > 1 { None } else { Some(packs?) })
    }

    fn take_lease(&self, held: &mut Held) -> Result<()> {
        let request = self.request;
        let id = self.draft(|draft| draft.id.clone());
        let owner = Owner::current(Some(id), request.pipeline.run_url.clone())?;
        match lease::acquire(request.place.ledger_storage(), owner, self.cancel) {
            Ok(acquired) => {
                self.find(acquired.finding);
                held.lease = Some(acquired.lease);
                Ok(())
            }
            Err(error) if error.code() == ErrorCode::Busy => {
                self.find([Finding::from_error(&error, FindingCode::LeaseHeld)]);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Returns how long to wait for whoever locks the repository: most of what is left of the deadline, so that the
    /// refusal names them and there is time to record it.
    fn patience(&self) -> Duration {
        let timeout = self.request.timeout;
        timeout.saturating_sub(self.started.elapsed()).saturating_sub((timeout / 4).min(TIME_TO_RECORD))
    }

    /// Refuses to write a record that would sort before the newest one.
    fn check_clock(&self, ledger: &Ledger) -> Result<()> {
        let newest = match ledger.newest() {
            Ok(newest) => newest,
            Err(error) if error.code() == ErrorCode::ManifestInvalid => {
                self.find([Finding::warning(FindingCode::LedgerDamaged, error.chain())
                    .hint("run `holdpoint releases` to see which records can be read")]);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.find(newest.and_then(|newest| clock_finding(&newest.manifest)));
        Ok(())
    }

    /// Asks git which paths changed since the deployed commit; nothing where it cannot tell.
    fn changed_paths(&self, from: Option<&str>) -> Result<Vec<String>> {
        let (Some(top), Some(from)) = (&self.request.work_tree, from) else { return Ok(Vec::new()) };
        let Some(tree) = WorkTree::find(top)? else { return Ok(Vec::new()) };
        Ok(tree.changed_paths(from, &self.request.target.commit)?.unwrap_or_default())
    }

    /// Makes sure that what sources lean on is good enough and in the store, and records it.
    fn lean(&self, ready: &[Ready<'_>], ledger: &Ledger, indexed: &Indexed) -> Result<Vec<Leaned>> {
        let mut leaned = Vec::new();
        let (bases, findings) = bases::find(ready, ledger)?;
        self.find(findings);
        for ready in ready {
            let name = &ready.config.name;
            let Some(base) = bases.get(name) else { continue };
            match bases::see(base, indexed, self.cancel) {
                Ok(seen) => {
                    leaned.push(seen);
                    self.record_of(name, |record| manifest::add_base(record, base));
                }
                Err(error) if error.is_cancelled() => return Err(error),
                Err(error) => {
                    self.find([survey::source_finding(ready.config, &error, FindingCode::BaseBackupMissing)]);
                }
            }
        }
        Ok(leaned)
    }

    /// Captures all sources; returns what became of each, and what was written for them.
    fn capture(
        &self,
        ready: &[Ready<'_>],
        known: &BTreeMap<String, Known>,
        indexed: &Arc<Indexed>,
    ) -> Result<(Vec<SourceRun>, StoredPacks)> {
        let clock = Instant::now();
        let writer = PackWriter::start(Arc::clone(indexed), self.cancel.clone())?;
        let runs = capture::capture_all(self.request, ready, known, &writer, self.observer, self.cancel);
        let stored = writer.finish();
        self.draft(|draft| draft.measured.capture_seconds = clock.elapsed().as_secs_f64());
        for (ready, run) in ready.iter().zip(&runs) {
            self.record_of(&ready.config.name, |record| manifest::add_run(record, run, None));
            if let Err(error) = &run.result {
                self.find([survey::source_finding(ready.config, error, FindingCode::SourceFailed)]);
            }
            self.find(run.left.iter().cloned());
        }
        Ok((runs, stored?))
    }

    fn read_back(&self, indexed: &Indexed, packs: &[Id], listed: Option<PackList>) -> Result<ReadBack> {
        let clock = Instant::now();
        let mode = self.request.config.gate.verify;
        let result = verify::read_back(indexed, packs, mode, listed, self.observer, self.cancel);
        self.draft(|draft| draft.measured.verify_seconds = clock.elapsed().as_secs_f64());
        match result {
            Ok(read_back) => {
                self.draft(|draft| draft.read_back = (read_back.bytes(), clock.elapsed()));
                Ok(read_back)
            }
            Err(error) if error.code() == ErrorCode::Damaged => {
                self.find([Finding::refusal(FindingCode::ReadBackFailed, error.chain())]);
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Proves and judges each captured source.
    fn prove(
        &self,
        ready: &[Ready<'_>],
        runs: &[SourceRun],
        comparable: Option<&Manifest>,
        indexed: &Arc<Indexed>,
        read_back: &ReadBack,
    ) -> BTreeMap<String, Verified> {
        let clock = Instant::now();
        let mut proofs = BTreeMap::new();
        for (ready, run) in ready.iter().zip(runs) {
            let Ok(captured) = &run.result else { continue };
            let name = &ready.config.name;
            let before = comparable.and_then(|last| earlier::record_of(last, ready));
            let change = comparable.zip(before).map(|(last, before)| earlier::change_since(last, before, captured));
            self.record_of(name, |record| manifest::add_run(record, run, change.clone()));
            let mut findings = judge::judge(ready.config, captured, change.as_ref());
            findings.extend(judge::judge_identity(ready, comparable));
            match verify::prove(ready, captured, indexed, read_back, self.cancel) {
                Ok((verified, inspection)) => {
                    // The draft has every source of the request; one it had not would be judged by an empty content.
                    let content = self.record_of(name, |record| {
                        record.content.extend(inspection.content);
                        record.content.clone()
                    });
                    let before = before.map(|before| &before.content);
                    let plausible = content::judge(&ready.config.expect, &content.unwrap_or_default(), before);
                    findings.extend(plausible.into_iter().map(|finding| finding.of_source(name)));
                    findings.extend(inspection.findings.into_iter().map(|finding| finding.of_source(name)));
                    // What is not what it should be is not published, even if the deploy may go on without it.
                    if findings.iter().all(|finding| finding.level != Level::Refusal) {
                        proofs.insert(name.clone(), verified);
                    }
                }
                Err(error) => {
                    self.find([survey::source_finding(ready.config, &error, FindingCode::ReadBackFailed)]);
                }
            }
            let required = ready.config.required;
            self.find(findings.into_iter().map(|finding| if required { finding } else { finding.softened() }));
        }
        self.draft(|draft| draft.measured.verify_seconds += clock.elapsed().as_secs_f64());
        proofs
    }

    /// Locks what the new snapshots need for as long as the store's terms say. A snapshot that could be deleted too early is
    /// not published.
    fn keep(&self, kept: &Kept<'_>, indexed: &Indexed) -> Result<()> {
        match retention::keep(kept, indexed, &self.request.place.ledger_storage(), self.cancel) {
            Ok(lock) => self.draft(|draft| draft.object_lock = lock),
            Err(error) if error.is_cancelled() => return Err(error),
            Err(error) => {
                let finding = Finding::refusal(FindingCode::LockFailed, error.chain());
                self.find([Finding { hint: error.hints().first().cloned(), ..finding }]);
                return Err(error);
            }
        }
        Ok(())
    }

    fn publish(
        &self,
        ready: &[Ready<'_>],
        runs: &[SourceRun],
        known: &BTreeMap<String, Known>,
        proofs: &BTreeMap<String, Verified>,
        indexed: &Indexed,
    ) -> Result<()> {
        let id = self.draft(|draft| draft.id.clone());
        for (ready, run) in ready.iter().zip(runs) {
            self.cancel.check()?;
            let source = ready.config.name.as_str();
            let (Ok(captured), Some(verified)) = (&run.result, proofs.get(source)) else { continue };
            let parent = known.get(source).and_then(|known| known.parent).map(|(snapshot, _)| snapshot);
            let proved = Proved { source, captured, parent, started_at: run.started_at, verified };
            let (verification, snapshot) = verify::publish(self.request, &id, proved, indexed)?;
            self.record_of(source, |record| manifest::add_proof(record, verification, snapshot));
        }
        // Sources that are not required may fail one by one; all of them together leave nothing to go back to.
        if !self.refuses() && self.draft(|draft| draft.sources.iter().all(|source| source.snapshot.is_none())) {
            self.find([Finding::refusal(FindingCode::NothingCaptured, "no source has a snapshot")]);
        }
        Ok(())
    }

    /// Brings the copies up to date, unless the run is refused anyway.
    fn copy(&self, indexed: &Indexed) -> Result<()> {
        if self.refuses() {
            return Ok(());
        }
        for (place, copy) in self.request.copies.iter().enumerate() {
            let previous = self.draft(|draft| draft.previous.clone());
            let patience = self.patience();
            let copied =
                copies::step::copy(self.request, indexed, previous, copy, patience, self.observer, self.cancel);
            let (record, finding) = copied?;
            self.find(finding);
            self.draft(|draft| draft.copies.get_mut(place).map(|known| *known = record));
        }
        Ok(())
    }

    /// Computes the verdict, writes the record, gives back what is held.
    fn conclude(&self, mut held: Held) -> Outcome {
        let ledger = Ledger::new(self.request.place.ledger_storage());
        if let Some(Err(error)) = held.lease.as_ref().map(Lease::check) {
            self.find([Finding::from_error(&error, FindingCode::LeaseLost)]);
        }
        let (mut manifest, mut exit) = self.draft(|draft| draft.clone()).finish(self.request);
        // The ledger must not say that a run passed whose caller has no manifest, so that comes first.
        if let Err(error) = record::write_local(self.request, &manifest) {
            (manifest, exit) = self.unrecorded(&error);
        }
        // Whoever supervises this run may have given it up meanwhile: then it did not pass.
        if let (ExitCode::Pass, Err(error)) = (exit, self.cancel.check()) {
            self.find([Finding::from_error(&error, FindingCode::InternalError)]);
            (manifest, exit) = self.draft(|draft| draft.clone()).finish(self.request);
            if let Err(error) = record::write_local(self.request, &manifest) {
                self.observer.note(&error.chain());
            }
        }
        let held_the_lease = held.lease.is_some();
        // A copy that must have the pass gets it before it is one: afterwards nothing could be refused any more.
        let mut copied = if exit == ExitCode::Pass && held_the_lease {
            copies::step::record_required(&self.request.copies, &manifest)
        } else {
            Ok(Vec::new())
        };
        if let Err((name, finding)) = &copied {
            self.find([finding.clone()]);
            self.draft(|draft| copies::step::mark_failed(&mut draft.copies, name, finding));
            (manifest, exit) = self.draft(|draft| draft.clone()).finish(self.request);
            if let Err(error) = record::write_local(self.request, &manifest) {
                self.observer.note(&error.chain());
            }
            copied = Ok(Vec::new());
        }
        // Whoever prunes now finds the snapshots; the lease stays until the record is there.
        let lock = held.lock.take();
        let gone = || -> Result<()> {
            drop(lock);
            Ok(())
        };
        let (_, recorded) = both(gone, || record::write_ledger(&ledger, &manifest, held_the_lease));
        if let Err(error) = &recorded {
            for copy in copied.iter().flatten() {
                copies::step::withdraw(copy, &manifest);
            }
            (manifest, exit) = self.unrecorded(error);
            if let Err(error) = record::write_local(self.request, &manifest) {
                self.observer.note(&error.chain());
            }
        }
        let in_ledger = recorded.is_ok() && held_the_lease;
        let copies = if in_ledger && !self.cancel.is_cancelled() {
            let (store, copies) = (&self.request.place, &self.request.copies);
            copies::step::record_everywhere(store, copies, &manifest, self.observer, self.cancel)
        } else {
            Vec::new()
        };
        drop(held);
        Outcome { manifest, exit, in_ledger, copies }
    }

    /// Returns the manifest of a run whose record could not be written somewhere.
    fn unrecorded(&self, error: &Error) -> (Manifest, ExitCode) {
        self.find([Finding::refusal(FindingCode::RecordFailed, error.chain())]);
        self.draft(|draft| draft.clone()).finish(self.request)
    }

    fn draft<T>(&self, change: impl FnOnce(&mut Draft) -> T) -> T {
        change(&mut self.draft.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record_of<T>(&self, source: &str, change: impl FnOnce(&mut SourceRecord) -> T) -> Option<T> {
        self.draft(|draft| draft.source_mut(source).map(change))
    }

    /// Adds findings; one that is there already is not added again.
    fn find(&self, findings: impl IntoIterator<Item = Finding>) {
        self.draft(|draft| {
            for finding in findings {
                if !draft.findings.contains(&finding) {
                    draft.findings.push(finding);
                }
            }
        });
    }

    fn refuses(&self) -> bool {
        self.draft(|draft| draft.findings.iter().any(|finding| finding.level == Level::Refusal))
    }
}

/// Compares this machine's clock with that of the newest record: a new one must not sort before it.
pub fn clock_finding(newest: &Manifest) -> Option<Finding> {
    let (now, written) = (Timestamp::now(), newest.created_at);
    if written <= now {
        return None;
    }
    let ahead = written.duration_since(now).unsigned_abs();
    let message = format!(
        "the newest release, {}, was recorded {} s in the future of this machine's clock",
        newest.id,
        ahead.as_secs()
    );
    let weigh = if ahead > CLOCK_TOLERANCE { Finding::refusal } else { Finding::warning };
    let hint = "set the clock of this machine, or of the one that wrote that record, by NTP";
    Some(weigh(FindingCode::ClockSkew, message).hint(hint))
}

/// Creates the identifier of a run that starts now.
///
/// # Errors
/// `internal`: no random numbers.
pub fn new_id(request: &Request) -> Result<ReleaseId> {
    let mut random = [0; 4];
    getrandom::fill(&mut random)
        .map_err(|error| Error::new(ErrorCode::Internal, "no random numbers for a release id").caused_by(error))?;
    Ok(ReleaseId::new(Timestamp::now(), &request.target.version, random))
}
