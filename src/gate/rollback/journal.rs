//! How far a rollback came: its events beside the manifest.

use crate::error::Result;
use crate::ledger::Ledger;
use crate::ledger::events::Event;
use crate::ledger::freeze::Freeze;
use crate::model::release_id::ReleaseId;
use crate::model::rollback::StepState;
use crate::model::way::WayKind;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What the ledger says of the rollback of one release that is under way, if one is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Journal {
    /// When it began.
    pub(super) began: Option<Timestamp>,
    /// Which way it goes; of no meaning before it began.
    pub(super) way: Option<WayKind>,
    /// The release that holds the state before it.
    pub(super) saved: Option<ReleaseId>,
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
                Event::RollbackBegan { at, frozen_at, way, .. } => {
                    let began = (frozen_at == freeze.at).then_some(at);
                    let way = began.map(|_| way.unwrap_or(WayKind::FullRestore));
                    journal = Self { began, way, ..Self::default() };
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
pub(super) fn record(ledger: &Ledger, id: &ReleaseId, step: &str, state: StepState, came: Came) -> Result<()> {
    let Came { message, saved } = came;
    let event = Event::RollbackStep { at: Timestamp::now(), step: step.to_owned(), state, message, saved };
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
}
