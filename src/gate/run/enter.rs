//! The way in: the lease, the ledger, the repository and what its sources lean on.

use super::super::ahead::Ahead;
use super::super::bases::{self, Leaned};
use super::super::judge;
use super::super::last_drill;
use super::super::manifest::{self};
use super::super::ruling::{self, Choice, Facts, Ruling};
use super::super::standing;
use super::super::survey::{self, Ready};
use super::super::verify::PackList;
use crate::error::{ErrorCode, Result};
use crate::ledger::drills::StoredDrill;
use crate::ledger::lease::{self, Owner};
use crate::ledger::{Ledger, Stored};
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{From, Manifest, Purpose, VerifyMode};
use crate::repository::archive::adopt_orphans;
use crate::repository::lock::{LockGuard, LockKind};
use crate::repository::{Creator, FileType, Id, Indexed, Repository};
use crate::storage::many::both;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Held, Run};

/// How far this machine's clock may be behind the newest record before the gate refuses.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// What the ledger and the rules said.
pub(super) struct Asked {
    /// The last release that passed.
    pub(super) last: Option<Stored>,
    /// What is to become of each source that is not simply captured.
    pub(super) choices: BTreeMap<String, Choice>,
}

/// A repository that is locked and whose index was read.
pub(super) struct Entered {
    pub(super) indexed: Arc<Indexed>,
    /// Packs that a killed run had stored.
    pub(super) adopted: Vec<Id>,
    /// All packs, if they were listed.
    pub(super) packs: Option<PackList>,
}

impl Run<'_> {
    /// Takes the lease, unless the caller of the run has it already.
    pub(super) fn take_lease(&self, held: &mut Held) -> Result<()> {
        if held.lease.is_some() {
            return Ok(());
        }
        let request = self.request;
        let id = self.draft(|draft| draft.id.clone());
        let owner = Owner::current(Some(id), request.pipeline.run_url.clone())?;
        match lease::acquire_within(request.place.ledger_storage(), owner, self.patience(), self.cancel) {
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

    /// Asks the ledger what there is to know of earlier runs, and the rules what follows from it.
    pub(super) fn ask_ledger(&self, mut from: From, ledger: &Ledger) -> Result<Asked> {
        // Together these questions take as long as one.
        let (((clock, previous), (standing, drilled)), (deployed, comparable)) = both(
            || {
                both(
                    || both(|| self.check_clock(ledger), || ledger.previous()),
                    || both(|| self.check_standing(ledger), || last_drill::last(self.request, ledger)),
                )
            },
            || both(|| survey::compare_with_ledger(&mut from, ledger), || judge::last_comparable(self.request, ledger)),
        );
        // A run that is refused from here on is recorded, too, and must not break the chain.
        let previous = previous?;
        self.draft(|draft| draft.previous = previous);
        clock?;
        standing?;
        let (drilled, findings) = drilled?;
        self.find(findings);
        self.draft(|draft| {
            if let Some(StoredDrill { at, drill, .. }) = drilled {
                draft.measured.last_drill = Some(at);
                draft.measured.last_drill_seconds = Some(drill.seconds);
                draft.drilled = drill.sources;
            }
        });
        if self.refuses() {
            return Ok(Asked { last: None, choices: BTreeMap::new() });
        }
        self.find(deployed?);
        let changes = ruling::scope::look(self.request, &from);
        let search = comparable?;
        self.find(judge::unseen(&search));
        let last = search.found;
        let Ruling { severity, rules, findings, choices, require, approvals, .. } = ruling::rule(&Facts {
            request: self.request,
            from: &from,
            changes: &changes,
            ledger,
            last: last.as_ref().map(|stored| &stored.manifest),
            now: Timestamp::now(),
            left: self.request.timeout.saturating_sub(self.started.elapsed()),
        })?;
        self.find(findings);
        self.draft(|draft| {
            draft.from = from;
            draft.changed_paths = changes.paths.unwrap_or_default();
            draft.severity = Some(severity);
            draft.rules = rules;
            draft.require = require.into_iter().map(|requirement| requirement.as_str().to_owned()).collect();
            draft.approvals = approvals;
        });
        Ok(Asked { last, choices })
    }

    /// Opens or creates the repository, locks it, reads its index, and takes over what a killed run left; `None` if
    /// somebody else has locked it.
    pub(super) fn enter(&self, opening: Ahead<Repository>, lock: &mut Option<LockGuard>) -> Result<Option<Entered>> {
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
            Some(packs) => {
                let lock = lock.as_ref().map(LockGuard::watch);
                adopt_orphans(&indexed, packs.sizes(), lock.as_ref(), self.cancel)?
            }
            None => Vec::new(),
        };
        Ok(Some(Entered { indexed, adopted, packs }))
    }

    /// Lists the packs, if nobody else can be writing any that have no index yet.
    pub(super) fn list_alone(&self, repository: &Repository) -> Result<Option<PackList>> {
        let (packs, locks) = both(|| PackList::of(repository), || repository.list(FileType::Lock));
        Ok(if locks?.len() > 1 { None } else { Some(packs?) })
    }

    /// Refuses a gate while the environment is frozen, and warns while somebody deploys into it: what is captured meanwhile
    /// may be half of the one and half of the other, and does not stand in for anything. A rescue is asked nothing.
    fn check_standing(&self, ledger: &Ledger) -> Result<()> {
        let purpose = self.request.purpose;
        if purpose == Purpose::Safety {
            return Ok(());
        }
        let now = Timestamp::now();
        let frozen = || if purpose == Purpose::Gate { ledger.freeze_at(now) } else { Ok(None) };
        let (freeze, claim) = both(frozen, || ledger.claim());
        self.find(freeze?.map(|freeze| standing::frozen(&self.request.environment, &freeze)));
        let claim = claim?.filter(|claim| claim.is_open(now));
        self.find(claim.map(|claim| Finding { level: Level::Warning, ..standing::claimed(&claim) }));
        Ok(())
    }

    /// Refuses to write a record that would sort before the newest one.
    pub(super) fn check_clock(&self, ledger: &Ledger) -> Result<()> {
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

    /// Makes sure that what sources lean on is good enough and in the store, and records it.
    pub(super) fn lean(
        &self,
        ready: &[Ready<'_>],
        ledger: &Ledger,
        indexed: &Indexed,
        packs: &mut Option<PackList>,
    ) -> Result<Vec<Leaned>> {
        let mut leaned = Vec::new();
        let (bases, findings) = bases::find(ready, ledger)?;
        self.find(findings);
        if bases.is_empty() {
            return Ok(leaned);
        }
        let packs = PackList::renewed(packs, indexed.repository())?;
        let place = (self.request.application.as_str(), self.request.environment.as_str());
        for ready in ready {
            let name = &ready.config.name;
            let Some(base) = bases.get(name) else { continue };
            match bases::see(base, place, indexed, packs.sizes(), VerifyMode::New, self.cancel) {
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
