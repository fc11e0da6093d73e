//! The proof that an older snapshot is whole in the store, made by the run that lets it stand in.

use super::super::bases::{self, Leaned};
use super::super::request::Request;
use super::Candidate;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::leaning::Base;
use crate::model::manifest::{Verification, VerifyMode};
use crate::repository::Indexed;
use crate::repository::id::IdMap;
use crate::storage::many::ask_all;
use jiff::Timestamp;

/// A snapshot that is whole in the store.
#[derive(Debug)]
pub struct Proved {
    /// What this run has seen of it.
    pub verification: Verification,
    /// It, and what it leans on.
    pub leaned: Vec<Leaned>,
}

/// Makes sure of each that its snapshot file is the one that its release wrote for this source, that its trees can be read, and
/// that every pack they refer to is among `sizes` with the right size; with `verify = "all"` every byte is read. The inner
/// result says of one snapshot that it is missing or damaged.
///
/// # Errors
/// The store's own; a cancellation.
pub fn prove_all(
    request: &Request,
    candidates: &[(&str, &Candidate)],
    indexed: &Indexed,
    sizes: &IdMap<u64>,
    cancel: &Cancel,
) -> Result<Vec<Result<Proved>>> {
    let width = indexed.repository().storage().parallelism().reads;
    ask_all(width, candidates, cancel, |(name, candidate)| {
        match prove(request, name, candidate, indexed, sizes, cancel) {
            Err(error) if !matches!(error.code(), ErrorCode::NotFound | ErrorCode::Damaged) => Err(error),
            result => Ok(result),
        }
    })
}

fn prove(
    request: &Request,
    source: &str,
    candidate: &Candidate,
    indexed: &Indexed,
    sizes: &IdMap<u64>,
    cancel: &Cancel,
) -> Result<Proved> {
    let mode = match request.config.gate.verify {
        VerifyMode::All => VerifyMode::All,
        // Whatever is not read back of what a run captures: what it did not capture it must at least have seen.
        VerifyMode::New | VerifyMode::None => VerifyMode::New,
    };
    let recorded = candidate.record.snapshot.as_ref();
    let own = Base {
        source: source.to_owned(),
        release: candidate.release.clone(),
        snapshot: recorded.map(|snapshot| snapshot.id.clone()).unwrap_or_default(),
    };
    let place = (request.application.as_str(), request.environment.as_str());
    let seen = bases::see(&own, place, indexed, sizes, mode, cancel)?;
    // Of those that one release took of a source, the one that its record means.
    if seen.file.time != candidate.captured_at {
        return Err(bases::another(&own));
    }
    let tree = seen.verified.tree().to_string();
    if recorded.is_none_or(|recorded| recorded.tree != tree) {
        let message = format!("the snapshot {} of {source} holds another tree than its release saw", own.snapshot);
        return Err(Error::new(ErrorCode::Damaged, message).hint("find out who can write to the store"));
    }
    let (mut bytes_read, mut blobs) = (seen.verified.bytes_read(), seen.verified.blobs());
    let mut leaned = vec![seen];
    if let Some(base) = Base::of(&candidate.record.content) {
        let base = bases::see(&base, place, indexed, sizes, mode, cancel)?;
        bytes_read += base.verified.bytes_read();
        blobs += base.verified.blobs();
        leaned.push(base);
    }
    let digest = format!("sha256:{tree}");
    let verification = Verification { mode, bytes_read, blobs, digest, finished_at: Timestamp::now() };
    Ok(Proved { verification, leaned })
}
