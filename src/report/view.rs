//! What the page shows, computed before the template sees it: texts only, nothing left to decide.

use super::content;
use super::elsewhere::{describe, elsewhere};
use super::happened::happened;
use super::html::Page;
use super::units::{bytes, change, count, duration, short, time};
use super::way_back::{Answer, way_back};
use crate::ledger::events::Event;
use crate::model::finding::{Finding, Level};
use crate::model::manifest::{
    LockMode, Manifest, ObjectLock, ProbeKind, SourceOutcome, SourceRecord, State, Step, VerifyMode,
};
use crate::model::reconciliation::{Outcome, Side};
use crate::model::verdict::Verdict;
use serde::Serialize;

/// The page, from top to bottom. `tone` is a CSS class: `good`, `warn` or `bad`.
#[derive(Debug, Serialize)]
pub(super) struct View {
    title: String,
    application: String,
    version: String,
    environment: String,
    tier: Option<String>,
    id: String,
    as_of: String,
    tool: String,
    verdict: Badge,
    back: Back,
    running: Running,
    loss: Loss,
    times: Vec<Fact>,
    steps: Vec<StepView>,
    /// Ways back without the store.
    elsewhere: Vec<Fact>,
    summary: String,
    not_reverted: Vec<String>,
    requires: Vec<Fact>,
    sources: Vec<SourceView>,
    copies: Vec<Fact>,
    overridden: Option<Vec<Fact>>,
    findings: Vec<FindingView>,
    record: Vec<Fact>,
}

#[derive(Debug, Serialize)]
struct Badge {
    tone: &'static str,
    text: String,
}

#[derive(Debug, Serialize)]
struct Back {
    tone: &'static str,
    headline: String,
    why: Vec<String>,
    /// Whether the sections about going back mean anything.
    possible: bool,
}

#[derive(Debug, Serialize)]
struct Running {
    tone: &'static str,
    headline: String,
    facts: Vec<Fact>,
    history: Vec<Fact>,
}

#[derive(Debug, Serialize)]
struct Loss {
    headline: String,
    detail: Option<String>,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: String,
    value: String,
    /// A link, only ever to http or https.
    href: Option<String>,
}

#[derive(Debug, Serialize)]
struct StepView {
    order: u32,
    action: String,
    owner: Option<String>,
    command: Option<String>,
    destructive: bool,
    estimate: Option<String>,
}

#[derive(Debug, Serialize)]
struct SourceView {
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

/// A finding as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct FindingView {
    tone: &'static str,
    level: &'static str,
    code: &'static str,
    source: Option<String>,
    message: String,
    hint: Option<String>,
}

fn fact(name: &str, value: impl Into<String>) -> Fact {
    Fact { name: name.to_owned(), value: value.into(), href: None }
}

impl View {
    /// Computes what the page shows.
    pub(super) fn new(page: &Page<'_>) -> Self {
        let manifest = page.manifest;
        let back = way_back(manifest, page.events);
        let (tone, possible) = match back.answer {
            Answer::Yes => ("good", true),
            Answer::Partly => ("warn", true),
            Answer::No => ("bad", false),
        };
        let to = &manifest.release.to.version;
        Self {
            title: format!("{} {to} to {}: the way back", manifest.application, manifest.environment.name),
            application: manifest.application.clone(),
            version: to.to_string(),
            environment: manifest.environment.name.clone(),
            tier: manifest.environment.tier.clone(),
            id: manifest.id.to_string(),
            as_of: time(page.as_of),
            tool: manifest.tool.version.clone(),
            verdict: verdict(manifest),
            back: Back { tone, headline: back.headline, why: back.why, possible },
            running: running(page),
            loss: loss(page),
            times: times(manifest),
            steps: manifest.rollback.steps.iter().map(step).collect(),
            elsewhere: elsewhere(manifest).into_iter().map(|way| fact(&capitalised(&way.when), way.command)).collect(),
            summary: manifest.rollback.summary.clone(),
            not_reverted: manifest.rollback.not_reverted.clone(),
            requires: manifest.rollback.requires.iter().map(|(name, value)| fact(name, value)).collect(),
            sources: manifest.sources.iter().map(source).collect(),
            copies: copies(manifest),
            overridden: manifest.decision.overridden.as_ref().map(|by| {
                let ticket = by.ticket.as_ref().map(|ticket| fact("Ticket", ticket));
                let facts = [fact("Reason", &by.reason), fact("Approved by", &by.approved_by), fact("At", time(by.at))];
                facts.into_iter().chain(ticket).collect()
            }),
            findings: manifest.decision.findings.iter().map(FindingView::new).collect(),
            record: record(page),
        }
    }
}

fn verdict(manifest: &Manifest) -> Badge {
    let overridden = manifest.decision.overridden.is_some();
    let (tone, text) = match (manifest.state, manifest.decision.result) {
        (State::Passed, Verdict::Pass) if overridden => ("warn", "passed by override"),
        (State::Passed, Verdict::Pass) => ("good", "passed"),
        (State::TimedOut, _) => ("bad", "timed out"),
        (State::Cancelled, _) => ("bad", "cancelled"),
        (State::Error, _) => ("bad", "error"),
        (State::Refused, _) | (State::Passed, Verdict::Refuse) => ("bad", "refused"),
    };
    Badge { tone, text: text.to_owned() }
}

fn running(page: &Page<'_>) -> Running {
    let manifest = page.manifest;
    let release = &manifest.release;
    let before = match (&release.from.version, release.from.probe) {
        (Some(version), ProbeKind::Given) => format!("{version} (given by the caller, not observed)"),
        (Some(version), _) => version.to_string(),
        (None, ProbeKind::First) => "nothing, this is the first release".to_owned(),
        (None, _) => "unknown, nothing could observe it".to_owned(),
    };
    let mut facts = vec![fact("Before the release", before)];
    if let Some(at) = release.from.observed_at {
        facts.push(fact("Observed", time(at)));
    }
    let commit = release.to.commit.get(..12).unwrap_or(&release.to.commit);
    facts.push(fact("This release", format!("{} (commit {commit})", release.to.version)));
    let expected = match (manifest.state, manifest.reconciliation.expected) {
        (State::Passed, Side::To) => release.to.version.to_string(),
        _ => release.from.version.as_ref().map_or("unchanged".to_owned(), ToString::to_string),
    };
    facts.push(fact("Expected to run", expected));
    let mut history = Vec::new();
    let mut last = None;
    for record in page.events {
        let Event::Reconciled { at, expected, outcome, instances, explanation } = &record.event else {
            history.push(fact(&time(record.event.at()), capitalised(&happened(&record.event))));
            continue;
        };
        let side = match expected {
            Side::To => "expecting the new version",
            Side::From => "expecting the version before",
        };
        history.push(fact(&time(*at), format!("{}, {side}: {explanation}", outcome_word(*outcome))));
        last = Some((*at, *outcome, explanation, instances));
    }
    let Some((at, outcome, explanation, instances)) = last else {
        let headline = "Not checked since the gate: what runs now is not known".to_owned();
        let side = if manifest.state == State::Passed { "" } else { " --expect from" };
        facts.push(fact("Check it with", format!("holdpoint reconcile --id {}{side}", manifest.id)));
        return Running { tone: "warn", headline, facts, history };
    };
    for instance in instances {
        let answer = match (&instance.version, &instance.error) {
            (Some(version), _) => version.to_string(),
            (None, Some(error)) => format!("no answer: {error}"),
            (None, None) => "no version".to_owned(),
        };
        facts.push(fact(&instance.name, answer));
    }
    let tone = match outcome {
        Outcome::Matched => "good",
        Outcome::Unchanged => "warn",
        Outcome::Partial | Outcome::Drifted | Outcome::Unknown => "bad",
    };
    let headline = format!("{} at {}: {explanation}", capitalised(outcome_word(outcome)), time(at));
    Running { tone, headline, facts, history }
}

fn loss(page: &Page<'_>) -> Loss {
    let objective = |seconds: f64| match page.manifest.objectives.rpo {
        Some(rpo) if seconds > rpo as f64 => {
            format!(", more than the {} this environment allows", duration(rpo as f64))
        }
        Some(rpo) => format!(", within the {} this environment allows", duration(rpo as f64)),
        None => String::new(),
    };
    match page.manifest.rollback.data_loss_from {
        Some(from) => {
            let age = page.as_of.duration_since(from).as_secs_f64().max(0.0);
            Loss {
                headline: format!("Everything written after {}", time(from)),
                detail: Some(format!("As of this page that is {} of data{}.", duration(age), objective(age))),
            }
        }
        None => Loss { headline: "Not known: no moment of capture was recorded".to_owned(), detail: None },
    }
}

fn times(manifest: &Manifest) -> Vec<Fact> {
    let measured = &manifest.measured;
    let estimate = match (measured.restore_seconds_estimate, manifest.objectives.rto) {
        (None, _) => "not known, nothing was read back".to_owned(),
        (Some(seconds), None) => format!("about {}, estimated from the speed of reading back", duration(seconds)),
        (Some(seconds), Some(rto)) => {
            let fits = if seconds > rto as f64 { "more than" } else { "within" };
            format!("about {}, {fits} the {} this environment allows", duration(seconds), duration(rto as f64))
        }
    };
    let drill = measured.last_drill.map_or("never practised".to_owned(), time);
    vec![
        fact("Restore of the data", estimate),
        fact("Last measured in a drill", drill),
        fact("Capture", duration(measured.capture_seconds)),
        fact("Reading back", duration(measured.verify_seconds)),
    ]
}

fn step(step: &Step) -> StepView {
    StepView {
        order: step.order,
        action: step.action.clone(),
        owner: step.owner.clone(),
        command: step.command.clone(),
        destructive: step.destructive,
        estimate: step.estimate_seconds.map(duration),
    }
}

fn source(source: &SourceRecord) -> SourceView {
    let (tone, outcome) = match source.outcome {
        SourceOutcome::Verified => ("good", "verified"),
        SourceOutcome::Unverified => ("bad", "unverified"),
        SourceOutcome::Failed => ("bad", "failed"),
        SourceOutcome::NotCaptured => ("bad", "not captured"),
    };
    let change = source.change.as_ref().map(|known| match known.ratio {
        Some(ratio) => format!("{} from {}", change(ratio), bytes(known.bytes_before)),
        None => format!("from {}", bytes(known.bytes_before)),
    });
    let proof = source.verification.as_ref().map(|proof| match proof.mode {
        VerifyMode::None => "not read back".to_owned(),
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
        change: change.unwrap_or_else(|| "nothing to compare with".to_owned()),
        items: count(source.items),
        added: bytes(source.bytes_added),
        proof: proof.unwrap_or_else(|| "no proof".to_owned()),
        snapshot: source.snapshot.as_ref().map(|snapshot| short(&snapshot.id).to_owned()),
        facts: content::facts(source).into_iter().map(|(name, value)| fact(name, value)).collect(),
    }
}

fn copies(manifest: &Manifest) -> Vec<Fact> {
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

impl FindingView {
    /// Computes how a finding is shown.
    pub(super) fn new(finding: &Finding) -> Self {
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

fn record(page: &Page<'_>) -> Vec<Fact> {
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
    facts.extend(pipeline.actor.as_ref().map(|actor| fact("Started by", actor)));
    facts.extend(manifest.decision.policy.config_digest.as_ref().map(|digest| fact("Configuration", digest)));
    facts
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Matched => "matched",
        Outcome::Unchanged => "unchanged",
        Outcome::Partial => "partial",
        Outcome::Drifted => "drifted",
        Outcome::Unknown => "unknown",
    }
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
