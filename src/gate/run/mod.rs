//! One run of the gate, from the first look to the record.
//!
//! [`enter`] goes in, [`prove`] does the work, [`conclude`] leaves; all of them write to one draft of the manifest.

mod conclude;
mod enter;
mod prove;
mod stand_in;

pub use enter::clock_finding;
use enter::{Asked, Entered};

use super::ahead::Ahead;
use super::capture;
use super::copies;
use super::earlier;
use super::glass::Glass;
use super::judge;
use super::manifest::{self, Draft};
use super::request::Request;
use super::retention::Kept;
use super::scratch::Scratch;
use super::standing;
use super::survey::{self};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::ledger::Ledger;
use crate::ledger::lease::Lease;
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{Manifest, Purpose, Severity, SourceRecord, VerifyMode};
use crate::model::progress::Observer;
use crate::model::release_id::ReleaseId;
use crate::policy::requirements;
use crate::policy::severity::severity;
use crate::repository::lock::LockGuard;
use crate::storage::Look;
use crate::storage::many::both;
use jiff::Timestamp;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

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
    /// What was found after the manifest was sealed: that somebody did not take its line in the audit.
    pub unrecorded: Vec<Finding>,
    /// The lease, if the run passed and was to keep it.
    pub lease: Option<Lease>,
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

impl Run<'_> {
    /// Runs the gate, under `lease` if the caller has one. Whatever happens, there is a record.
    pub fn perform(&self, lease: Option<Lease>) -> Outcome {
        let mut held = Held { lease, ..Held::default() };
        if let Err(error) = self.stages(&mut held) {
            // What ended the stages may have been found already, under a code that says more.
            if !self.draft(|draft| draft.findings.iter().any(|finding| finding.message == error.chain()))
                || !self.refuses()
            {
                // What ends a run is never set aside: it did not come to its end.
                self.draft(|draft| draft.findings.push(Finding::from_error(&error, FindingCode::StoreFailed)));
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
        let as_it_is = request.purpose == Purpose::Safety;
        self.find(standing::retired(&request.environment, request.settings.retired).filter(|_| !as_it_is));
        self.find(findings.into_iter().map(|finding| if as_it_is { finding.softened() } else { finding }));
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
        if request.purpose == Purpose::Gate && request.signer.is_none() {
            let message = "the manifest is not signed: no signing key is configured";
            self.find([Finding::warning(FindingCode::Unsigned, message).hint(
                "`holdpoint admit` refuses it; give the gate a key by HOLDPOINT_SIGNING_KEY or [signing] key_file",
            )]);
        }
        self.find(request.glass.as_ref().and_then(Glass::refused).cloned());
        // Deriving the key takes a while, and so do the requests before it.
        let place = request.place.clone();
        let opening = Ahead::start(move || place.open())?;
        let scratch = Scratch::create()?;
        let (mut ready, findings) = survey::prepare(request, &scratch, self.cancel, self.runtime)?;
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
        let (asked, entered) = both(|| self.ask_ledger(from, &ledger), || self.enter(opening, &mut held.lock));
        let Asked { last, choices } = asked?;
        if self.refuses() {
            return Ok(());
        }
        let Some(Entered { indexed, adopted, packs: mut listed }) = entered? else { return Ok(()) };
        self.find(copies::step::look(request, indexed.repository(), self.cancel)?);
        if self.refuses() {
            return Ok(());
        }
        let comparable = last.as_ref().map(|stored| &stored.manifest);
        self.find(judge::judge_identities(&ready, comparable));
        if self.refuses() {
            return Ok(());
        }
        let never = capture::never_captured(request, &ready);
        let reused = self.stand_in(&ready, &choices, last.as_ref(), &ledger, (&indexed, &mut listed))?;
        ready.retain(|ready| !reused.sources.contains(&ready.config.name));
        let mut leaned = self.lean(&ready, &ledger, &indexed, &mut listed)?;
        leaned.extend(reused.leaned);
        if self.refuses() {
            return Ok(());
        }
        let known = earlier::known(&ready, request, &indexed, comparable)?;
        let left = request.timeout.saturating_sub(self.started.elapsed());
        self.find(comparable.and_then(|last| earlier::check_fit(last, &ready, &known, left)));
        let since = Timestamp::now();
        let (runs, written) = self.capture(&ready, &never, &known, &indexed)?;
        let packs = [written.packs.as_slice(), &adopted].concat();
        let read_back = self.read_back(&indexed, &packs, listed)?;
        let proofs = self.prove(&ready, &runs, comparable, &indexed, &read_back);
        if let Some(lease) = &held.lease {
            lease.check()?;
        }
        let trees = proofs.values().collect();
        let kept = Kept { trees, leaned: &leaned, written: &written, since };
        self.keep(&kept, &indexed)?;
        if let Some(lease) = &held.lease {
            lease.check()?;
        }
        self.publish(&ready, &runs, &known, &proofs, &indexed)?;
        self.copy(&kept, &indexed)?;
        self.settle();
        Ok(())
    }

    /// Asks again what is required and only now is a fact.
    fn settle(&self) {
        if self.refuses() {
            return;
        }
        self.find(self.draft(|draft| {
            let demanded = draft.require.iter().map(String::as_str);
            requirements::at_the_end(demanded, &draft.copies, &draft.sources, draft.object_lock.as_ref())
        }));
    }

    /// Returns how long to wait for whoever locks the repository: most of what is left of the deadline, so that the
    /// refusal names them and there is time to record it.
    fn patience(&self) -> Duration {
        let timeout = self.request.timeout;
        timeout.saturating_sub(self.started.elapsed()).saturating_sub((timeout / 4).min(TIME_TO_RECORD))
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
                let finding = draft.weigh(self.request, finding);
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
