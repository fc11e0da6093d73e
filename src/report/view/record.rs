//! Findings, overrides, where it is kept, and the record itself.

use super::super::elsewhere::describe;
use super::super::html::Page;
use super::super::units::time;
use super::{Fact, fact};
use crate::model::finding::{Finding, Level};
use crate::model::manifest::{LockMode, Manifest, ObjectLock};
use serde::Serialize;

/// A finding as it is shown.
#[derive(Debug, Serialize)]
pub(in super::super) struct FindingView {
    tone: &'static str,
    level: &'static str,
    code: &'static str,
    source: Option<String>,
    message: String,
    hint: Option<String>,
}

impl FindingView {
    /// Computes how a finding is shown.
    pub(in super::super) fn new(finding: &Finding) -> Self {
        let (tone, level) = match finding.level {
            Level::Refusal => ("bad", "refusal"),
            Level::Warning => ("warn", "warning"),
            Level::Info => ("", "info"),
        };
        Self {
            tone,
            level,
            code: finding.code.as_str(),
            source: finding.source.clone(),
            message: finding.message.clone(),
            hint: finding.hint.clone(),
        }
    }
}

/// Says who overrode a refusal, and why.
pub(super) fn overridden(manifest: &Manifest) -> Option<Vec<Fact>> {
    let by = manifest.decision.overridden.as_ref()?;
    let ticket = by.ticket.as_ref().map(|ticket| fact("Ticket", ticket));
    let facts = [fact("Reason", &by.reason), fact("Approved by", &by.approved_by), fact("At", time(by.at))];
    let codes = by.codes.iter().map(|code| code.as_str()).collect::<Vec<_>>().join(", ");
    let proof = match &by.key {
        Some(key) => format!("signed by the key {key}"),
        None => "none: whoever started the run wrote the name".to_owned(),
    };
    let more = [fact("Set aside", codes), fact("Proof of who it was", proof)];
    let until = by.expires_at.map(|at| fact("The pass counts until", time(at)));
    Some(facts.into_iter().chain(ticket).chain(more).chain(until).collect())
}

/// Says where the snapshots and their copies are.
pub(super) fn copies(manifest: &Manifest) -> Vec<Fact> {
    let mut facts =
        vec![fact("Store", &manifest.store.location), fact("restic repository", &manifest.store.repository)];
    if let Some(ObjectLock { mode, retain_until }) = &manifest.store.object_lock {
        let who = match mode {
            LockMode::Governance => "governance: whoever has the right to bypass it can lift it",
            LockMode::Compliance => "compliance: nobody can lift it",
        };
        facts.push(fact("Object Lock", format!("at least until {retain_until} ({who})")));
    }
    match manifest.store.copies.as_slice() {
        [] => facts.push(fact("Copies", "none: this store is the only place")),
        copies => facts.extend(copies.iter().map(|copy| fact(&format!("Copy {}", copy.name), describe(copy)))),
    }
    facts.push(fact("Expiry", "none recorded: kept until someone prunes the store"));
    facts
}

/// Says what the record is.
pub(super) fn record(page: &Page<'_>) -> Vec<Fact> {
    let manifest = page.manifest;
    let pipeline = &manifest.pipeline;
    let mut facts = vec![
        fact("Release", manifest.id.as_str()),
        fact("Recorded", time(manifest.created_at)),
        fact("Commit", &manifest.release.to.commit),
        fact("Signature", page.signature),
    ];
    if let Some(previous) = &manifest.previous {
        facts.push(fact("Record before", format!("{} ({})", previous.id, previous.digest)));
    }
    match &pipeline.run_url {
        // Anything but a web address stays text: a link could run a script.
        Some(url) if url.starts_with("https://") || url.starts_with("http://") => {
            facts.push(Fact { href: Some(url.clone()), ..fact("Run", url) });
        }
        Some(url) => facts.push(fact("Run", url)),
        None => facts.push(fact("Run", "not started by a known CI system")),
    }
    facts.extend(manifest.decision.ticket.as_ref().map(|ticket| fact("Ticket", ticket)));
    facts.extend(manifest.decision.policy.approvals.map(|wanted| fact("Approvals needed", wanted.to_string())));
    facts.extend(pipeline.actor.as_ref().map(|actor| fact("Started by", actor)));
    facts.extend(manifest.decision.policy.config_digest.as_ref().map(|digest| fact("Configuration", digest)));
    facts
}
