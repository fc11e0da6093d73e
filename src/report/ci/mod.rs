//! What a CI system is shown of a command: texts for its files and its log. Nothing here writes or prints.
//!
//! One file a system; this one holds what they share.

pub mod github;
pub mod gitlab;
pub mod jenkins;
mod junit;
mod summary;

use super::closing::{Closing, closing};
use super::html::Standing;
use crate::error::{Error, ExitCode};
use crate::ledger::events::EventRecord;
use crate::model::finding::{Finding, Level};
use crate::model::manifest::{Manifest, SourceRecord};
use std::path::Path;

/// The commands that end in a verdict, which pipelines read from what they are shown.
const WITH_VERDICT: [&str; 7] = ["gate", "snapshot", "admit", "guard", "reconcile", "rollback", "drill"];

/// A CI system that is shown more than text and an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// GitHub Actions, and Gitea and Forgejo, which speak its language.
    GitHub,
    /// GitLab CI.
    GitLab,
    /// Jenkins.
    Jenkins,
}

impl System {
    /// Returns the system that goes by this name in a manifest's pipeline, such as `github`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "github" | "gitea" | "forgejo" => Some(Self::GitHub),
            "gitlab" => Some(Self::GitLab),
            "jenkins" => Some(Self::Jenkins),
            _ => None,
        }
    }
}

/// Says whether a command ends in a verdict.
pub fn has_verdict(command: &str) -> bool {
    WITH_VERDICT.contains(&command)
}

/// What a command came to, for the CI system; [`CiReport::new`] and what is known beside.
#[derive(Debug, Clone, Copy)]
pub struct CiReport<'a> {
    /// The command, such as `gate`.
    pub command: &'a str,
    /// The exit code; all but [`ExitCode::Pass`] mean: do not deploy.
    pub exit: ExitCode,
    /// What this command found, refusals first: of `gate` those of its manifest, of `admit` its own.
    pub findings: &'a [Finding],
    /// What a command without findings says of its outcome, such as what `reconcile` observed.
    pub explanation: Option<&'a str>,
    /// The manifest that it wrote or is about.
    pub manifest: Option<&'a Manifest>,
    /// Where the manifest is on this machine, absolute, if it is there.
    pub manifest_file: Option<&'a Path>,
    /// What happened since the manifest was written, oldest first.
    pub events: &'a [EventRecord],
    /// What is known of the manifest's signature; nothing if nobody looked.
    pub signature: Option<&'a str>,
    /// Whether the environment is frozen, as far as the command knows.
    pub standing: Standing<'a>,
    /// What kept the command from a verdict.
    pub error: Option<&'a Error>,
}

impl<'a> CiReport<'a> {
    /// Returns the report of a command of which nothing but the exit code is known.
    pub fn new(command: &'a str, exit: ExitCode) -> Self {
        Self {
            command,
            exit,
            findings: &[],
            explanation: None,
            manifest: None,
            manifest_file: None,
            events: &[],
            signature: None,
            standing: Standing::Unknown,
            error: None,
        }
    }

    /// Returns the report of a command that ended with an error: no verdict, so nothing may be deployed.
    pub fn of_error(command: &'a str, error: &'a Error) -> Self {
        Self { error: Some(error), ..Self::new(command, error.code().exit()) }
    }

    fn passed(&self) -> bool {
        self.exit == ExitCode::Pass
    }

    fn verdict(&self) -> &'static str {
        if self.passed() { "pass" } else { "refuse" }
    }

    fn release_id(&self) -> &str {
        self.manifest.map_or("", |manifest| manifest.id.as_str())
    }

    fn snapshot_ids(&self) -> Vec<&str> {
        let sources = self.manifest.map_or(&[][..], |manifest| &manifest.sources);
        sources.iter().filter_map(|source| source.snapshot.as_ref()).map(|snapshot| snapshot.id.as_str()).collect()
    }

    /// Returns what this command captured; a command that is about an older manifest captured nothing.
    fn captured(&self) -> &'a [SourceRecord] {
        match self.manifest {
            Some(manifest) if matches!(self.command, "gate" | "snapshot" | "guard") => &manifest.sources,
            _ => &[],
        }
    }

    /// Returns why the command ended as it did, in one sentence.
    fn reason(&self) -> Option<String> {
        let refusal = self.findings.iter().find(|finding| finding.level == Level::Refusal);
        match (self.error, refusal) {
            (Some(error), _) => Some(error.chain()),
            (None, Some(finding)) => Some(finding.in_words()),
            (None, None) => self.explanation.map(str::to_owned),
        }
    }

    /// Returns the outcome in one line: the same words that stand at the end of the log.
    fn headline(&self) -> String {
        let reason = self.reason();
        let words = Closing {
            command: self.command,
            has_verdict: self.error.is_none(),
            reason: reason.as_deref(),
            ..Closing::default()
        };
        match closing(self.exit, words) {
            Some([_, last]) => last,
            None => match self.manifest.and_then(|manifest| manifest.decision.overridden.as_ref()) {
                Some(by) if matches!(self.command, "gate" | "guard" | "admit") => {
                    format!("passed BY OVERRIDE of {}: {}", by.approved_by, by.reason)
                }
                _ => "passed".to_owned(),
            },
        }
    }

    /// Returns what is deployed where, if a manifest tells.
    fn subject(&self) -> Option<String> {
        let manifest = self.manifest?;
        Some(format!("{} {} to {}", manifest.application, manifest.release.to.version, manifest.environment.name))
    }
}
