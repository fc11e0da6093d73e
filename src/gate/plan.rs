//! What the gate would do, without doing it.

use super::bases;
use super::copies::domain;
use super::judge;
use super::request::Request;
use super::scratch::Scratch;
use super::standing;
use super::survey;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::model::finding::Finding;
use crate::model::manifest::{From, Severity};
use crate::model::verdict::Verdict;
use crate::policy::severity::severity;
use crate::storage::Look;
use serde::Serialize;
use tokio::runtime::Handle;

/// What the gate would do.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// What runs now.
    pub from: From,
    /// What is to run.
    pub to: String,
    /// The commit of what is to run.
    pub commit: String,
    /// How large a step it is.
    pub severity: Severity,
    /// The store.
    pub store: String,
    /// The deadline in seconds.
    pub timeout_seconds: u64,
    /// What would be captured.
    pub sources: Vec<PlannedSource>,
    /// What speaks for or against going on, as far as it is known without a capture.
    pub findings: Vec<Finding>,
    /// Whether the gate would refuse before it captured anything.
    pub verdict: Verdict,
}

/// One source that would be captured.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedSource {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Whether its failure would refuse.
    pub required: bool,
    /// How it would be captured.
    pub method: String,
    /// What it is.
    pub identity: Option<String>,
    /// Its size in the last release that passed, in bytes.
    pub bytes_before: Option<u64>,
    /// Why it would be captured.
    pub why: String,
}

/// Finds out what the gate would do.
///
/// # Errors
/// The store's own; a cancellation.
pub fn plan(request: &Request, cancel: &Cancel, runtime: &Handle) -> Result<Plan> {
    let mut findings = request.target.findings.clone();
    findings.extend(standing::retired(&request.environment, request.settings.retired));
    let (mut from, more) = survey::observe(request, cancel, runtime)?;
    findings.extend(more);
    let scratch = Scratch::create()?;
    let (ready, more) = survey::prepare(request, &scratch, cancel, runtime)?;
    findings.extend(more);
    findings.extend(survey::undeclared(request));
    findings.extend(request.place.preflight(Look::AsAsked)?);
    findings.extend(domain::findings(&request.place, &request.copies));
    findings.extend(request.copies.iter().flat_map(|copy| copy.preflight(Look::AsAsked)));
    cancel.check()?;
    let ledger = Ledger::new(request.place.ledger_storage());
    findings.extend(survey::compare_with_ledger(&mut from, &ledger)?);
    let search = judge::last_comparable(request, &ledger)?;
    // The search for what is deployed may have told of the same records.
    let unseen = judge::unseen(&search).into_iter().filter(|finding| !findings.contains(finding));
    findings.extend(unseen.collect::<Vec<_>>());
    let last = search.found;
    findings.extend(judge::judge_identities(&ready, last.as_ref().map(|last| &last.manifest)));
    findings.extend(survey::left_out(request, &ready));
    findings.extend(bases::find(&ready, &ledger)?.1);
    let before = |name: &str| {
        let sources = &last.as_ref()?.manifest.sources;
        sources.iter().find(|source| source.name == name && source.snapshot.is_some()).map(|source| source.bytes)
    };
    let mut sources: Vec<_> = ready
        .iter()
        .map(|ready| {
            let facts = ready.source.facts();
            PlannedSource {
                name: ready.config.name.clone(),
                kind: ready.config.kind.name().to_owned(),
                required: ready.config.required,
                method: facts.method.to_owned(),
                identity: facts.identity,
                bytes_before: before(&ready.config.name),
                why: "every source is captured before every deploy".to_owned(),
            }
        })
        .collect();
    sources.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(Plan {
        application: request.application.clone(),
        environment: request.environment.clone(),
        severity: severity(&from, &request.target.version),
        from,
        to: request.target.version.to_string(),
        commit: request.target.commit.clone(),
        store: request.place.location(),
        timeout_seconds: request.timeout.as_secs(),
        sources,
        verdict: Verdict::of(&findings).0,
        findings,
    })
}
