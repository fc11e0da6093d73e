//! The audit of what the verbs do: each line goes to the store first, and from there to the file and to syslog.
//!
//! A line is written before what it tells of is announced or recorded as an event: one that is cut off leaves a line
//! without an event, and never an event that nobody has a line of.

mod lines;

pub use lines::{of_manifest, of_override};

use crate::config::AuditConfig;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::ledger::Ledger;
use crate::ledger::events::{Event, EventRecord};
use crate::model::audit::{Action, AuditLine, AuditLink, Outcome};
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::release_id::ReleaseId;
use crate::notify::forward::forward;

/// Who does something where, and who else is told of it: what every line of a command has in common.
#[derive(Debug, Clone)]
pub struct Auditor {
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// Who asks: the actor of the pipeline, or the user of this machine.
    pub by: String,
    /// The run of the pipeline.
    pub run_url: Option<String>,
    /// Where lines go besides the store.
    pub settings: AuditConfig,
}

impl Auditor {
    /// Starts a line of what is done now.
    pub fn line(&self, action: Action, outcome: Outcome) -> AuditLine {
        let line = AuditLine::new(action, outcome, (&self.application, &self.environment), &self.by);
        AuditLine { run_url: self.run_url.clone(), ..line }
    }

    /// Writes a line; `end` is where the newest one was seen, if it was looked for already. What else does not take it is
    /// a finding: a refusal where the configuration demands that, else a warning.
    ///
    /// # Errors
    /// `audit-failed`: the store did not take it.
    pub fn write(&self, ledger: &Ledger, end: Option<AuditLink>, line: &AuditLine) -> Result<Vec<Finding>> {
        let written = ledger.append_audit(end, line).map_err(|error| {
            let message = format!("the audit has no line of this {}", line.action.as_str());
            error
                .under(ErrorCode::AuditFailed, message)
                .hint("whoever acts here must be able to create objects below audit/")
        })?;
        let level = if self.settings.forward_required { Level::Refusal } else { Level::Warning };
        let finding = |failure: String| {
            let message = format!("line {} of the audit was not taken by {failure}", written.link.number);
            let finding = Finding::refusal(FindingCode::AuditFailed, message);
            Finding { level, ..finding.hint("look at [audit]; the line itself is in the store") }
        };
        Ok(forward(&self.settings, &written.line, &written.bytes).into_iter().map(finding).collect())
    }

    /// Writes the line of something that happened to a release, if its kind has one, and then the event itself. Returns
    /// the event, and what speaks of the line.
    ///
    /// # Errors
    /// `audit-failed`: the store did not take the line, and there is no event; the store's own.
    pub fn record(&self, ledger: &Ledger, id: &ReleaseId, event: &Event) -> Result<(EventRecord, Vec<Finding>)> {
        let findings = self.write_event(ledger, Some(id), event)?;
        Ok((ledger.record_event(id, event)?, findings))
    }

    /// Writes the line of something that happened to a release, or to an environment without one, for an event that the
    /// caller writes itself.
    ///
    /// # Errors
    /// As [`Auditor::write`].
    pub fn write_event(&self, ledger: &Ledger, id: Option<&ReleaseId>, event: &Event) -> Result<Vec<Finding>> {
        match lines::of_event(self, id, event) {
            Some(line) => self.write(ledger, None, &AuditLine { record: Some(event.digest()?), ..line }),
            None => Ok(Vec::new()),
        }
    }

    /// Writes a line about what must go on even if nobody can be told of it, such as the restore after a disaster. Returns
    /// what could not be done as warnings.
    pub fn note(&self, ledger: &Ledger, line: &AuditLine) -> Vec<Finding> {
        let found = self.write(ledger, None, line).unwrap_or_else(|error| vec![unwritten(&error)]);
        found.into_iter().map(Finding::softened).collect()
    }

    /// Returns the line of a command that ended with an error.
    pub fn failed(&self, action: Action, error: &Error) -> AuditLine {
        let outcome = if action == Action::Admit { Outcome::Refused } else { Outcome::Failed };
        self.line(action, outcome)
            .exits(error.code().exit().number())
            .why(Some(error.chain()))
            .codes([error.code().as_str()])
    }

    /// Returns the line of a command that ended with a verdict.
    pub fn judged(&self, action: Action, exit: ExitCode, findings: &[Finding]) -> AuditLine {
        let outcome = if exit == ExitCode::Pass { Outcome::Passed } else { Outcome::Refused };
        lines::with_findings(self.line(action, outcome).exits(exit.number()), findings)
    }
}

/// Says that the store did not take a line.
pub fn unwritten(error: &Error) -> Finding {
    let finding = Finding::refusal(FindingCode::AuditFailed, error.chain());
    match error.hints().first() {
        Some(hint) => finding.hint(hint.clone()),
        None => finding,
    }
}
