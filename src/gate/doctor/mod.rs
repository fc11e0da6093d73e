//! Everything that the gate will need, looked at before it is needed.

pub(super) mod store;

use super::copies::probe;
use super::judge;
use super::request::Request;
use super::scratch::Scratch;
use super::survey;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::ledger::Ledger;
use crate::model::finding::{Finding, FindingCode, Level};
use crate::repository::Repository;
use serde::Serialize;
use tokio::runtime::Handle;

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// What was seen, in words.
    pub detail: String,
    /// What speaks against the gate; empty if all is well.
    pub findings: Vec<Finding>,
}

impl Check {
    fn new(name: impl Into<String>, detail: impl Into<String>, findings: Vec<Finding>) -> Self {
        Self { name: name.into(), detail: detail.into(), findings }
    }

    /// Says whether the gate would refuse because of this.
    pub fn refuses(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Refusal)
    }
}

/// Looks at everything that the gate will need: probe, sources, store, repository and its password, clock.
///
/// # Errors
/// No scratch directory to be had; a cancellation.
pub fn doctor(request: &Request, cancel: &Cancel, runtime: &Handle) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let (from, findings) = survey::observe(request, cancel, runtime)?;
    let detail = match &from.version {
        Some(version) => format!("{version} is deployed"),
        None => "what is deployed is unknown".to_owned(),
    };
    checks.push(Check::new("deployed version", detail, findings));
    let scratch = Scratch::create()?;
    let (ready, findings) = survey::prepare(request, &scratch, cancel, runtime)?;
    for ready in &ready {
        let name = &ready.config.name;
        let own = findings.iter().filter(|finding| finding.source.as_ref() == Some(name)).cloned().collect();
        let facts = ready.source.facts();
        let server = facts.server_version.map(|version| format!("server {version}"));
        let detail = [Some(ready.config.kind.name().to_owned()), facts.identity, server, facts.tool_version];
        let detail = detail.into_iter().flatten().collect::<Vec<_>>().join(", ");
        checks.push(Check::new(format!("source {name}"), detail, own));
    }
    let undeclared = survey::undeclared(request);
    let detail = if undeclared.is_empty() { "each that left traces has a source" } else { "some have no source" };
    checks.push(Check::new("databases", detail, undeclared));
    let last = judge::last_comparable(request, &Ledger::new(request.place.ledger_storage()));
    let identities = last.map(|last| {
        let mut findings = judge::unseen(&last);
        findings.extend(judge::judge_identities(&ready, last.found.as_ref().map(|last| &last.manifest)));
        findings
    });
    checks.push(match identities {
        Ok(findings) => Check::new("servers", "those that the last snapshots came from", findings),
        Err(error) => check("servers", "those that the last snapshots came from", Err(error)),
    });
    checks.extend(store::checks(&request.place));
    let detail = request.place.repository_location();
    checks.push(check("repository", detail, open_repository(request)));
    for copy in &request.copies {
        let findings = probe::probe(&request.place, copy, cancel)?;
        checks.push(Check::new(format!("copy {}", copy.name), copy.place.location(), findings));
    }
    checks.push(check("clock", "against the newest record", check_clock(request)));
    Ok(checks)
}

/// Turns what one look came to into its check.
fn check(name: &str, detail: impl Into<String>, result: Result<Option<Finding>>) -> Check {
    let findings = match result {
        Ok(finding) => finding.into_iter().collect(),
        Err(error) => vec![Finding::from_error(&error, FindingCode::StoreFailed)],
    };
    Check::new(name, detail, findings)
}

fn open_repository(request: &Request) -> Result<Option<Finding>> {
    if !Repository::exists(&request.place.repository_storage())? {
        return Ok(None);
    }
    request.place.open().map(|_| None)
}

fn check_clock(request: &Request) -> Result<Option<Finding>> {
    let newest = Ledger::new(request.place.ledger_storage()).newest()?;
    Ok(newest.and_then(|newest| super::run::clock_finding(&newest.manifest)))
}
