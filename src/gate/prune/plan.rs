//! The decision and what the engine makes of it.

use super::Request;
use super::choice::{Choice, choose};
use super::facts::Facts;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::model::progress::Progress;
use crate::repository::prune::{self, Left, Plan, Why};
use crate::repository::{FileType, Id, Repository, Workers};
use crate::storage::many::ask_all;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Decides, and has the engine find out what goes. A release of which something is locked stays as a whole, and so does what
/// it leans on: it is decided anew with each that is found.
///
/// # Errors
/// As [`choose`] and [`prune::plan`]; the store's own.
pub(super) fn plan(
    request: &Request<'_>,
    repository: &Repository,
    facts: &mut Facts,
    shown: Option<&Choice>,
    cancel: &Cancel,
) -> Result<(Choice, Plan)> {
    let progress = Progress::new();
    let workers = Workers { threads: repository.readers(), progress: &progress, cancel };
    let now = Timestamp::now();
    loop {
        let choice = choose(request, facts, shown, now)?;
        let going = choice.let_go().map(|release| release.id.clone()).collect();
        if facts.lock(&going, locked(repository, &choice, cancel)?) {
            continue;
        }
        let plan = prune::plan(repository, &choice.remove(), &request.options, &workers)?;
        let is_locked = |left: &&Left| left.kind == FileType::Snapshot;
        let locked = plan.left().iter().filter(is_locked).map(|left| (left.id, why(&left.why))).collect();
        // Every round keeps something more, so that the last one comes.
        if !facts.lock(&going, locked) {
            return Ok((choice, plan));
        }
    }
}

/// Asks a store that locks until when what is to go is locked.
fn locked(repository: &Repository, choice: &Choice, cancel: &Cancel) -> Result<BTreeMap<Id, String>> {
    let storage = repository.storage();
    if storage.lock_terms().is_none() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<Id> = choice.remove().into_iter().collect();
    let until =
        ask_all(storage.parallelism().reads, &ids, cancel, |id| storage.locked_until(&FileType::Snapshot.key(id)))?;
    let now = Timestamp::now();
    let locked = ids.into_iter().zip(until).filter_map(|(id, until)| Some((id, until.filter(|until| *until > now)?)));
    Ok(locked.map(|(id, until)| (id, why(&Why::Locked(until)))).collect())
}

fn why(why: &Why) -> String {
    match why {
        Why::Locked(until) => format!("the store keeps it from being deleted until {until:.0}"),
        Why::Cold => "it lies in a storage class that cannot be read at once".to_owned(),
        Why::Refused(why) => format!("the store refuses to delete it: {why}"),
    }
}
