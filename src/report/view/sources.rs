//! Each source: what became of it, its size, its proof.

use super::super::content;
use super::super::units::{bytes, change, count, short, time};
use super::{Fact, fact};
use crate::model::manifest::{SourceOutcome, SourceRecord, VerifyMode};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub(super) struct SourceView {
    name: String,
    kind: String,
    owner: Option<String>,
    optional: bool,
    tone: &'static str,
    outcome: &'static str,
    size: String,
    change: String,
    items: String,
    added: String,
    proof: String,
    snapshot: Option<String>,
    /// What is known of a database.
    facts: Vec<Fact>,
}

/// Says what became of a source.
pub(super) fn source(source: &SourceRecord) -> SourceView {
    let (tone, outcome) = match source.outcome {
        SourceOutcome::Verified => ("good", "verified"),
        SourceOutcome::StoodIn => ("good", "older snapshot"),
        SourceOutcome::Unverified => ("bad", "unverified"),
        SourceOutcome::Failed => ("bad", "failed"),
        SourceOutcome::NotCaptured => ("bad", "not captured"),
    };
    let change = source.change.as_ref().map(|known| match known.ratio {
        Some(ratio) => format!("{} from {}", change(ratio), bytes(known.bytes_before)),
        None => format!("from {}", bytes(known.bytes_before)),
    });
    // What was captured by another run has nothing to compare in this one.
    let older =
        source.stand_in.as_ref().map(|older| format!("captured at {} by {}", time(older.captured_at), older.release));
    let proof = source.verification.as_ref().map(|proof| match proof.mode {
        VerifyMode::None => "not read back".to_owned(),
        VerifyMode::New if source.stand_in.is_some() => format!("{} read, all packs seen", bytes(proof.bytes_read)),
        VerifyMode::New => format!("{} read back", bytes(proof.bytes_read)),
        VerifyMode::All => format!("{} read back, all of it", bytes(proof.bytes_read)),
    });
    SourceView {
        name: source.name.clone(),
        kind: source.kind.clone(),
        owner: source.owner.clone(),
        optional: !source.required,
        tone,
        outcome,
        size: bytes(source.bytes),
        change: change.or(older).unwrap_or_else(|| "nothing to compare with".to_owned()),
        items: count(source.items),
        added: bytes(source.bytes_added),
        proof: proof.unwrap_or_else(|| "no proof".to_owned()),
        snapshot: source.snapshot.as_ref().map(|snapshot| short(&snapshot.id).to_owned()),
        facts: content::facts(source).into_iter().map(|(name, value)| fact(name, value)).collect(),
    }
}
