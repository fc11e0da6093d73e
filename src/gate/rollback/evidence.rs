//! May the manifest be believed?

use super::super::reconcile::check_place;
use super::super::record::signature_path;
use super::Request;
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::{Ledger, Stored, manifest as document};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{Manifest, Purpose, State};
use crate::signing::{AllowedSigners, Doubt, verify};
use jiff::Timestamp;
use std::io::ErrorKind;
use std::path::Path;

/// A manifest as it was given, with what vouches for it.
#[derive(Debug, Clone)]
pub struct Given {
    /// What it says.
    pub manifest: Manifest,
    /// Its bytes, over which it is signed.
    pub bytes: Vec<u8>,
    /// Its signature, if it has one.
    pub signature: Option<Vec<u8>>,
}

impl Given {
    /// Reads a manifest from a file, and its signature from beside it or from the ledger. It must be for this application
    /// and environment, and what the ledger has of this release must be the same.
    ///
    /// # Errors
    /// `manifest-invalid`: it is not there, is no manifest, or is not the one in the ledger; the store's own.
    pub fn of_file(path: &Path, ledger: &Ledger, (application, environment): (&str, &str)) -> Result<Self> {
        let cannot = |path: &Path, error| {
            Error::new(ErrorCode::ManifestInvalid, format!("cannot read {}", path.display()))
                .caused_by(error)
                .hint("`holdpoint gate` writes it; take the manifest of the ledger by --id ID")
        };
        let bytes = std::fs::read(path).map_err(|error| cannot(path, error))?;
        let manifest = document::parse(&bytes, &path.display().to_string())?;
        // Before the ledger is asked, which is another one for another place.
        check_place(&manifest, application, environment)?;
        match ledger.get(manifest.id.as_str()) {
            Ok(stored) if stored.bytes == bytes => {}
            Ok(_) => {
                let message = format!("{} is not the manifest {} of the ledger", path.display(), manifest.id);
                return Err(Error::new(ErrorCode::ManifestInvalid, message)
                    .hint("one of them was altered: find out which, and take the one of the ledger by --id ID"));
            }
            Err(error) if error.code() == ErrorCode::NotFound => {
                let message = format!("the ledger has no release {}", manifest.id);
                return Err(Error::new(ErrorCode::ManifestInvalid, message)
                    .caused_by(error)
                    .hint("name the store of the gate by --store"));
            }
            Err(error) => return Err(error),
        }
        let beside = signature_path(path);
        let signature = match std::fs::read(&beside) {
            Ok(signature) => Some(signature),
            Err(error) if error.kind() == ErrorKind::NotFound => ledger.signature(&manifest.id)?,
            Err(error) => return Err(cannot(&beside, error)),
        };
        Ok(Self { manifest, bytes, signature })
    }

    /// Reads the manifest of a release from the ledger.
    ///
    /// # Errors
    /// As [`Ledger::get`].
    pub fn of_ledger(id: &str, ledger: &Ledger) -> Result<Self> {
        let Stored { manifest, bytes, .. } = ledger.get(id)?;
        let signature = ledger.signature(&manifest.id)?;
        Ok(Self { manifest, bytes, signature })
    }
}

/// Checks that the manifest is one that can be rolled back here, and who signed it.
///
/// # Errors
/// `manifest-invalid`: it is for another place, or of a run that did not pass or judged no release.
pub(super) fn check(request: &Request<'_>) -> Result<Vec<Finding>> {
    let manifest = &request.given.manifest;
    check_place(manifest, &request.run.application, &request.run.environment)?;
    let invalid = |what: &str| {
        Err(Error::new(ErrorCode::ManifestInvalid, format!("{} {what}", manifest.id))
            .hint("list the releases with `holdpoint releases`, and take the one that was deployed"))
    };
    if manifest.purpose != Purpose::Gate {
        return invalid("is a snapshot outside of a deploy: it undoes no release");
    }
    if manifest.state != State::Passed {
        return invalid("did not pass the gate: nothing of it can be believed");
    }
    Ok(doubt(request.given, request.signers).into_iter().collect())
}

/// Checks who signed a manifest; returns what there is to say against it, `None` if one of `signers` vouches for it.
pub fn doubt(given: &Given, signers: Option<&AllowedSigners>) -> Option<Finding> {
    let Given { manifest, bytes, signature } = given;
    let id = &manifest.id;
    let Some(signers) = signers else {
        let message = format!("nobody checked who signed the manifest {id}: no allowed signers are named");
        return Some(
            Finding::warning(FindingCode::SignatureUnchecked, message)
                .hint("name their file by --allowed-signers or HOLDPOINT_ALLOWED_SIGNERS"),
        );
    };
    let Some(signature) = signature else {
        return Some(
            Finding::refusal(FindingCode::PassUnsigned, format!("the manifest {id} has no signature"))
                .hint("give the gate a key: HOLDPOINT_SIGNING_KEY, or [signing] key_file"),
        );
    };
    // For when it was made: a key that was rotated since vouches for what was deployed under it. `admit` asks for more.
    let Err(doubt) = verify(bytes, signature, signers, &[manifest.created_at]) else {
        let withdrawn = verify(bytes, signature, signers, &[Timestamp::now()]).err()?;
        return Some(
            Finding::warning(FindingCode::SignerUnknown, format!("the manifest {id}: {withdrawn}"))
                .hint("fine if the key was rotated since; if it leaked, find out who made this manifest"),
        );
    };
    let code = match &doubt {
        Doubt::Invalid(_) => FindingCode::SignatureInvalid,
        Doubt::NotAllowed(_) => FindingCode::SignerUnknown,
    };
    Some(
        Finding::refusal(code, format!("the manifest {id}: {doubt}"))
            .hint("find out who can write to the store; do not restore what it says"),
    )
}
