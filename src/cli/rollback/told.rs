//! Who is told how a rollback goes while it goes: the readers of its page, and the webhooks.

use super::super::page::Live;
use super::super::session::Session;
use super::super::webhooks;
use crate::config::WebhookEvent;
use crate::gate::rollback::{Outcome, Watcher};
use crate::ledger::Ledger;
use crate::model::manifest::Manifest;
use crate::model::rollback::RollbackPlan;
use crate::notify::{Notifier, Untold};
use crate::report::status::Teller;
use std::cell::Cell;

/// Tells them. Neither a store nor a receiver that does not answer is waited for.
pub(super) struct Told<'a> {
    teller: Teller<'a>,
    manifest: &'a Manifest,
    page: Live,
    notifier: Notifier,
    began: Cell<bool>,
}

impl<'a> Told<'a> {
    /// Gets ready to tell how the release of `manifest` is rolled back by `by`.
    pub(super) fn new(session: &'a Session, ledger: &Ledger, manifest: &'a Manifest, by: &'a str) -> Self {
        let run_url = session.ci.as_ref().and_then(|ci| ci.pipeline.run_url.as_deref());
        Self {
            teller: Teller { by, run_url },
            manifest,
            page: Live::start(session, ledger, &manifest.id),
            notifier: Notifier::new(&session.config.webhooks, WebhookEvent::Rollback),
            began: Cell::new(false),
        }
    }

    /// Tells how it ended, and returns what webhooks were not told: that is a warning, and an event.
    pub(super) fn end(self, session: &Session, ledger: &Ledger, outcome: &Outcome) -> Vec<Untold> {
        let Outcome { plan, freeze, stopped, error, go_on } = outcome;
        // What never began has told nothing to those who are not there.
        if self.began.get() {
            let thaw = self.manifest.rollback.thaw(&plan.environment);
            let next = if error.is_some() { go_on } else { &thaw };
            let error = error.as_ref().map(|error| (*stopped, error));
            self.notifier.tell(self.teller.ended(plan, freeze.as_ref(), error, next));
        }
        self.page.stop(session);
        webhooks::finish(session, self.notifier, "rollback", Some((ledger, &plan.id)))
    }
}

impl Watcher for Told<'_> {
    fn began(&self, plan: &RollbackPlan) {
        self.began.set(true);
        self.notifier.tell(self.teller.began(plan));
        self.page.changed();
    }

    fn stepped(&self, plan: &RollbackPlan, number: usize) {
        if let Some(line) = self.teller.stepped(plan, number) {
            self.notifier.tell(line);
        }
        self.page.changed();
    }
}
