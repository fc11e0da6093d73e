//! What the gate would do, without doing it.

use super::bases;
use super::copies::domain;
use super::judge;
use super::request::Request;
use super::ruling::{self, Choice, Facts};
use super::scratch::Scratch;
use super::stand_in;
use super::standing;
use super::survey;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::model::finding::Finding;
use crate::model::manifest::{From, Severity, StandIn};
use crate::model::rule::Rule;
use crate::model::verdict::Verdict;
use crate::storage::Look;
use jiff::Timestamp;
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
    /// The paths that changed since the deployed commit; absent where git cannot tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_paths: Option<Vec<String>>,
    /// What could not be known of what changed, in words.
    pub changes_unknown: Vec<String>,
    /// The store.
    pub store: String,
    /// The deadline in seconds.
    pub timeout_seconds: u64,
    /// Every rule that was asked, what it looked at and what it decided.
    pub rules: Vec<Rule>,
    /// What would be captured, and what an older snapshot may stand in for.
    pub sources: Vec<PlannedSource>,
    /// What speaks for or against going on, as far as it is known without a capture.
    pub findings: Vec<Finding>,
    /// Whether the gate would refuse before it captured anything.
    pub verdict: Verdict,
}

/// What would be done with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It would be captured.
    Capture,
    /// An older snapshot would stand in, if the gate sees that the store has it whole; else it would be captured.
    StandIn,
}

/// One source of the gate.
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
    /// What would be done with it.
    pub action: Action,
    /// The snapshot that would stand in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<StandIn>,
    /// How old a snapshot that stands in may be, in seconds; any if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_seconds: Option<u64>,
    /// Why that would be done.
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
    let changes = ruling::scope::look(request, &from);
    let ruling = ruling::rule(&Facts {
        request,
        from: &from,
        changes: &changes,
        ledger: &ledger,
        last: last.as_ref().map(|last| &last.manifest),
        now: Timestamp::now(),
        left: request.timeout,
    })?;
    findings.extend(ruling.findings);
    // Whether the store has them whole is for the gate to see.
    let (found, more) = stand_in::seek(request, &ready, &ruling.choices, &from, last.as_ref(), &ledger)?;
    findings.extend(more);
    let mut rules = ruling.rules;
    rules.extend(found.candidates.iter().map(|(name, candidate)| candidate.as_rule(name)));
    rules.extend(found.reasons.iter().map(|(name, reason)| reason.as_rule(name)));
    if let Some(glass) = &request.glass {
        findings = glass.foresee(findings);
    }
    let mut sources: Vec<_> = ready
        .iter()
        .map(|ready| {
            let facts = ready.source.facts();
            let older = found.candidates.get(&ready.config.name);
            let within = match ruling.choices.get(&ready.config.name) {
                None | Some(Choice::Capture) => None,
                Some(Choice::StandIn { within, .. }) => *within,
            };
            PlannedSource {
                name: ready.config.name.clone(),
                kind: ready.config.kind.name().to_owned(),
                required: ready.config.required,
                method: facts.method.to_owned(),
                identity: facts.identity,
                bytes_before: before(&ready.config.name),
                action: if older.is_some() { Action::StandIn } else { Action::Capture },
                stand_in: older.map(|older| StandIn {
                    release: older.release.clone(),
                    captured_at: older.captured_at,
                    rule: older.rule.clone(),
                }),
                within_seconds: within.map(|within| within.as_secs()),
                why: why(&rules, &ready.config.name),
            }
        })
        .collect();
    sources.sort_by(|one, two| one.name.cmp(&two.name));
    Ok(Plan {
        application: request.application.clone(),
        environment: request.environment.clone(),
        severity: ruling.severity,
        changed_paths: changes.paths,
        changes_unknown: changes.gaps.iter().map(ToString::to_string).collect(),
        from,
        to: request.target.version.to_string(),
        commit: request.target.commit.clone(),
        store: request.place.location(),
        timeout_seconds: request.timeout.as_secs(),
        rules,
        sources,
        verdict: Verdict::of(&findings).0,
        findings,
    })
}

/// Returns why a source is captured or not: what the last rule that was asked of it says.
fn why(rules: &[Rule], source: &str) -> String {
    let rule = rules.iter().rfind(|rule| rule.source.as_deref() == Some(source));
    rule.map_or_else(String::new, |rule| format!("{}: {}", rule.name, rule.outcome))
}
