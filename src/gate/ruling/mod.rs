//! What the policy says of a run, before anything is captured: how large a step it is, what has to be captured, and whether it
//! may begin at all.

mod require;
pub mod scope;
mod windows;

use super::request::Request;
use crate::config::Requirement;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::model::changes::Changes;
use crate::model::finding::Finding;
use crate::model::manifest::{From, Manifest, Severity};
use crate::model::rule::Rule;
use crate::policy::effective::{Effective, effective};
pub use crate::policy::scope::Choice;
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
    /// What changed since the deployed commit, as far as git can tell.
    pub changes: &'a Changes,
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
    /// The rules of the configuration that hold for it.
    pub effective: Effective,
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

/// Asks every rule.
///
/// # Errors
/// The store's own.
pub fn rule(facts: &Facts<'_>) -> Result<Ruling> {
    let severity = severity(facts.from, &facts.request.target.version);
    let effective = effective(&facts.request.config.policy, &[severity], facts.request.settings.tier.as_deref());
    let mut ruling = Ruling {
        severity,
        effective,
        choices: BTreeMap::new(),
        findings: Vec::new(),
        rules: Vec::new(),
        require: BTreeSet::new(),
        approvals: None,
    };
    scope::judge(facts, &mut ruling)?;
    windows::judge(facts, &mut ruling)?;
    require::judge(facts, &mut ruling)?;
    Ok(ruling)
}
