//! The texts that persons sign: to approve of a release, or to answer for an override.
//!
//! They are made again from what is known by whoever checks a signature, byte for byte, and never read. Each names what it
//! is, so that none can pass for the other; neither has a field that only the other needs.

use super::glass::Words;
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::Stored;
use crate::model::finding::FindingCode;
use crate::model::version::Version;
use serde::Serialize;

/// What is signed to approve of a release.
#[derive(Debug, Serialize)]
struct Approval<'a> {
    document: &'static str,
    application: &'a str,
    environment: &'a str,
    release: &'a str,
    version: &'a str,
    commit: &'a str,
    manifest: &'a str,
}

/// What is signed to answer for an override.
#[derive(Debug, Serialize)]
struct Override<'a> {
    document: &'static str,
    application: &'a str,
    environment: &'a str,
    version: &'a str,
    commit: &'a str,
    approved_by: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'a str>,
    codes: Vec<&'static str>,
}

/// What a release is into which environment, before it has a record.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    /// The application.
    pub application: &'a str,
    /// The environment.
    pub environment: &'a str,
    /// The version.
    pub version: &'a Version,
    /// The commit.
    pub commit: &'a str,
}

/// Returns the text whose signature in the namespace `holdpoint@approval` approves of a release: of these very bytes of its
/// manifest, by their digest.
///
/// # Errors
/// `internal`: it cannot be written as JSON.
pub fn of_release(stored: &Stored) -> Result<String> {
    let manifest = &stored.manifest;
    to_text(&Approval {
        document: "approval",
        application: &manifest.application,
        environment: &manifest.environment.name,
        release: manifest.id.as_str(),
        version: manifest.release.to.version.as_str(),
        commit: &manifest.release.to.commit,
        manifest: &stored.digest,
    })
}

/// Returns the text whose signature in the namespace `holdpoint@override` answers for an override of these codes.
///
/// # Errors
/// `internal`: it cannot be written as JSON.
pub fn of_override(release: Release<'_>, words: &Words, codes: &[FindingCode]) -> Result<String> {
    let mut codes: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    to_text(&Override {
        document: "override",
        application: release.application,
        environment: release.environment,
        version: release.version.as_str(),
        commit: release.commit,
        approved_by: &words.approved_by,
        reason: &words.reason,
        ticket: words.ticket.as_deref(),
        codes,
    })
}

fn to_text(document: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string_pretty(document).map_err(|error| {
        Error::new(ErrorCode::Internal, "cannot write what is to be signed as JSON").caused_by(error)
    })?;
    Ok(json + "\n")
}
