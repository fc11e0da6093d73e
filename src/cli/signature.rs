//! What people are told of a signature.

use super::session::Session;
use crate::error::Result;
use crate::ledger::{Ledger, Stored};
use crate::report::html::UNSIGNED;
use crate::signing::{AllowedSigners, fingerprint, verify};

/// Of a signature that this run made itself.
pub fn by_key(fingerprint: &str) -> String {
    format!("signed by the key {fingerprint}")
}

/// Checks the signature of a release, as far as the allowed signers are known here.
///
/// # Errors
/// The store's own; `allowed-signers` if those that are named cannot be read.
pub fn of_release(session: &Session, ledger: &Ledger, stored: &Stored) -> Result<String> {
    let Some(signature) = ledger.signature(&stored.manifest.id)? else { return Ok(UNSIGNED.to_owned()) };
    let Some(file) = session.allowed_signers_file(None) else {
        return Ok(match fingerprint(&signature) {
            Some(key) => format!("{}; not checked, because no allowed signers are named here", by_key(&key)),
            None => "NOT VALID: it cannot be read".to_owned(),
        });
    };
    let signers = AllowedSigners::read(&file)?;
    Ok(match verify(&stored.bytes, &signature, &signers, &[stored.manifest.created_at]) {
        Ok(signer) => format!("signed by {} ({})", signer.principal, signer.fingerprint),
        Err(doubt) => format!("NOT VALID: {doubt}"),
    })
}
