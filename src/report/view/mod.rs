//! What the page shows, computed before the template sees it: texts only, nothing left to decide. A section a file.

mod drill;
mod loss;
mod record;
mod rollback;
mod running;
mod sources;
mod steps;

pub(super) use record::FindingView;

use super::html::{Page, Standing};
use super::units::time;
use super::way_back::{Answer, way_back};
use crate::model::manifest::{Manifest, State};
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
    /// The rollback that was begun, if one was.
    rollback: Option<rollback::RollbackView>,
    /// The freeze that is in effect.
    frozen: Option<Frozen>,
    back: Back,
    running: running::Running,
    loss: loss::Loss,
    times: Vec<Fact>,
    drill: drill::DrillView,
    steps: steps::Steps,
    not_reverted: Vec<String>,
    sources: Vec<sources::SourceView>,
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
struct Frozen {
    headline: String,
    facts: Vec<Fact>,
    /// The command that thaws.
    thaw: String,
}

#[derive(Debug, Serialize)]
struct Fact {
    name: String,
    value: String,
    /// A link, only ever to http or https.
    href: Option<String>,
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
            rollback: rollback::rollback(page),
            frozen: frozen(page),
            back: Back { tone, headline: back.headline, why: back.why, possible },
            running: running::running(page),
            loss: loss::loss(page),
            times: loss::times(page),
            drill: drill::drill(page),
            steps: steps::steps(manifest),
            not_reverted: manifest.rollback.not_reverted.clone(),
            sources: manifest.sources.iter().map(sources::source).collect(),
            copies: record::copies(manifest),
            overridden: record::overridden(manifest),
            findings: manifest.decision.findings.iter().map(FindingView::new).collect(),
            record: record::record(page),
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

/// Says what is frozen, and how to thaw it.
fn frozen(page: &Page<'_>) -> Option<Frozen> {
    let Standing::Frozen(freeze) = page.standing else { return None };
    let environment = &page.manifest.environment.name;
    let until = freeze.until.map_or_else(|| "somebody thaws it".to_owned(), time);
    Some(Frozen {
        headline: format!("{environment} is frozen: nothing may be deployed into it"),
        facts: vec![
            fact("Since", time(freeze.at)),
            fact("By", &freeze.by),
            fact("Until", until),
            fact("Why", &freeze.reason),
        ],
        thaw: page.manifest.rollback.thaw(environment),
    })
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
