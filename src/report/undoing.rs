//! How far a rollback came, by the events of its release.

use super::html::Standing;
use crate::ledger::events::{Event, EventRecord};
use crate::model::release_id::ReleaseId;
use crate::model::rollback::{NOT_VERIFIED, PlannedStep, StepState};
use jiff::Timestamp;

/// The last rollback of a release.
#[derive(Debug)]
pub(super) struct Undoing<'a> {
    /// When it began.
    pub(super) at: Timestamp,
    /// Who began it.
    pub(super) by: &'a str,
    /// What was observed before it.
    pub(super) observed: &'a str,
    /// Why it was begun although the manifest does not describe what ran.
    pub(super) forced: Option<&'a str>,
    /// The command that goes on with it.
    pub(super) go_on: Option<&'a str>,
    /// What there is to do, in order; what was planned otherwise later stands last.
    pub(super) steps: Vec<StepOf<'a>>,
    /// The release that holds the state before it.
    pub(super) saved: Option<&'a ReleaseId>,
    /// When it was done, and what was seen then.
    pub(super) done: Option<(Timestamp, &'a str)>,
    /// Whether it can be gone on with: the freeze still lasts under which it began.
    pub(super) can_go_on: bool,
}

/// One step of it.
#[derive(Debug)]
pub(super) struct StepOf<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// As it was planned.
    pub(super) planned: Option<&'a PlannedStep>,
    /// How far it is, and since when; nothing if it was not begun.
    pub(super) state: Option<(StepState, Timestamp)>,
    /// When it began the last time.
    pub(super) began: Option<Timestamp>,
    /// What came of it, or why it failed.
    pub(super) message: Option<&'a str>,
}

impl<'a> Undoing<'a> {
    /// Reads the last rollback from the events, oldest first; `None` if none was begun.
    pub(super) fn of(events: &'a [EventRecord], standing: Standing<'_>) -> Option<Self> {
        let first = events.iter().rposition(|record| matches!(record.event, Event::RollbackBegan { .. }))?;
        let (began, later) = events.get(first..)?.split_first()?;
        let Event::RollbackBegan { at, by, frozen_at, observed, forced, steps, go_on, .. } = &began.event else {
            return None;
        };
        let planned = |step: &'a PlannedStep| StepOf { planned: Some(step), ..StepOf::named(&step.step) };
        let mut undoing = Self {
            at: *at,
            by,
            observed,
            forced: forced.as_deref(),
            go_on: go_on.as_deref(),
            steps: steps.iter().map(planned).collect(),
            saved: None,
            done: None,
            can_go_on: match standing {
                Standing::Unknown => true,
                Standing::Free => false,
                Standing::Frozen(freeze) => freeze.at == *frozen_at,
            },
        };
        for record in later {
            undoing.hear(&record.event, matches!(standing, Standing::Unknown));
        }
        Some(undoing)
    }

    fn hear(&mut self, event: &'a Event, believe_thaw: bool) {
        match event {
            Event::RollbackStep { at, step, state, message, saved } => {
                self.saved = saved.as_ref().or(self.saved);
                let number = self.steps.iter().position(|other| other.name == step).unwrap_or_else(|| {
                    self.steps.push(StepOf::named(step));
                    self.steps.len() - 1
                });
                let Some(step) = self.steps.get_mut(number) else { return };
                step.state = Some((*state, *at));
                step.message = message.as_deref();
                if *state == StepState::Started {
                    step.began = Some(*at);
                }
            }
            Event::RolledBack { at, explanation, .. } => self.done = Some((*at, explanation)),
            Event::Thawed { .. } if believe_thaw => self.can_go_on = false,
            _ => {}
        }
    }

    /// Returns the step that is under way, or that it stopped at, with its place from 1.
    pub(super) fn current(&self) -> Option<(usize, &StepOf<'a>)> {
        let under_way = |step: &StepOf<'_>| step.state.is_some_and(|(state, _)| state != StepState::Done);
        self.steps.iter().position(under_way).and_then(|place| Some((place + 1, self.steps.get(place)?)))
    }

    /// Returns the steps that are done and had nothing to compare, with why.
    pub(super) fn not_verified(&self) -> impl Iterator<Item = (&StepOf<'a>, &'a str)> {
        self.steps.iter().filter_map(|step| Some((step, step.not_verified()?)))
    }

    /// Returns how many steps are done.
    pub(super) fn done_steps(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.state, Some((StepState::Done, _)))).count()
    }
}

impl<'a> StepOf<'a> {
    fn named(name: &'a str) -> Self {
        Self { name, planned: None, state: None, began: None, message: None }
    }

    /// Returns why it had nothing to compare, if it is done and was to compare something.
    pub(super) fn not_verified(&self) -> Option<&'a str> {
        let is_done = self.state.is_some_and(|(state, _)| state == StepState::Done);
        self.message.filter(|_| is_done)?.strip_prefix(NOT_VERIFIED)
    }

    /// Returns what it does, in words.
    pub(super) fn action(&self) -> &'a str {
        self.planned.map_or(self.name, |planned| planned.action.as_str())
    }
}
