//! What the policy says of a run, before anything is captured: how large a step it is, what has to be captured, and whether it
//! may begin at all.

mod require;

use super::request::Request;
use crate::config::Requirement;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::model::finding::Finding;
use crate::model::manifest::{From, Manifest, Severity};
use crate::model::rule::Rule;
use crate::policy::severity::severity;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What the rules look at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What is asked of the gate.
    pub request: &'a Request,
    /// What runs now.
    pub from: &'a From,
    /// The paths that changed since the deployed commit; `None` where git cannot tell.
    pub changed: Option<&'a [String]>,
    /// The records of the environment.
    pub ledger: &'a Ledger,
    /// The last release that passed.
    pub last: Option<&'a Manifest>,
    /// The time of the decision.
    pub now: Timestamp,
    /// What is left of the deadline.
    pub left: Duration,
}

/// What the rules decided.
#[derive(Debug, Clone)]
pub struct Ruling {
    /// How large a step the release is.
    pub severity: Severity,
    /// What is to become of each source that is not simply captured, by its name.
    pub choices: BTreeMap<String, Choice>,
    /// What speaks for or against going on.
    pub findings: Vec<Finding>,
    /// Every rule that was asked.
    pub rules: Vec<Rule>,
    /// What the release must have.
    pub require: BTreeSet<Requirement>,
    /// How many persons must approve before it is admitted, if any.
    pub approvals: Option<u32>,
}

/// What is to become of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// It is captured.
    Capture,
    /// An older snapshot may stand in, if there is one that is whole, of the same thing, and young enough.
    StandIn {
        /// The rule that says so.
        rule: String,
        /// How old it may be; as old as may be without it.
        within: Option<Duration>,
    },
}

/// Asks every rule.
///
/// # Errors
/// The store's own.
pub fn rule(facts: &Facts<'_>) -> Result<Ruling> {
    let severity = severity(facts.from, &facts.request.target.version);
    let mut ruling = Ruling {
        severity,
        choices: BTreeMap::new(),
        findings: Vec::new(),
        rules: Vec::new(),
        require: BTreeSet::new(),
        approvals: None,
    };
    require::judge(facts, &mut ruling)?;
    Ok(ruling)
}
