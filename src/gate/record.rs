//! Writing the record: first where the caller finds it, then in the ledger.

use super::request::Request;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::ledger::Ledger;
use crate::model::manifest::Manifest;
use crate::storage::temporary;
use std::fs::File;
use std::io::Write;
use std::path::Path;

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

/// Writes the manifest where the caller finds it.
///
/// # Errors
/// The directory cannot be written.
pub fn write_local(request: &Request, manifest: &Manifest) -> Result<()> {
    let json = manifest
        .to_json()
        .map_err(|error| Error::new(ErrorCode::Internal, "cannot write the manifest").caused_by(error))?;
    write_file(&request.manifest_out, &json)
}

/// Writes the manifest to the ledger: as a release if the run held the lease, else as an attempt.
///
/// # Errors
/// The store's own.
pub fn write_ledger(ledger: &Ledger, manifest: &Manifest, held_the_lease: bool) -> Result<()> {
    if held_the_lease { ledger.record(manifest) } else { ledger.record_attempt(manifest) }.map(drop)
}
