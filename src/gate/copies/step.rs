//! What a gate does with the copies: looks at them early, brings them up to date, and records the pass in them.
//!
//! A copy that is required must take the manifest, or the run does not pass. So it gets it before the ledger does, but
//! beside its records, as `copy/pending.json`: a run may still be refused, given up or killed then, and no reader of a copy
//! may take what never was a pass for one. The record itself goes to the copies once the ledger has it.

use super::super::place::Place;
use super::super::request::Request;
use super::super::retention::{self, Kept};
use super::bring::{Bring, Scope};
use super::records::{AUDIT, AUDIT_HEAD};
use super::{CopyStore, join};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::Ledger;
use crate::model::finding::Finding;
use crate::model::manifest::{CopyRecord, CopyState, Manifest, Previous};
use crate::model::progress::Observer;
use crate::model::release_id::ReleaseId;
use crate::repository::copy::CopyReport;
use crate::repository::{Id, Indexed, Repository};
use crate::storage::transfer::put_verified;
use crate::storage::{Class, Look, PutMode, ReadFrom, SharedStorage};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How long a gate waits at most for whoever locks a copy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a required copy has the manifest of the last run that was about to pass: no record, and read by no command.
const PENDING: &str = "copy/pending.json";

/// How often a copy that takes a record is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Describes a copy whose turn has not come.
pub fn not_copied(copy: &CopyStore) -> CopyRecord {
    CopyRecord {
        name: copy.name.clone(),
        location: copy.place.location(),
        repository: copy.place.repository_location(),
        required: copy.required,
        state: CopyState::NotCopied,
        objects: 0,
        bytes: 0,
        verified_at: None,
        error: None,
    }
}

/// Looks whether the required copies are fit, answer and are free or of this repository: a gate that must refuse in the end
/// refuses before it captures anything.
///
/// # Errors
/// A cancellation only.
pub fn look(request: &Request, repository: &Repository, cancel: &Cancel) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for copy in request.copies.iter().filter(|copy| copy.required) {
        let unfit = copy.preflight(Look::AsAsked);
        cancel.check()?;
        if !unfit.is_empty() {
            findings.extend(unfit);
            continue;
        }
        let looked = repository.is_at(&copy.place.repository_storage());
        cancel.check()?;
        findings.extend(looked.err().map(|error| copy.finding(&error)));
    }
    Ok(findings)
}

/// What a run has made before it copies.
pub struct Made {
    /// The newest release before it.
    pub previous: Option<Previous>,
    /// Its snapshots, whose locks it sees to by [`keep`].
    pub snapshots: Vec<Id>,
}

/// Brings a copy up to date: the repository, and the releases before this run. Nothing goes to one that is unfit.
///
/// # Errors
/// A cancellation only: a copy that fails is a finding.
pub fn copy(
    request: &Request,
    indexed: &Indexed,
    made: Made,
    copy: &CopyStore,
    patience: Duration,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Result<(CopyRecord, Vec<Finding>)> {
    // Those that are required were looked at before the capture; the others must not hold it up.
    let unfit = if copy.required { Vec::new() } else { copy.preflight(Look::AsAsked) };
    cancel.check()?;
    if let Some(finding) = unfit.first() {
        let mut record = not_copied(copy);
        mark_failed(std::slice::from_mut(&mut record), &copy.name, finding);
        return Ok((record, unfit));
    }
    let patience = patience.min(PATIENCE);
    let (scope, kept) = (Scope::Chain(made.previous), made.snapshots);
    let bring = Bring { store: &request.place, indexed, scope, read_all: false, kept, patience, observer };
    let result = bring.perform(copy, &copy.cancel);
    cancel.check()?;
    let record = record_of(copy, &result);
    let error = match result {
        Ok(report) if report.problems.is_empty() => None,
        Ok(report) => Some(join(report.problems)),
        Err(error) => Some(error),
    };
    Ok((record, error.map(|error| copy.finding(&error)).into_iter().collect()))
}

/// Locks in a copy what the new snapshots need, for as long as the terms of its own store say.
///
/// # Errors
/// As [`retention::keep`].
pub fn keep(copy: &CopyStore, kept: &Kept<'_>, indexed: &Indexed, cancel: &Cancel) -> Result<()> {
    let repository = indexed.repository().copy_at(copy.place.repository_storage());
    retention::keep_at(&repository, kept, indexed, &copy.place.ledger_storage(), cancel).map(drop)
}

/// Describes what became of a copy.
pub fn record_of(copy: &CopyStore, result: &Result<CopyReport>) -> CopyRecord {
    let record = not_copied(copy);
    match result {
        Ok(report) if report.problems.is_empty() => CopyRecord {
            state: CopyState::Verified,
            objects: report.sent,
            bytes: report.sent_bytes,
            verified_at: Some(Timestamp::now()),
            ..record
        },
        Ok(report) => CopyRecord {
            state: CopyState::Failed,
            objects: report.sent,
            bytes: report.sent_bytes,
            error: report.problems.first().map(Error::chain),
            ..record
        },
        Err(error) => CopyRecord { state: CopyState::Failed, error: Some(error.chain()), ..record },
    }
}

/// Says in the manifest that a copy failed after all.
pub fn mark_failed(copies: &mut [CopyRecord], name: &str, finding: &Finding) {
    for copy in copies.iter_mut().filter(|copy| copy.name == name) {
        copy.state = CopyState::Failed;
        copy.verified_at = None;
        copy.error = Some(finding.message.clone());
    }
}

/// Writes the manifest of a pass to the required copies, before it is one: beside their records.
///
/// # Errors
/// The name of a copy that did not take it and why.
pub fn announce(copies: &[CopyStore], manifest: &Manifest) -> Result<(), (String, Finding)> {
    for copy in copies.iter().filter(|copy| copy.required) {
        write_to(copy, PENDING, manifest, PutMode::Overwrite, Class::Transient)
            .map_err(|error| (copy.name.clone(), copy.finding(&error)))?;
    }
    Ok(())
}

/// Takes what was announced back, as far as the copies answer: where it stays it is no record all the same.
pub fn withdraw(copies: &[CopyStore]) {
    for copy in copies.iter().filter(|copy| copy.required) {
        let _ = copy.place.ledger_storage().delete(PENDING);
    }
}

/// Writes the manifest that the ledger has, and the hint to it, to every copy that was brought up to date, the required ones
/// first; what fails is shown as a warning. Returns the ledgers of the copies that have it.
///
/// The run has its verdict: a copy that does not answer is not waited for once the run is cancelled.
pub fn record_everywhere(
    store: &Place,
    copies: &[CopyStore],
    manifest: &Manifest,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Vec<Ledger> {
    let whole = |copy: &&CopyStore| {
        let record = manifest.store.copies.iter().find(|record| record.name == copy.name);
        record.is_some_and(|record| record.state == CopyState::Verified)
    };
    let mut copies: Vec<_> = copies.iter().filter(whole).cloned().collect();
    copies.sort_by_key(|copy| !copy.required);
    let mut waiting: Vec<_> = copies.iter().map(|copy| copy.name.clone()).collect();
    let warn = |name: &str, why: &str| {
        observer
            .note(&format!("warning: the copy {name} may lack the record of this run: {why}; run `holdpoint copy`"));
    };
    let (sender, receiver) = channel();
    let (store, manifest) = (store.clone(), manifest.clone());
    let work = move || {
        for copy in copies {
            let written = write_signature(&store, &copy, &manifest.id)
                .and_then(|()| write_to(&copy, &key(&manifest), &manifest, PutMode::CreateOnly, Class::Record))
                .and_then(|()| write_head(&store, &copy))
                .and_then(|()| write_lines(&store, &copy));
            if written.is_ok() {
                withdraw(std::slice::from_ref(&copy));
            }
            // Nobody listens any more if the run was cancelled.
            let _ = sender.send((copy.name, written.map(|()| Ledger::new(copy.place.ledger_storage()))));
        }
    };
    let mut ledgers = Vec::new();
    if std::thread::Builder::new().name("copies".to_owned()).spawn(work).is_ok() {
        while !waiting.is_empty() {
            match receiver.recv_timeout(POLL) {
                Ok((name, written)) => {
                    waiting.retain(|other| *other != name);
                    match written {
                        Ok(ledger) => ledgers.push(ledger),
                        Err(error) => warn(&name, &error.chain()),
                    }
                }
                Err(RecvTimeoutError::Timeout) if !cancel.is_cancelled() => {}
                Err(_) => break,
            }
        }
    }
    waiting.iter().for_each(|name| warn(name, "it did not answer in time"));
    ledgers
}

fn key(manifest: &Manifest) -> String {
    format!("{}/manifest.json", Ledger::folder(&manifest.id))
}

/// Writes the signature of a manifest, if it has one, before the manifest: none must be there without.
fn write_signature(store: &Place, copy: &CopyStore, id: &ReleaseId) -> Result<()> {
    let Some(signature) = Ledger::new(store.ledger_storage()).signature(id)? else { return Ok(()) };
    Ledger::new(copy.place.ledger_storage()).record_signature(id, &String::from_utf8_lossy(&signature))
}

fn write_to(copy: &CopyStore, key: &str, manifest: &Manifest, mode: PutMode, class: Class) -> Result<()> {
    let json = manifest
        .to_json()
        .map_err(|error| Error::new(ErrorCode::Internal, "cannot write the manifest").caused_by(error))?;
    let digest = Id::of(&json);
    let to = copy.place.ledger_storage();
    put_verified(&*to, key, json.into(), digest.as_bytes(), mode, class)
}

fn write_head(store: &Place, copy: &CopyStore) -> Result<()> {
    let (from, to) = (store.ledger_storage(), copy.place.ledger_storage());
    match from.get("head.json", ReadFrom::Anywhere)? {
        Some(head) => to.put("head.json", &head.into(), PutMode::Overwrite, Class::Transient).map(drop),
        None => Ok(()),
    }
}

/// Brings the newest lines of the audit, that of this run among them, and then the head that names the last.
fn write_lines(store: &Place, copy: &CopyStore) -> Result<()> {
    let (from, to) = (store.ledger_storage(), copy.place.ledger_storage());
    let head = from.get(AUDIT_HEAD, ReadFrom::Anywhere)?;
    let Some(folder) = Ledger::new(SharedStorage::clone(&from)).audit_end()?.folder() else { return Ok(()) };
    let folder = format!("{AUDIT}/{folder:06}");
    let there: BTreeSet<_> = to.list_names(&folder)?.into_iter().collect();
    for name in from.list_names(&folder)?.iter().filter(|name| !there.contains(*name)) {
        let key = format!("{folder}/{name}");
        let Some(line) = from.get(&key, ReadFrom::Anywhere)? else { continue };
        let digest = Id::of(&line);
        put_verified(&*to, &key, line.into(), digest.as_bytes(), PutMode::CreateOnly, Class::Record)?;
    }
    match head {
        Some(head) => to.put(AUDIT_HEAD, &head.into(), PutMode::Overwrite, Class::Transient).map(drop),
        None => Ok(()),
    }
}
