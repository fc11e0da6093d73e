//! The beginning of a rollback: the lease, the freeze, and the journal that it opens or goes on with.

use super::super::standing;
use super::command::go_on;
use super::fit;
use super::journal::{Clock, Journal};
use super::perform::Rollback;
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
        if let Some(freeze) = &standing {
            self.refuse_under_another(freeze)?;
        }
        // One of a rollback that was killed while it waited for its deploy step: nobody may use it now.
        self.ledger.withdraw_rollback_pass()?;
        let journal = Journal::read(&self.ledger, id, standing.as_ref())?;
        self.clock = Clock::read(&self.ledger, id)?;
        if journal.began != self.plan.resumes {
            let message = format!("another rollback of {id} went on since this one was planned");
            return Err(Error::new(ErrorCode::Busy, message).hint("start again, and look at the plan"));
        }
        if journal.began.is_none() {
            self.look_again()?;
        }
        let freeze = match standing {
            // One that ends by itself would let others deploy into what is half restored.
            Some(freeze) if freeze.until.is_some() && journal.began.is_none() => self.replace(&freeze)?,
            Some(freeze) => freeze,
            None => self.freeze(now)?,
        };
        self.freeze = Some(freeze.clone());
        self.saved = journal.saved;
        if journal.began.is_none() {
            let began = Event::RollbackBegan {
                at: self.clock.next(),
                by: self.request.by.clone(),
                frozen_at: freeze.at,
                observed: self.plan.observed.clone(),
                forced: self.request.force.clone(),
                way: Some(self.plan.way).filter(|way| *way != WayKind::FullRestore),
                unsaved: self.request.no_safety_snapshot.clone(),
                steps: self.plan.steps.iter().map(RollbackStep::planned).collect(),
                go_on: Some(go_on(self.request, self.plan.way)),
            };
            self.event(&began)?;
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
        if self.plan.way == WayKind::FullRestore {
            standing::refuse_let_go(&self.ledger, &self.plan.id)?;
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

    /// Refuses under the freeze of another release's rollback that is not done: two of them would restore into one another.
    fn refuse_under_another(&self, freeze: &Freeze) -> Result<()> {
        let Some(other) = freeze.release.as_ref().filter(|other| **other != self.plan.id) else { return Ok(()) };
        if Journal::read(&self.ledger, other, Some(freeze))?.began.is_none() {
            return Ok(());
        }
        let environment = &self.plan.environment;
        Err(Error::new(ErrorCode::Busy, format!("the rollback of {other} is not done: {environment} is {freeze}")).hint(
            format!(
                "go on with it: holdpoint rollback --id {other} --environment {environment} --yes {environment}; or give it \
                 up: holdpoint thaw --environment {environment} --reason TEXT"
            ),
        ))
    }

    fn freeze(&self, at: Timestamp) -> Result<Freeze> {
        let freeze = self.own_freeze(at, String::new());
        match self.ledger.freeze(&freeze)? {
            Some(other) => {
                self.refuse_under_another(&other)?;
                Ok(other)
            }
            None => self.frozen(freeze),
        }
    }

    /// Freezes in place of a freeze that ends by itself; whoever thaws is told of it.
    fn replace(&self, old: &Freeze) -> Result<Freeze> {
        let freeze = self.own_freeze(Timestamp::now(), format!("; it was {old}"));
        self.ledger.replace_freeze(&freeze)?;
        self.frozen(freeze)
    }

    fn own_freeze(&self, at: Timestamp, more: String) -> Freeze {
        let id = &self.plan.id;
        let reason = format!("rollback of {} (release {id}){more}", self.plan.undone);
        Freeze { reason, by: self.request.by.clone(), at, until: None, release: Some(id.clone()) }
    }

    fn frozen(&self, freeze: Freeze) -> Result<Freeze> {
        let Freeze { at, by, reason, .. } = freeze.clone();
        self.event(&Event::Frozen { at, by, reason, until: None })?;
        Ok(freeze)
    }
}
