//! The copies of a release: where else it can be had when the store is gone.

use super::units::{bytes, counted, time};
use crate::model::manifest::{CopyRecord, CopyState, Manifest};

/// One way back that does not need the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elsewhere {
    /// When it is wanted.
    pub(super) when: String,
    /// What is run then.
    pub(super) command: String,
}

/// Returns a command for every copy that holds the release.
pub(super) fn elsewhere(manifest: &Manifest) -> Vec<Elsewhere> {
    let copies = manifest.store.copies.iter().filter(|copy| copy.state == CopyState::Verified);
    let line = |copy: &CopyRecord| {
        let words = [
            "holdpoint",
            "restore",
            "SOURCE",
            "--application",
            &manifest.application,
            "--environment",
            &manifest.environment.name,
            "--store",
            &copy.location,
            "--id",
            manifest.id.as_str(),
            "--force",
        ];
        // A NUL is in none of them: no argument of a program can hold one.
        Elsewhere {
            when: format!("if {} is gone", manifest.store.location),
            command: shlex::try_join(words).unwrap_or_default(),
        }
    };
    copies.map(line).collect()
}

/// Describes a copy in words.
pub(super) fn describe(copy: &CopyRecord) -> String {
    let state = match (copy.state, copy.verified_at) {
        (CopyState::Verified, at) => {
            let at = at.map(|at| format!(" at {}", time(at))).unwrap_or_default();
            format!("verified{at}, {} new ({})", counted(copy.objects, "object"), bytes(copy.bytes))
        }
        (CopyState::Failed, _) => format!("failed: {}", copy.error.as_deref().unwrap_or("no reason was recorded")),
        (CopyState::NotCopied, _) => "not copied: the run ended before".to_owned(),
    };
    format!("{}: {state}", copy.location)
}

/// Says in whole sentences what the copies are worth.
pub(super) fn sentences(manifest: &Manifest) -> Vec<String> {
    let of = |state: CopyState| manifest.store.copies.iter().filter(move |copy| copy.state == state);
    let list = |copies: Vec<&CopyRecord>| {
        copies.iter().map(|copy| format!("{} ({})", copy.name, copy.location)).collect::<Vec<_>>().join(", ")
    };
    let (whole, failed): (Vec<_>, Vec<_>) = (of(CopyState::Verified).collect(), of(CopyState::Failed).collect());
    let mut sentences = Vec::new();
    if !whole.is_empty() {
        sentences.push(format!("Everything is in another store, too, and was read back there: {}.", list(whole)));
    }
    if !failed.is_empty() {
        sentences.push(format!("Not in the copy that should have it: {}.", list(failed)));
    }
    sentences
}
