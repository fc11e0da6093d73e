//! The beginning of a rollback: the lease, the freeze, and the journal that it opens or goes on with.

use super::super::standing;
use super::journal::Journal;
use super::perform::Rollback;
use super::{command, fit};
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::events::Event;
use crate::ledger::freeze::Freeze;
use crate::ledger::lease::{self, Lease, Owner};
use crate::model::finding::Level;
use crate::model::rollback::RollbackStep;
use crate::model::way::WayKind;
use jiff::Timestamp;

impl Rollback<'_> {
    pub(super) fn take_lease(&self) -> Result<Lease> {
        let run = &self.request.run;
        let owner = Owner::current(Some(self.plan.id.clone()), run.pipeline.run_url.clone())?;
        let acquired = lease::acquire(run.place.ledger_storage(), owner, self.hands.cancel)?;
        if let Some(finding) = acquired.finding {
            self.hands.observer.note(&format!("warning: {}", finding.message));
        }
        Ok(acquired.lease)
    }

    /// Freezes the environment, and opens the journal or goes on with it.
    pub(super) fn begin(&mut self) -> Result<Freeze> {
        let id = &self.plan.id;
        let now = Timestamp::now();
        let standing = self.ledger.freeze_at(now)?;
        let journal = Journal::read(&self.ledger, id, standing.as_ref())?;
        if journal.began != self.plan.resumes {
            let message = format!("another rollback of {id} went on since this one was planned");
            return Err(Error::new(ErrorCode::Busy, message).hint("start again, and look at the plan"));
        }
        if journal.began.is_none() {
            self.look_again()?;
        }
        let freeze = match standing {
            // One that ends by itself would let others deploy into what is half restored.
            Some(freeze) if freeze.until.is_some() && journal.began.is_none() => {
                self.ledger.thaw()?;
                self.freeze(now)?
            }
            Some(freeze) => freeze,
            None => self.freeze(now)?,
        };
        self.freeze = Some(freeze.clone());
        self.saved = journal.saved;
        if journal.began.is_none() {
            let began = Event::RollbackBegan {
                at: Timestamp::now(),
                by: self.request.by.clone(),
                frozen_at: freeze.at,
                observed: self.plan.observed.clone(),
                forced: self.request.force.clone(),
                way: Some(self.plan.way).filter(|way| *way != WayKind::FullRestore),
                steps: self.plan.steps.iter().map(RollbackStep::planned).collect(),
                go_on: Some(command(self.request, self.plan.way)),
            };
            self.ledger.record_event(id, &began)?;
        }
        Ok(freeze)
    }

    /// Refuses where another deployment began since the plan was shown.
    fn look_again(&self) -> Result<()> {
        let claim = self.ledger.claim()?.filter(|claim| claim.is_open(Timestamp::now()));
        if let Some(claim) = claim.filter(|claim| claim.release != self.plan.id) {
            let finding = standing::claimed(&claim);
            return Err(Error::new(ErrorCode::Busy, finding.message).hint(finding.hint.unwrap_or_default()));
        }
        let seen = fit::look(self.request, &self.ledger, self.hands.cancel, self.hands.runtime)?;
        match seen.finding.filter(|finding| finding.level == Level::Refusal) {
            Some(finding) => {
                Err(Error::new(ErrorCode::ProbeFailed, format!("{}; nothing was changed", finding.message))
                    .hint("look at the plan again"))
            }
            None => Ok(()),
        }
    }

    fn freeze(&self, at: Timestamp) -> Result<Freeze> {
        let id = &self.plan.id;
        let by = self.request.by.clone();
        let reason = format!("rollback of {} (release {id})", self.plan.undone);
        let freeze = Freeze { reason: reason.clone(), by: by.clone(), at, until: None, release: Some(id.clone()) };
        if let Some(other) = self.ledger.freeze(&freeze)? {
            return Ok(other);
        }
        self.ledger.record_event(id, &Event::Frozen { at, by, reason, until: None })?;
        Ok(freeze)
    }
}
