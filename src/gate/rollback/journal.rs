//! How far a rollback came: its events beside the manifest.

use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::events::Event;
use crate::ledger::freeze::Freeze;
use crate::model::release_id::ReleaseId;
use crate::model::rollback::StepState;
use crate::model::way::WayKind;
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// The name of the step that saves the present state.
pub(super) const SAFETY: &str = "safety snapshot";

/// What the ledger says of the rollback of one release that is under way, if one is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    /// When it began.
    pub(super) began: Option<Timestamp>,
    /// Which way it goes; of no meaning before it began.
    pub(super) way: Option<WayKind>,
    /// The release that holds the state before it.
    pub(super) saved: Option<ReleaseId>,
    /// Why the state before it was not saved, as whoever began it said.
    unsaved: Option<String>,
    states: BTreeMap<String, StepState>,
}

impl Journal {
    /// Reads the journal. A rollback is under way as long as the freeze lasts that it began under, unless it ended: once
    /// somebody thawed, whatever runs now is not what it left.
    ///
    /// # Errors
    /// The store's own; `manifest-invalid` for an event that cannot be read.
    pub(super) fn read(ledger: &Ledger, id: &ReleaseId, freeze: Option<&Freeze>) -> Result<Self> {
        let mut journal = Self::default();
        let Some(freeze) = freeze else { return Ok(journal) };
        for record in ledger.events(id)? {
            match record.event {
                Event::RollbackBegan { at, frozen_at, way, unsaved, .. } => {
                    let began = (frozen_at == freeze.at).then_some(at);
                    let way = began.map(|_| way.unwrap_or(WayKind::FullRestore));
                    let unsaved = unsaved.filter(|_| began.is_some());
                    journal = Self { began, way, unsaved, ..Self::default() };
                }
                Event::RollbackStep { step, state, saved, .. } if journal.began.is_some() => {
                    journal.saved = saved.or(journal.saved);
                    journal.states.insert(step, state);
                }
                Event::RolledBack { .. } => journal = Self::default(),
                _ => {}
            }
        }
        Ok(journal)
    }

    /// Returns how far a step is; `None` if it was not begun.
    pub(super) fn state(&self, step: &str) -> Option<StepState> {
        self.states.get(step).copied()
    }

    /// Returns why the present state must not be saved as the one before the rollback: somebody gave that up when it began,
    /// or one of its steps was begun without it.
    pub(super) fn cannot_save(&self) -> Option<String> {
        let others = self.states.keys().any(|step| step != SAFETY);
        let is_late = self.saved.is_none() && others;
        self.unsaved.clone().or_else(|| is_late.then(|| "the rollback that goes on began without it".to_owned()))
    }
}

/// Gives the events of a rollback their times: each is after all that came before it, whatever the clocks of the hosts say
/// that went on with it. The journal is read in this order.
#[derive(Debug, Default)]
pub(super) struct Clock {
    last: Option<Timestamp>,
}

impl Clock {
    /// Goes on after the newest event of every rollback of a release. Only the holder of the lease may use it.
    ///
    /// # Errors
    /// The store's own; `manifest-invalid` for an event that cannot be read.
    pub(super) fn read(ledger: &Ledger, id: &ReleaseId) -> Result<Self> {
        let of_a_rollback = |event: &Event| {
            matches!(event, Event::RollbackBegan { .. } | Event::RollbackStep { .. } | Event::RolledBack { .. })
        };
        let events = ledger.events(id)?;
        let last = events.iter().filter(|record| of_a_rollback(&record.event)).map(|record| record.event.at()).max();
        Ok(Self { last })
    }

    /// Returns the time of the next event.
    pub(super) fn next(&mut self) -> Timestamp {
        self.at(Timestamp::now())
    }

    fn at(&mut self, now: Timestamp) -> Timestamp {
        let after = self.last.map(|last| last.checked_add(SignedDuration::from_micros(1)).unwrap_or(last));
        let at = after.map_or(now, |after| now.max(after));
        self.last = Some(at);
        at
    }
}

/// What came of a step.
#[derive(Debug, Default)]
pub(super) struct Came {
    /// In words.
    pub(super) message: Option<String>,
    /// The release that holds what it saved.
    pub(super) saved: Option<ReleaseId>,
}

impl Came {
    /// Says it in words.
    pub(super) fn to(message: String) -> Self {
        Self { message: Some(message), saved: None }
    }
}

/// Records how far a step is.
///
/// # Errors
/// The store's own.
pub(super) fn record(
    (ledger, id): (&Ledger, &ReleaseId),
    at: Timestamp,
    step: &str,
    state: StepState,
    came: Came,
) -> Result<()> {
    let Came { message, saved } = came;
    let event = Event::RollbackStep { at, step: step.to_owned(), state, message, saved };
    ledger.record_event(id, &event).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LocalStorage;
    use std::sync::Arc;

    #[test]
    fn a_rollback_is_gone_on_with_under_its_own_freeze_until_it_ended() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        let id = ReleaseId::parse("20261120T213000Z-1.4.0-3f9c2ab1").unwrap();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let freeze = |second| Freeze {
            reason: "r".to_owned(),
            by: "ada".to_owned(),
            at: at(second),
            until: None,
            release: None,
        };
        let began = |second, frozen| Event::RollbackBegan {
            at: at(second),
            by: "ada".to_owned(),
            frozen_at: at(frozen),
            observed: "the instance runs 1.4.0".to_owned(),
            forced: None,
            way: None,
            unsaved: None,
            steps: Vec::new(),
            go_on: None,
        };
        let step = |second, state| {
            let saved = Some(id.clone());
            Event::RollbackStep { at: at(second), step: "x".to_owned(), state, message: None, saved }
        };
        let write = |event: Event| drop(ledger.record_event(&id, &event).unwrap());
        let read = |frozen: Option<i64>| {
            let freeze = frozen.map(freeze);
            let journal = Journal::read(&ledger, &id, freeze.as_ref()).unwrap();
            assert_eq!(journal.saved.is_some(), journal.state("x").is_some());
            (journal.began, journal.state("x"))
        };
        assert_eq!(read(Some(0)), (None, None));
        write(began(1, 0));
        write(step(2, StepState::Started));
        assert_eq!(read(Some(0)), (Some(at(1)), Some(StepState::Started)));
        write(step(3, StepState::Done));
        assert_eq!(read(Some(0)), (Some(at(1)), Some(StepState::Done)));
        assert_eq!(read(None), (None, None), "somebody thawed");
        assert_eq!(read(Some(9)), (None, None), "somebody thawed, and froze again");
        write(began(10, 9));
        assert_eq!(read(Some(9)), (Some(at(10)), None), "steps of an earlier one do not count");
        write(Event::RolledBack { at: at(11), by: "ada".to_owned(), explanation: String::new() });
        assert_eq!(read(Some(9)), (None, None), "it ended");
    }

    #[test]
    fn the_state_before_is_saved_before_any_other_step_or_not_at_all() {
        let journal = |unsaved: Option<&str>, saved: Option<&str>, states: &[(&str, StepState)]| Journal {
            began: Some(Timestamp::UNIX_EPOCH),
            way: None,
            saved: saved.map(|id| ReleaseId::parse(id).unwrap()),
            unsaved: unsaved.map(str::to_owned),
            states: states.iter().map(|(step, state)| ((*step).to_owned(), *state)).collect(),
        };
        use StepState::{Done, Failed, Started};
        let saved = Some("20261120T213000Z-1.4.0-3f9c2ab1");
        assert_eq!(journal(None, None, &[]).cannot_save(), None);
        assert_eq!(journal(None, None, &[(SAFETY, Failed)]).cannot_save(), None);
        assert_eq!(journal(None, saved, &[(SAFETY, Done), ("restore a", Started)]).cannot_save(), None);
        assert_eq!(journal(Some("no room"), None, &[]).cannot_save().unwrap(), "no room");
        let late = journal(None, None, &[(SAFETY, Failed), ("before 1: x", Started)]).cannot_save().unwrap();
        assert!(late.contains("began without it"), "{late}");
    }

    #[test]
    fn an_event_comes_after_those_before_it_whatever_the_clock_says() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        let id = ReleaseId::parse("20261120T213000Z-1.4.0-3f9c2ab1").unwrap();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        assert_eq!(Clock::read(&ledger, &id).unwrap().at(at(7)), at(7));
        // The first host is half a minute ahead of the second one.
        record((&ledger, &id), at(30), "x", StepState::Failed, Came::default()).unwrap();
        let mut clock = Clock::read(&ledger, &id).unwrap();
        record((&ledger, &id), clock.at(at(1)), "x", StepState::Started, Came::default()).unwrap();
        record((&ledger, &id), clock.at(at(2)), "x", StepState::Done, Came::default()).unwrap();
        let states: Vec<_> = ledger.events(&id).unwrap().into_iter().map(|record| record.event).collect();
        let states: Vec<_> = states
            .iter()
            .map(|event| match event {
                Event::RollbackStep { state, .. } => *state,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(states, [StepState::Failed, StepState::Started, StepState::Done]);
        assert_eq!(clock.at(at(60)), at(60), "and from then on it is the clock");
    }
}
