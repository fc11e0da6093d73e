//! Which release runs: what the probe observes, and what the ledger believes. Both are kept.

use super::Request;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::gate::survey::probe_runner;
use crate::ledger::events::{Event, EventRecord};
use crate::model::manifest::{Instance, Manifest, Purpose, State};
use crate::model::reconciliation::Side;
use crate::model::version::Version;
use crate::policy::reconcile::is_same_commit;
use crate::policy::retention::{Candidate, Reason};
use crate::release::probe::{self, Agreement};
use tokio::runtime::Handle;

/// What was seen to run: versions, each with its commit if the probe tells it. Empty without a probe.
#[derive(Debug, Default)]
pub(super) struct Running(Vec<(Version, Option<String>)>);

impl Running {
    /// Asks the probe, if there is one and something is to run.
    ///
    /// # Errors
    /// `probe-failed`: an instance does not answer: nothing is removed while nobody knows what may have to be brought back;
    /// `config`; a cancellation.
    pub(super) fn observe(request: &Request<'_>, cancel: &Cancel, runtime: &Handle) -> Result<Self> {
        let Some(probe) = request.settings.deployed.as_ref().filter(|_| !request.empties()) else {
            return Ok(Self::default());
        };
        let runner = probe_runner(request.directory.clone());
        let observed = runtime.block_on(probe::observe(probe, request.config.versioning, cancel, &runner))?;
        if let Agreement::Silent(why) | Agreement::Incomplete(why) = observed.agreed() {
            let message = format!("what runs could not be observed, so nothing is removed: {why}");
            return Err(Error::new(ErrorCode::ProbeFailed, message).hint(
                "see that every instance answers; of an environment that is gone for good, say `retired = true`",
            ));
        }
        let seen = |instance: Instance| Some((instance.version?, instance.commit));
        Ok(Self(observed.instances.into_iter().filter_map(seen).collect()))
    }

    /// Says whether something runs that did not when `self` was observed.
    pub(super) fn is_changed_by(&self, later: &Self) -> bool {
        later.0.iter().any(|seen| !self.0.contains(seen))
    }
}

/// Marks the releases that run, as far as anything tells it; `read` are their manifests and events, in the same order.
pub(super) fn bind(candidates: &mut [Candidate], read: &[(Manifest, Vec<EventRecord>)], running: &Running) {
    let mut live: Vec<usize> = Vec::new();
    let mut versions: Vec<(Version, Option<String>)> = Vec::new();
    versions.extend(running.0.iter().cloned());
    let is_gate = |manifest: &Manifest| manifest.purpose == Purpose::Gate && manifest.state == State::Passed;
    // One that is marked as let go hides none that is not.
    let both = |places: &dyn Fn(&usize) -> bool| {
        let all = || (0..read.len()).filter(places);
        let is_marked = |place: &usize| candidates.get(*place).is_none_or(|candidate| candidate.pruned);
        [all().next(), all().find(|place| !is_marked(place))].into_iter().flatten().collect::<Vec<_>>()
    };
    let newest = |is_it: &dyn Fn(&Event) -> bool| {
        both(&|place| {
            let tells = |(manifest, events): &(Manifest, Vec<EventRecord>)| {
                is_gate(manifest) && events.iter().any(|record| is_it(&record.event))
            };
            read.get(*place).is_some_and(tells)
        })
    };
    // What was used last, what was seen last, and what was undone last: each may tell what runs.
    live.extend(newest(&|event| matches!(event, Event::Admitted { .. })));
    live.extend(newest(&|event| event.matched().is_some()));
    live.extend(newest(&|event| matches!(event, Event::RolledBack { .. })));
    for (manifest, events) in live.iter().filter_map(|place| read.get(*place)) {
        let is_undone = |record: &EventRecord| {
            matches!(record.event, Event::RolledBack { .. }) || matches!(record.event.matched(), Some((Side::From, _)))
        };
        if events.iter().any(is_undone) {
            let from = &manifest.release.from;
            versions.extend(from.version.clone().map(|version| (version, from.commit.clone())));
        }
    }
    // What ran when the newest gate looked.
    let newest_gate = both(&|place| read.get(*place).is_some_and(|(manifest, _)| is_gate(manifest)));
    let before = newest_gate.iter().filter_map(|place| read.get(*place)).map(|(manifest, _)| &manifest.release.from);
    versions.extend(before.filter_map(|from| Some((from.version.clone()?, from.commit.clone()))));
    for (version, commit) in &versions {
        let runs = |manifest: &Manifest| {
            let to = &manifest.release.to;
            let same_commit = commit.as_deref().is_none_or(|commit| is_same_commit(commit, &to.commit));
            is_gate(manifest) && to.version.is_same_release(version) && same_commit
        };
        let is_place = |place: &usize| read.get(*place).is_some_and(|(manifest, _)| runs(manifest));
        // The same version may have passed several times: the newest of them, and the newest that was deployed.
        live.extend(both(&is_place));
        let was_deployed = |place: &usize| candidates.get(*place).is_some_and(|candidate| candidate.deployed);
        live.extend(both(&|place| is_place(place) && was_deployed(place)));
    }
    for place in live {
        if let Some(candidate) = candidates.get_mut(place)
            && !candidate.bound.contains(&Reason::Live)
        {
            candidate.bound.push(Reason::Live);
        }
    }
}
