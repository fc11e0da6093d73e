//! What happens to a release after its manifest was written: create-only `events/NAME.json` beside it.

use super::manifest::digest;
use super::releases::Ledger;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::drill::Drill;
use crate::model::manifest::Instance;
use crate::model::reconciliation::{Outcome, Side};
use crate::model::release_id::ReleaseId;
use crate::model::rollback::{PlannedStep, StepState};
use crate::model::way::WayKind;
use crate::storage::many::ask_all;
use crate::storage::{Class, PutMode, PutOutcome, ReadFrom};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The event of which a release has one at most: its pass is used.
const ADMITTED: &str = "admitted";
/// How the names of the events begin that let a release go from the store itself.
const PRUNED: &str = "pruned";

/// One thing that happened to a release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum Event {
    /// The manifest was compared with the running system.
    Reconciled {
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
        /// Which side of the release was expected to run.
        expected: Side,
        /// What came of it.
        outcome: Outcome,
        /// What each instance answered.
        instances: Vec<Instance>,
        /// The outcome in one sentence.
        explanation: String,
    },
    /// The deploy step used the pass; no other one can.
    Admitted {
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
        /// Which run of a pipeline; the same one may ask again while its claim is open.
        run: String,
        /// Where the run can be looked at.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run_url: Option<String>,
        /// Who started the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        actor: Option<String>,
        /// Who signed the pass; `guard` trusts its own without a signature.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signer: Option<String>,
        /// The fingerprint of the key that signed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// A person approved of the release.
    Approved {
        /// When it was recorded.
        #[schemars(with = "String")]
        at: Timestamp,
        /// Who recorded it.
        by: String,
        /// The principals of the key's line; only what the signature proves is believed.
        signer: String,
        /// The fingerprint of the key.
        key: String,
        /// The signature, in the namespace `holdpoint@approval`.
        signature: String,
    },
    /// The command that `guard` ran has ended.
    Guarded {
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
        /// Whether it succeeded.
        succeeded: bool,
        /// How it ended, in words.
        status: String,
    },
    /// The environment was frozen while this was its newest release.
    Frozen {
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
        /// When the freeze ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        until: Option<Timestamp>,
    },
    /// The environment was thawed while this was its newest release.
    Thawed {
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
    },
    /// The rollback of the release began, or began anew.
    RollbackBegan {
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
        /// By whom.
        by: String,
        /// The beginning of the freeze that it works under: as long as that one lasts, it can be gone on with.
        #[schemars(with = "String")]
        frozen_at: Timestamp,
        /// What was observed before it, in one sentence.
        observed: String,
        /// Why it went on although the manifest does not describe what runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        forced: Option<String>,
        /// Which way back it goes; a full restore without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        way: Option<WayKind>,
        /// Why the present state is not saved first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unsaved: Option<String>,
        /// What there is to do, in order.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        steps: Vec<PlannedStep>,
        /// The command that goes on with it where it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        go_on: Option<String>,
    },
    /// A step of the rollback began, was done, or failed.
    RollbackStep {
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
        /// Which step, as the plan names it.
        step: String,
        /// How far it is.
        state: StepState,
        /// What came of it, or why it failed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// The release that holds what the step saved.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        saved: Option<ReleaseId>,
    },
    /// A deploy step that asked was admitted to deploy the older version again.
    RollbackAdmitted {
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
        /// Which run of a pipeline.
        run: String,
        /// Who started the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        actor: Option<String>,
        /// Who signed the rollback's pass.
        signer: String,
    },
    /// The release was restored into isolation, and looked at there.
    Drilled {
        /// When it ended.
        #[schemars(with = "String")]
        at: Timestamp,
        /// What was found.
        drill: Box<Drill>,
    },
    /// The release was rolled back: every step is done.
    RolledBack {
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
        /// By whom.
        by: String,
        /// What was seen to run at the end, in one sentence.
        explanation: String,
    },
    /// Somebody holds the release: its snapshots stay, whatever retention says.
    Held {
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
        /// Who.
        by: String,
        /// Why.
        reason: String,
        /// When the hold ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        until: Option<Timestamp>,
    },
    /// Every hold of the release was lifted.
    HoldLifted {
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
        /// By whom.
        by: String,
        /// Why.
        reason: String,
    },
    /// Retention let the release go: written before its snapshots are removed, so that nobody relies on them any more.
    Pruned {
        /// When.
        #[schemars(with = "String")]
        at: Timestamp,
        /// By whom.
        by: String,
        /// The snapshots that are removed; those that others need stay.
        snapshots: Vec<String>,
        /// The copy from which it was let go; the store itself without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        copy: Option<String>,
        /// The copy that keeps it, read back there before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        archive: Option<String>,
    },
    /// Somebody was not told what they should have been told.
    NotTold {
        /// When that was given up.
        #[schemars(with = "String")]
        at: Timestamp,
        /// The name of the webhook in the configuration.
        webhook: String,
        /// What it was about, such as `rollback`.
        about: String,
        /// How many status lines were not delivered.
        lines: u32,
        /// Why the last of them was not.
        why: String,
    },
}

impl Event {
    /// Returns when it happened.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Reconciled { at, .. }
            | Self::Admitted { at, .. }
            | Self::Approved { at, .. }
            | Self::Guarded { at, .. }
            | Self::Frozen { at, .. }
            | Self::Thawed { at, .. }
            | Self::RollbackBegan { at, .. }
            | Self::RollbackStep { at, .. }
            | Self::RollbackAdmitted { at, .. }
            | Self::Drilled { at, .. }
            | Self::NotTold { at, .. }
            | Self::Held { at, .. }
            | Self::HoldLifted { at, .. }
            | Self::Pruned { at, .. }
            | Self::RolledBack { at, .. } => *at,
        }
    }

    /// Says whether it changes what is deployed, or what a rollback would need: records of what was only looked at, kept or
    /// told do not.
    pub fn is_work_on_the_deployment(&self) -> bool {
        match self {
            Self::Reconciled { .. }
            | Self::Admitted { .. }
            | Self::Guarded { .. }
            | Self::RollbackBegan { .. }
            | Self::RollbackStep { .. }
            | Self::RollbackAdmitted { .. }
            | Self::RolledBack { .. } => true,
            Self::Drilled { .. }
            | Self::NotTold { .. }
            | Self::Approved { .. }
            | Self::Frozen { .. }
            | Self::Thawed { .. }
            | Self::Held { .. }
            | Self::HoldLifted { .. }
            | Self::Pruned { .. } => false,
        }
    }

    /// Returns the digest of what the ledger holds of it.
    ///
    /// # Errors
    /// `internal`: it cannot be written as JSON.
    pub fn digest(&self) -> Result<String> {
        Ok(digest(&to_json(self)?))
    }

    /// Returns the side that was seen running everywhere, and when, if this event says so.
    pub fn matched(&self) -> Option<(Side, Timestamp)> {
        match self {
            Self::Reconciled { outcome: Outcome::Matched, expected, at, .. } => Some((*expected, *at)),
            _ => None,
        }
    }

    /// Returns a name for its object that is never used twice.
    pub(super) fn new_name(&self) -> Result<String> {
        Ok(format!("{}-{}-{}", self.kind(), self.at().strftime("%Y%m%dT%H%M%S%.6fZ"), random()?))
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Reconciled { .. } => "reconciled",
            Self::Admitted { .. } => ADMITTED,
            Self::Approved { .. } => "approved",
            Self::Guarded { .. } => "guarded",
            Self::Frozen { .. } => "frozen",
            Self::Thawed { .. } => "thawed",
            Self::RollbackBegan { .. } => "rollback-began",
            Self::RollbackStep { .. } => "rollback-step",
            Self::RollbackAdmitted { .. } => "rollback-admitted",
            Self::Drilled { .. } => "drilled",
            Self::RolledBack { .. } => "rolled-back",
            Self::NotTold { .. } => "not-told",
            Self::Held { .. } => "held",
            Self::HoldLifted { .. } => "hold-lifted",
            Self::Pruned { copy: None, .. } => PRUNED,
            Self::Pruned { copy: Some(_), .. } => "copy-pruned",
        }
    }
}

/// An event as the ledger holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// The name of its object, without `.json`.
    pub name: String,
    /// What happened.
    pub event: Event,
}

impl Ledger {
    /// Marks the pass of a release as used; `None` if it was used already, by whomever. Create-only: of several that try
    /// one can.
    ///
    /// # Errors
    /// The store's own.
    pub fn use_pass(&self, id: &ReleaseId, admitted: &Event) -> Result<Option<EventRecord>> {
        let key = format!("{}/events/{ADMITTED}.json", Self::folder(id));
        let record = EventRecord { name: ADMITTED.to_owned(), event: admitted.clone() };
        let json = to_json(admitted)?;
        match self.storage.put(&key, &json, PutMode::CreateOnly, Class::Record)? {
            PutOutcome::Written => Ok(Some(record)),
            // Something on the way may repeat a request: then it is ours.
            PutOutcome::Exists => {
                let there = self.storage.get(&key, ReadFrom::Medium)?;
                Ok(Some(record).filter(|_| there.as_deref() == Some(&*json)))
            }
        }
    }

    /// Writes an event beside the manifest of `id`, under a name that is never used twice.
    ///
    /// # Errors
    /// The store's own, or `internal` if the system gives no random bytes.
    pub fn record_event(&self, id: &ReleaseId, event: &Event) -> Result<EventRecord> {
        let json = to_json(event)?;
        loop {
            let name = event.new_name()?;
            let key = format!("{}/events/{name}.json", Self::folder(id));
            match self.storage.put(&key, &json, PutMode::CreateOnly, Class::Record)? {
                PutOutcome::Written => return Ok(EventRecord { name, event: event.clone() }),
                PutOutcome::Exists => {}
            }
        }
    }

    /// Says whether retention let a release go from this store, by the names of its events alone.
    ///
    /// # Errors
    /// The store's own.
    pub fn is_pruned(&self, id: &ReleaseId) -> Result<bool> {
        let names = self.storage.list_names(&format!("{}/events", Self::folder(id)))?;
        Ok(names.iter().any(|name| tells_pruned(name)))
    }

    /// Returns the events of a release, oldest first.
    ///
    /// # Errors
    /// The store's own, or `manifest-invalid` for an event that cannot be read: what it says may matter.
    pub fn events(&self, id: &ReleaseId) -> Result<Vec<EventRecord>> {
        self.events_named(id, &self.event_names(id)?)
    }

    /// Reads events of a release that were listed, oldest first.
    pub(super) fn events_named(&self, id: &ReleaseId, names: &[impl AsRef<str> + Sync]) -> Result<Vec<EventRecord>> {
        Ok(self.events_as_stored(id, names)?.into_iter().map(|(record, _)| record).collect())
    }

    /// Reads events of a release that were listed, oldest first, with their digests as the store holds them.
    pub(super) fn events_as_stored(
        &self,
        id: &ReleaseId,
        names: &[impl AsRef<str> + Sync],
    ) -> Result<Vec<(EventRecord, String)>> {
        let folder = format!("{}/events", Self::folder(id));
        let mut events = Vec::new();
        let width = self.storage.parallelism().reads;
        let read = ask_all(width, names, &Cancel::new(), |name| {
            self.storage.get(&format!("{folder}/{}.json", name.as_ref()), ReadFrom::Anywhere)
        })?;
        for (name, bytes) in names.iter().map(AsRef::as_ref).zip(read) {
            let Some(bytes) = bytes else { continue };
            let key = format!("{folder}/{name}.json");
            let event = serde_json::from_slice(&bytes).map_err(|error| {
                Error::new(ErrorCode::ManifestInvalid, format!("event {key} cannot be read"))
                    .caused_by(error)
                    .hint("it was altered, or a newer holdpoint wrote it: use that version")
            })?;
            events.push((EventRecord { name: name.to_owned(), event }, digest(&bytes)));
        }
        events.sort_by(|(one, _), (two, _)| (one.event.at(), &one.name).cmp(&(two.event.at(), &two.name)));
        Ok(events)
    }

    /// Returns the names of the events of a release, in no order that means anything.
    pub(super) fn event_names(&self, id: &ReleaseId) -> Result<Vec<String>> {
        let names = self.storage.list_names(&format!("{}/events", Self::folder(id)))?;
        Ok(names.iter().filter_map(|name| name.strip_suffix(".json")).map(str::to_owned).collect())
    }
}

/// Says whether the name of an event tells that the release was let go from the store itself.
pub fn tells_pruned(name: &str) -> bool {
    name.strip_prefix(PRUNED).is_some_and(|rest| rest.starts_with('-'))
}

/// Says whether the name of an event tells of what may bind a release whatever else became of it: a hold, or a rollback.
pub fn tells_bound(name: &str) -> bool {
    ["held-", "rollback-began-"].iter().any(|kind| name.starts_with(kind))
}

pub(super) fn to_json(event: &Event) -> Result<Bytes> {
    let json = serde_json::to_vec_pretty(event)
        .map_err(|error| Error::new(ErrorCode::Internal, "cannot write an event as JSON").caused_by(error))?;
    Ok(json.into())
}

/// Returns eight random hexadecimal digits.
fn random() -> Result<String> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorCode::Internal, "the system gives no random bytes").caused_by(error))?;
    Ok(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LocalStorage;
    use std::sync::Arc;

    fn reconciled(at: &str, outcome: Outcome) -> Event {
        let explanation = "shop answers 1.4.0".to_owned();
        Event::Reconciled { at: at.parse().unwrap(), expected: Side::To, outcome, instances: vec![], explanation }
    }

    #[test]
    fn a_pass_is_used_once() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        let id = ReleaseId::parse("20261120T213000Z-1.4.0-3f9c2ab1").unwrap();
        let by = |run: &str| Event::Admitted {
            at: "2026-11-20T22:00:00Z".parse().unwrap(),
            run: run.to_owned(),
            run_url: None,
            actor: None,
            signer: None,
            key: None,
        };
        let used = ledger.use_pass(&id, &by("a")).unwrap().unwrap();
        assert_eq!(ledger.events(&id).unwrap(), [used]);
        assert_eq!(ledger.use_pass(&id, &by("b")).unwrap(), None);
        assert!(ledger.use_pass(&id, &by("a")).unwrap().is_some(), "a repeated request is ours");
    }

    #[test]
    fn events_come_back_oldest_first_and_strange_ones_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(Arc::new(LocalStorage::new(directory.path()).unwrap()));
        let id = ReleaseId::parse("20261120T213000Z-1.4.0-3f9c2ab1").unwrap();
        assert!(ledger.events(&id).unwrap().is_empty());
        let late = ledger.record_event(&id, &reconciled("2026-11-20T22:00:00Z", Outcome::Matched)).unwrap();
        let early = ledger.record_event(&id, &reconciled("2026-11-20T21:40:00.5Z", Outcome::Unchanged)).unwrap();
        assert!(early.name.starts_with("reconciled-20261120T214000.500000Z-"), "{}", early.name);
        assert_eq!(ledger.events(&id).unwrap(), [early, late.clone()]);

        let key = format!("{}/events/{}.json", Ledger::folder(&id), late.name);
        let good = String::from_utf8(ledger.storage.get(&key, ReadFrom::Anywhere).unwrap().unwrap()).unwrap();
        for bad in
            [good.replace("\"outcome\"", "\"mood\": 1, \"outcome\""), good.replace("matched", "perhaps"), "{".into()]
        {
            let _ = ledger.storage.put(&key, &bad.clone().into(), PutMode::Overwrite, Class::Record).unwrap();
            assert_eq!(ledger.events(&id).unwrap_err().code(), ErrorCode::ManifestInvalid, "{bad}");
        }
    }
}
