//! The store: whether it answers, writes once where it must, is what the configuration asks for, and keeps what is locked.

use super::{Check, check};
use crate::error::{Error, ErrorCode, Result};
use crate::gate::place::Place;
use crate::model::finding::{Finding, FindingCode};
use crate::storage::{Class, LockProbe, Look, PutMode, PutOutcome, ReadFrom, SharedStorage};
use bytes::Bytes;
use std::time::Duration;

/// What the names of locked probes begin with.
const LOCK_PROBE: &str = "doctor-lock-";
/// For how long a probe is locked: long enough that the two clocks need not agree, which servers insist on within 15 minutes.
const LOCK_PROBE_FOR: Duration = Duration::from_secs(20 * 60);

/// Looks at the store.
pub(super) fn checks(place: &Place) -> Vec<Check> {
    let storage = place.ledger_storage();
    let mut checks = vec![check("store", place.location(), probe(&storage).map(|()| None))];
    match place.preflight(Look::Everything) {
        Ok(findings) => {
            checks.push(Check::new("store settings", "Object Lock and region, as far as asked for", findings))
        }
        Err(error) => checks.push(check("store settings", "as the store tells them", Err(error))),
    }
    // Where the bucket has no locks there is nothing to try.
    let has_locks = checks.iter().all(|check| !check.refuses());
    if let (Some(terms), true) = (storage.lock_terms(), has_locks) {
        let detail = format!("locked for {}", humantime::format_duration(terms.retain));
        checks.push(check("immutability", detail, probe_lock(&storage)));
    }
    checks
}

/// Writes, reads and deletes an object, and makes sure that create-only means what it says: the lease rests on it.
pub(in crate::gate) fn probe(storage: &SharedStorage) -> Result<()> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|error| Error::new(ErrorCode::Internal, "no random numbers").caused_by(error))?;
    let key = format!("doctor-{}", hex::encode(random));
    let first = storage.put(&key, &Bytes::from_static(b"one"), PutMode::CreateOnly, Class::Transient)?;
    let second = storage.put(&key, &Bytes::from_static(b"two"), PutMode::CreateOnly, Class::Transient);
    let read = storage.get(&key, ReadFrom::Medium);
    storage.delete(&key)?;
    let unreliable = |what: &str| Err(Error::new(ErrorCode::StoreUnavailable, format!("the store {what}")));
    if first != PutOutcome::Written || second? != PutOutcome::Exists {
        return unreliable("does not honour create-only writes: no lease is safe on it");
    }
    if read?.as_deref() != Some(b"one") {
        return unreliable("gave back something else than was written");
    }
    Ok(())
}

/// Tries to delete what is locked; says what speaks against the store if that worked or could be made to.
pub(in crate::gate) fn probe_lock(storage: &SharedStorage) -> Result<Option<Finding>> {
    Ok(match storage.probe_lock(LOCK_PROBE, LOCK_PROBE_FOR)? {
        Some(LockProbe { held: false, .. }) => {
            let message = "a locked object could be deleted: the store does not keep what is locked";
            let hint = "use a server that enforces Object Lock, or take `object_lock` out of [store]";
            Some(Finding::refusal(FindingCode::StoreNotImmutable, message).hint(hint))
        }
        Some(LockProbe { lifted: true, .. }) => {
            let message = "these credentials may lift governance locks: whoever has them can delete every snapshot";
            let hint = "take s3:BypassGovernanceRetention from them, or use the mode \"compliance\"";
            Some(Finding::warning(FindingCode::LockCanBeLifted, message).hint(hint))
        }
        Some(_) | None => None,
    })
}
