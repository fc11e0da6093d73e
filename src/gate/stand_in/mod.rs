//! Older snapshots that stand in for sources which a gate need not capture.
//!
//! [`find`] asks the ledger for the newest one that is of the same thing and young enough; [`prove`] makes sure in this run that it
//! is whole in the store. What cannot be found, believed or proved is captured: reuse is never a way to go on with less.

mod deploys;
mod find;
mod prove;

pub use find::Found;
pub use prove::{Proved, prove_all};

use super::request::Request;
use super::ruling::Choice;
use super::survey::Ready;
use crate::error::Result;
use crate::ledger::{Ledger, Stored};
use crate::model::finding::Finding;
use crate::model::manifest::{From, Purpose, SourceRecord};
use crate::model::release_id::ReleaseId;
use crate::model::rule::Rule;
use crate::policy::reuse::Wanted;
use crate::source::Facts;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Finds what may stand in where the policy says so, and what there is to say of it; nothing of the repository is looked at. `from`
/// is what is deployed now, `last` the release that this run is compared with.
///
/// # Errors
/// The store's own; `config`: a pattern of `when_changed` leads out of the working tree.
pub fn seek(
    request: &Request,
    ready: &[Ready<'_>],
    choices: &BTreeMap<String, Choice>,
    from: &From,
    last: Option<&Stored>,
    ledger: &Ledger,
) -> Result<(Found, Vec<Finding>)> {
    let sought = Sought::of(request, ready, choices);
    if sought.is_empty() {
        return Ok((Found::default(), Vec::new()));
    }
    let newest = last.filter(|_| request.is_captured_alike());
    let mut found = find::find(request, sought, newest, ledger, Timestamp::now())?;
    let findings = deploys::look(request, &mut found, ready, from)?;
    Ok((found, findings))
}

/// A source that an older snapshot may stand in for.
struct Sought<'a> {
    ready: &'a Ready<'a>,
    facts: Facts,
    definition: Option<String>,
    rule: &'a str,
    within: Option<Duration>,
}

impl<'a> Sought<'a> {
    /// Returns what the policy lets stand in, of a gate only: a snapshot outside of a deploy is taken to be new.
    fn of(request: &Request, ready: &'a [Ready<'a>], choices: &'a BTreeMap<String, Choice>) -> Vec<Self> {
        if request.purpose != Purpose::Gate {
            return Vec::new();
        }
        let sought = |ready: &'a Ready<'a>| match choices.get(&ready.config.name)? {
            Choice::Capture => None,
            Choice::StandIn { rule, within } => Some(Self {
                ready,
                facts: ready.source.facts(),
                definition: ready.config.definition(),
                rule,
                within: *within,
            }),
        };
        ready.iter().filter_map(sought).collect()
    }

    fn name(&self) -> &'a str {
        &self.ready.config.name
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            name: self.name(),
            kind: self.ready.config.kind.name(),
            method: self.facts.method,
            identity: self.facts.identity.as_deref(),
            definition: self.definition.as_deref(),
            within: self.within,
        }
    }
}

/// An older snapshot that may stand in, if the store still has it whole.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The record of the run that captured it.
    pub record: SourceRecord,
    /// That run.
    pub release: ReleaseId,
    /// When its capture began.
    pub captured_at: Timestamp,
    /// What was deployed then.
    pub from: From,
    /// How long that run reckoned that its restore takes, in seconds.
    pub estimate: Option<f64>,
    /// The rule that lets it stand in.
    pub rule: String,
}

impl Candidate {
    /// Says that it stands in for a source, as a rule of the decision.
    pub fn as_rule(&self, source: &str) -> Rule {
        let Self { release, captured_at, .. } = self;
        let outcome = format!("the snapshot of {captured_at:.0} (release {release}) stands in");
        Rule::fired(self.rule.as_str(), outcome).of_source(source).saw("captured_at", captured_at.to_string())
    }
}

/// Why nothing stands in for a source although the policy would let it.
#[derive(Debug, Clone)]
pub struct Reason {
    rule: String,
    why: String,
}

impl Reason {
    /// Creates the reason of a candidate that cannot be used: `why` follows "the newest snapshot of it".
    pub fn of(candidate: &Candidate, why: &str) -> Self {
        Self { rule: candidate.rule.clone(), why: format!("the newest snapshot of it {why}") }
    }

    /// Says that the source is captured, as a rule of the decision.
    pub fn as_rule(&self, source: &str) -> Rule {
        Rule::fired(self.rule.as_str(), format!("captured after all: {}", self.why)).of_source(source)
    }
}
