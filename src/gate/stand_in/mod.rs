//! Older snapshots that stand in for sources which a gate need not capture.
//!
//! [`find`] asks the ledger for the newest one that is of the same thing and young enough; [`prove`] makes sure in this run that it
//! is whole in the store. What cannot be found, believed or proved is captured: reuse is never a way to go on with less.

mod find;
mod prove;

pub use find::{Found, find};
pub use prove::{Proved, prove_all};

use super::request::Request;
use super::ruling::Choice;
use super::survey::Ready;
use crate::model::manifest::{From, SourceRecord};
use crate::model::release_id::ReleaseId;
use crate::policy::reuse::Wanted;
use crate::source::Facts;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// A source that an older snapshot may stand in for.
pub struct Sought<'a> {
    ready: &'a Ready<'a>,
    facts: Facts,
    definition: Option<String>,
    rule: &'a str,
    within: Option<Duration>,
}

impl<'a> Sought<'a> {
    /// Returns what the policy lets stand in, of a gate only: a snapshot outside of a deploy is taken to be new.
    pub fn of(request: &Request, ready: &'a [Ready<'a>], choices: &'a BTreeMap<String, Choice>) -> Vec<Self> {
        if request.purpose != crate::model::manifest::Purpose::Gate {
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

    /// Returns the name of the source.
    pub fn name(&self) -> &'a str {
        &self.ready.config.name
    }

    /// Returns the rule that lets an older snapshot stand in.
    pub fn rule(&self) -> &'a str {
        self.rule
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
}
