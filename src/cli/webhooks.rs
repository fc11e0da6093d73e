//! Telling webhooks, and the end of it: what they were not told is a finding, and recorded.

use super::output;
use super::session::Session;
use crate::config::WebhookEvent;
use crate::error::ExitCode;
use crate::ledger::Ledger;
use crate::ledger::events::Event;
use crate::model::drill::Drill;
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Manifest;
use crate::model::release_id::ReleaseId;
use crate::notify::{Notifier, Untold};
use crate::report::happened::happened;
use crate::report::told::Asker;
use jiff::Timestamp;
use std::time::{Duration, Instant};

/// How long webhooks may keep a command from its end, if none of them may take longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long they may keep one that was cancelled: whoever cancelled it waits.
const PATIENCE_CANCELLED: Duration = Duration::from_secs(1);

/// Lines on their way.
pub struct Telling<'a> {
    session: &'a Session,
    about: &'static str,
    notifiers: Vec<Notifier>,
    /// When the command has to end.
    deadline: Option<Instant>,
}

impl<'a> Telling<'a> {
    fn new(session: &'a Session, about: &'static str) -> Self {
        Self { session, about, notifiers: Vec::new(), deadline: None }
    }

    /// Starts to tell of the verdict on a release.
    pub fn verdict(session: &'a Session, manifest: &Manifest, exit: ExitCode, by: &str) -> Self {
        let (mut telling, hooks) = (Self::new(session, "verdict"), &session.config.webhooks);
        let asker = telling.asker(by);
        let notifier = match exit {
            ExitCode::Pass => Notifier::resolving(hooks, Some(WebhookEvent::Passed), WebhookEvent::Refused),
            _ => Notifier::new(hooks, WebhookEvent::Refused),
        };
        notifier.tell(asker.judged(manifest, exit));
        telling.notifiers.push(notifier);
        if let Some(line) = asker.overridden(manifest) {
            let notifier = Notifier::new(hooks, WebhookEvent::Overridden);
            notifier.tell(line);
            telling.notifiers.push(notifier);
        }
        telling
    }

    /// Starts to tell that a deploy step was not admitted.
    pub fn not_admitted(
        session: &'a Session,
        by: &str,
        line: impl FnOnce(Asker<'_>) -> crate::model::status::StatusLine,
    ) -> Self {
        let mut telling = Self::new(session, "refusal");
        let notifier = Notifier::new(&session.config.webhooks, WebhookEvent::Refused);
        notifier.tell(line(telling.asker(by)));
        telling.notifiers.push(notifier);
        telling
    }

    /// Starts to tell what runs: everybody who asked for it if that is wrong, and otherwise who waits for it to be right.
    pub fn reconciled(session: &'a Session, manifest: &Manifest, event: &Event, by: &str) -> Self {
        let (mut telling, hooks) = (Self::new(session, "reconciliation"), &session.config.webhooks);
        let Some(line) = telling.asker(by).reconciled(manifest, event) else { return telling };
        let notifier = match event.matched() {
            None => Notifier::new(hooks, WebhookEvent::Drifted),
            Some(_) => Notifier::resolving(hooks, None, WebhookEvent::Drifted),
        };
        notifier.tell(line);
        telling.notifiers.push(notifier);
        telling
    }

    /// Starts to tell of a drill.
    pub fn drilled(session: &'a Session, drill: &Drill, exit: ExitCode) -> Self {
        let mut telling = Self::new(session, "drill");
        let notifier = Notifier::new(&session.config.webhooks, WebhookEvent::Drilled);
        notifier.tell(telling.asker(&drill.by).drilled(drill, exit));
        telling.notifiers.push(notifier);
        telling
    }

    /// Says when the command has to end.
    #[must_use]
    pub fn until(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Waits until everybody is told or given up; returns who was not as findings, which are also recorded beside the release.
    pub fn finish(self, record: Option<(&Ledger, &ReleaseId)>) -> Vec<Finding> {
        let Self { session, about, notifiers, deadline } = self;
        let mut found = Vec::new();
        for notifier in notifiers {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            for untold in end(session, notifier, about, record, left) {
                let finding = Finding::warning(FindingCode::WebhookFailed, happened(&event(&untold, about)));
                found.push(finding.hint("tell them by hand; then look at the webhook and its receiver"));
            }
        }
        found
    }

    fn asker<'b>(&self, by: &'b str) -> Asker<'b>
    where
        'a: 'b,
    {
        Asker { by, run_url: self.session.ci.as_ref().and_then(|ci| ci.pipeline.run_url.as_deref()) }
    }
}

/// Waits for the last lines about `about`; warns of what was not delivered, and records it beside the release. Nothing of
/// it fails.
pub fn finish(
    session: &Session,
    notifier: Notifier,
    about: &str,
    record: Option<(&Ledger, &ReleaseId)>,
) -> Vec<Untold> {
    let untold = end(session, notifier, about, record, None);
    for untold in &untold {
        output::note(&format!("warning: {}", happened(&event(untold, about))));
    }
    untold
}

/// Waits as long as a webhook may take, but not for longer than what is `left`, nor where the command was cancelled.
fn end(
    session: &Session,
    notifier: Notifier,
    about: &str,
    record: Option<(&Ledger, &ReleaseId)>,
    left: Option<Duration>,
) -> Vec<Untold> {
    let patience = match session.cancel.check() {
        Err(_) => PATIENCE_CANCELLED,
        Ok(()) => {
            let longest = notifier.longest().max(PATIENCE);
            left.map_or(longest, |left| longest.min(left.max(PATIENCE_CANCELLED)))
        }
    };
    let untold = notifier.finish(patience);
    if let Some((ledger, id)) = record {
        for untold in &untold {
            // It is said; the record is for those who come later.
            let _ = ledger.record_event(id, &event(untold, about));
        }
    }
    untold
}

fn event(Untold { webhook, lines, why }: &Untold, about: &str) -> Event {
    let (webhook, about, why) = (webhook.clone(), about.to_owned(), why.clone());
    Event::NotTold { at: Timestamp::now(), webhook, about, lines: *lines, why }
}
