//! Writing the record: first where the caller finds it, then in the ledger.

use super::request::Request;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::ledger::Ledger;
use crate::model::manifest::Manifest;
use crate::signing::SigningKey;
use crate::storage::temporary;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// How the names of files that are being written begin.
const PREFIX: &str = ".holdpoint-writing-";

/// Writes a file whole or not at all.
///
/// # Errors
/// The directory cannot be written.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(parent)?;
        temporary::remove_abandoned(parent, PREFIX);
        let mut file = temporary::create(parent, PREFIX, 0o644)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(parent)?.sync_all()
    };
    write().io_context(|| format!("cannot write {}", path.display()))
}

/// Returns where the signature of a manifest is, which lies beside it.
pub fn signature_path(manifest: &Path) -> PathBuf {
    let mut name = manifest.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// Writes the manifest where the caller finds it, and its signature beside it; an older signature, which would be over
/// something else, goes first.
///
/// # Errors
/// The directory cannot be written.
pub fn write_local(request: &Request, manifest: &Manifest) -> Result<()> {
    let json = to_json(manifest)?;
    let beside = signature_path(&request.manifest_out);
    match std::fs::remove_file(&beside) {
        // Where there is no such directory, writing says so.
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(error).io_context(|| format!("cannot remove the old signature {}", beside.display()));
        }
        _ => {}
    }
    write_file(&request.manifest_out, &json)?;
    match &request.signer {
        Some(signer) => write_file(&beside, signer.sign(&json)?.as_bytes()),
        None => Ok(()),
    }
}

/// Writes the manifest to the ledger as a release, with its signature, if the run still `holds` the lease right before;
/// says whether it did.
///
/// # Errors
/// The store's own.
pub fn write_release(
    ledger: &Ledger,
    manifest: &Manifest,
    signer: Option<&SigningKey>,
    holds: impl FnOnce() -> bool,
) -> Result<bool> {
    if let Some(signer) = signer {
        ledger.record_signature(&manifest.id, &signer.sign(&to_json(manifest)?)?)?;
    }
    // Writing the signature may have taken long; one without a manifest means nothing.
    Ok(holds() && ledger.record(manifest).map(|_| true)?)
}

fn to_json(manifest: &Manifest) -> Result<Vec<u8>> {
    manifest.to_json().map_err(|error| Error::new(ErrorCode::Internal, "cannot write the manifest").caused_by(error))
}
