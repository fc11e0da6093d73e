//! Finding the pass: the newest record of the gate for exactly this commit and version, or why there is none.

use super::Request;
use crate::error::{Error, ExitCode, Result};
use crate::ledger::{Ledger, Listed, Stored};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{Manifest, Purpose};
use crate::model::release_id::ReleaseId;
use crate::model::version::Version;
use crate::policy::admission::refused;

/// How many of the newest releases are looked at: at first, and if the pass is not among them.
const LOOKS: [usize; 2] = [8, 100];

/// What the ledger says of a deployment.
pub(super) struct Found {
    /// The record that decides.
    pub(super) pass: Stored,
    /// The releases around it, as many as were looked at.
    pub(super) others: Vec<Manifest>,
}

/// Finds the pass, or says why there is none.
pub(super) fn find(request: &Request<'_>, ledger: &Ledger) -> Result<Result<Found, Vec<Finding>>> {
    let mut listed = Vec::new();
    for limit in LOOKS {
        listed = ledger.list(limit)?;
        let short = listed.len() < limit;
        if let Some(at) = listed.iter().position(|entry| is_it(request, entry)) {
            let found = take(listed, at);
            return match found {
                Ok(found) => Ok(match ignored_refusal(request, ledger, &found.pass)? {
                    Some(refusal) => Err(vec![refusal]),
                    None => Ok(found),
                }),
                Err(findings) => Ok(Err(findings)),
            };
        }
        if short {
            break;
        }
    }
    Ok(Err(vec![missing(request, ledger, &listed)?]))
}

fn is_it(request: &Request<'_>, entry: &Listed) -> bool {
    let manifest = entry.record.as_ref().ok().map(|stored| &stored.manifest);
    manifest.is_some_and(|manifest| {
        manifest.purpose == Purpose::Gate
            && manifest.release.to.commit == request.commit
            && is_version(request, manifest)
    })
}

fn is_version(request: &Request<'_>, manifest: &Manifest) -> bool {
    manifest.release.to.version.is_same_release(request.version)
}

/// Takes the record at a place, unless one that is newer cannot be read: that one may have refused the release.
fn take(listed: Vec<Listed>, at: usize) -> Result<Found, Vec<Finding>> {
    let (mut pass, mut others) = (None, Vec::new());
    for (place, entry) in listed.into_iter().enumerate() {
        match entry.record {
            Ok(stored) if place == at => pass = Some(stored),
            Ok(stored) => others.push(stored.manifest),
            Err(error) if place < at => {
                return Err(vec![unreadable(&entry.id, &error)]);
            }
            Err(_) => {}
        }
    }
    match pass {
        Some(pass) => Ok(Found { pass, others }),
        None => Err(vec![Finding::refusal(FindingCode::PassMissing, "the pass cannot be read")]),
    }
}

/// Returns the part of an id that tells when its run began.
fn second(id: &ReleaseId) -> Option<&str> {
    id.as_str().split('-').next()
}

/// Says that a record which may have refused the release cannot be read.
fn unreadable(id: &ReleaseId, error: &Error) -> Finding {
    let why = error.chain();
    let message = format!("the record of {id} cannot be read, and may say something else of this deployment: {why}");
    Finding::refusal(FindingCode::LedgerDamaged, message)
        .hint("run the gate again; `holdpoint releases` shows which records can be read")
}

/// Finds a later run of the gate for the same deployment that was refused before it held the lease, and is no release for
/// that: the pipeline did not heed it. That another run was at work refuses nothing about the release.
fn ignored_refusal(request: &Request<'_>, ledger: &Ledger, pass: &Stored) -> Result<Option<Finding>> {
    let later = |manifest: &Manifest| {
        manifest.created_at > pass.manifest.created_at
            && manifest.purpose == Purpose::Gate
            && manifest.release.to.commit == request.commit
            && is_version(request, manifest)
            && manifest.decision.exit_code != ExitCode::Busy.number()
    };
    for attempt in ledger.newest_attempts(LOOKS[0])? {
        match attempt.record {
            Ok(stored) if later(&stored.manifest) => return Ok(Some(refused(&stored.manifest))),
            Ok(_) => {}
            // Of two runs in one second neither is known to be the older one.
            Err(error) if second(&attempt.id) >= second(&pass.manifest.id) => {
                return Ok(Some(unreadable(&attempt.id, &error)));
            }
            Err(_) => {}
        }
    }
    Ok(None)
}

/// Says which way round the gate this was.
fn missing(request: &Request<'_>, ledger: &Ledger, listed: &[Listed]) -> Result<Finding> {
    let Request { version, commit, environment, .. } = request;
    let gated = || listed.iter().filter_map(|entry| entry.record.as_ref().ok()).map(|stored| &stored.manifest);
    let other = gated().filter(|manifest| manifest.purpose == Purpose::Gate);
    let same_commit = other.clone().find(|manifest| manifest.release.to.commit == *commit);
    let same_version = other.clone().find(|manifest| is_version(request, manifest));
    if let Some(manifest) = same_version {
        let theirs = &manifest.release.to.commit;
        let message = format!(
            "the gate judged {version} at the commit {theirs} ({}), and {commit} is to be deployed: the commit was changed \
             after the gate",
            manifest.id
        );
        return Ok(
            Finding::refusal(FindingCode::PassCommit, message).hint("run the gate for the commit that is deployed")
        );
    }
    if let Some(manifest) = same_commit {
        let theirs: &Version = &manifest.release.to.version;
        let message =
            format!("the gate judged this commit as {theirs} ({}), and {version} is to be deployed", manifest.id);
        return Ok(Finding::refusal(FindingCode::PassVersion, message)
            .hint("pass the gate's version on to the deploy job, or run the gate for this one"));
    }
    // A run that never came to hold the lease is no release, but it is a refusal that somebody did not heed.
    for attempt in ledger.newest_attempts(LOOKS[0])? {
        // What cannot be read explains nothing; there is no pass all the same.
        let Ok(attempt) = attempt.record else { continue };
        let to = &attempt.manifest.release.to;
        if to.commit == *commit && is_version(request, &attempt.manifest) {
            return Ok(refused(&attempt.manifest));
        }
    }
    for (name, elsewhere) in request.place.other_environments()? {
        let listed = Ledger::new(elsewhere).list(LOOKS[0])?;
        if let Some(entry) = listed.iter().find(|entry| is_it(request, entry)) {
            let message = format!(
                "the gate judged {version} for {name} ({}), not for {environment}: a pass is for one environment only",
                entry.id
            );
            return Ok(Finding::refusal(FindingCode::PassEnvironment, message)
                .hint(format!("run the gate for {environment}: its data is other data")));
        }
    }
    let message = format!(
        "the gate did not judge {version} (commit {commit}) in {environment}: its step was skipped or deleted, or keeps \
         its records in another store than {}",
        request.place.location()
    );
    Ok(Finding::refusal(FindingCode::PassMissing, message)
        .hint(format!("run: holdpoint gate --environment {environment} --release {version} --commit {commit}")))
}
