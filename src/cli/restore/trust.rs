//! Which manifest a restore believes.

use super::super::output;
use super::super::reconcile::stored_manifest;
use super::super::session::Session;
use super::Options;
use crate::error::{Error, ErrorCode, Result};
use crate::gate::rollback::{Given, doubt};
use crate::ledger::Ledger;
use crate::model::finding::Level;
use crate::model::manifest::Manifest;
use crate::signing::AllowedSigners;

/// Reads the manifest that is asked for. Where allowed signers are named, one of them must have signed it; where none are,
/// that is said.
///
/// # Errors
/// `manifest-invalid`: it is missing or none, is not the one of the ledger, nobody signed it, or somebody else did; `allowed-signers`; the store's own.
pub(super) fn manifest(session: &Session, options: &Options, ledger: &Ledger) -> Result<Manifest> {
    let given = match &options.manifest {
        Some(path) => Given::of_file(path, ledger, (&session.application()?, &session.environment()?))?,
        None => {
            let manifest = stored_manifest(ledger, options.id.as_deref(), Ledger::last_passed)?;
            Given::of_ledger(manifest.id.as_str(), ledger)?
        }
    };
    let file = session.allowed_signers_file(options.allowed_signers.as_deref());
    let signers = file.as_deref().map(AllowedSigners::read).transpose()?;
    match doubt(&given, signers.as_ref()) {
        Some(finding) if finding.level == Level::Refusal => {
            let error = Error::new(ErrorCode::ManifestInvalid, finding.message);
            Err(finding.hint.into_iter().fold(error, Error::hint).hint(
                "a snapshot that nobody vouches for can still be looked at: `holdpoint restore --repository STORE/…/repository \
                 --snapshot ID --target DIR`",
            ))
        }
        Some(finding) if !session.global.quiet => {
            output::note(&format!("warning: {}", finding.message));
            Ok(given.manifest)
        }
        _ => Ok(given.manifest),
    }
}
