//! The audit: who did what, when, why and with which outcome, one line each, chained by hash.

use super::release_id::ReleaseId;
use super::version::Version;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema of a line that this program writes, and the newest that it reads.
pub const AUDIT_SCHEMA_VERSION: u32 = 1;

/// Lines of one folder in the store: a page of a listing.
pub const LINES_OF_A_FOLDER: u64 = 1000;

/// The longest reason of a line, in characters: what a receiver of syslog must take is not much more.
const LONGEST_REASON: usize = 1000;
/// How many finding codes a line names at most.
const MOST_CODES: usize = 32;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A release was judged before its deployment.
    Gate,
    /// The sources were captured outside of a deployment.
    Snapshot,
    /// The state before a rollback was saved.
    SafetySnapshot,
    /// Refusals were overridden by a person.
    Override,
    /// A person approved a release.
    Approve,
    /// The deploy step asked whether it may deploy.
    Admit,
    /// The command that deploys was run under guard.
    Guard,
    /// A manifest was compared with what runs.
    Reconcile,
    /// A source was restored.
    Restore,
    /// A release was rolled back.
    Rollback,
    /// A restore was practised.
    Drill,
    /// The environment was frozen.
    Freeze,
    /// The environment was thawed.
    Thaw,
    /// A release was kept from being pruned, or that was lifted.
    Hold,
    /// Old snapshots were removed.
    Prune,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 15] = [
        Self::Gate,
        Self::Snapshot,
        Self::SafetySnapshot,
        Self::Override,
        Self::Approve,
        Self::Admit,
        Self::Guard,
        Self::Reconcile,
        Self::Restore,
        Self::Rollback,
        Self::Drill,
        Self::Freeze,
        Self::Thaw,
        Self::Hold,
        Self::Prune,
    ];

    /// Returns the word for it in a line, such as `safety_snapshot`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Snapshot => "snapshot",
            Self::SafetySnapshot => "safety_snapshot",
            Self::Override => "override",
            Self::Approve => "approve",
            Self::Admit => "admit",
            Self::Guard => "guard",
            Self::Reconcile => "reconcile",
            Self::Restore => "restore",
            Self::Rollback => "rollback",
            Self::Drill => "drill",
            Self::Freeze => "freeze",
            Self::Thaw => "thaw",
            Self::Hold => "hold",
            Self::Prune => "prune",
        }
    }

    /// Says whether a line of it stands for a manifest of the ledger.
    pub fn has_manifest(self) -> bool {
        matches!(self, Self::Gate | Self::Snapshot | Self::SafetySnapshot)
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It began; another line says how it ended.
    Began,
    /// It was judged, and may go on.
    Passed,
    /// It was judged, and may not go on.
    Refused,
    /// It is done.
    Done,
    /// It failed.
    Failed,
}

impl Outcome {
    /// Returns the word for it in a line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Began => "began",
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Says whether nobody has to look.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Began | Self::Passed | Self::Done)
    }
}

/// A place in the chain of lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditLink {
    /// The number of the line; 0 before the first.
    pub number: u64,
    /// The digest of the line, `sha256:…`; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl AuditLink {
    /// Returns the number of the folder that the line is in, of a thousand lines each; `None` before the first line.
    pub fn folder(&self) -> Option<u64> {
        (self.number > 0).then_some(self.number / LINES_OF_A_FOLDER)
    }
}

/// One line of the audit. It holds no secrets: no commands of the configuration, no addresses with passwords.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditLine {
    /// The major version of this schema.
    pub schema_version: u32,
    /// Its number in the environment, from 1 without a gap.
    pub number: u64,
    /// The digest of the line before it, `sha256:…`; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// When it was done.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What was done.
    pub action: Action,
    /// What came of it.
    pub outcome: Outcome,
    /// The exit code of the command; absent of what only began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// The release that it was done to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// The digest of the manifest or event that says more, `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The version of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The commit of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Who did it: the actor of the pipeline, or the user of the machine.
    pub by: String,
    /// The run of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_url: Option<String>,
    /// Why: the reason that was given, or what refused or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The codes of what refused, or would have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
    /// What else there is to know, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
    /// The version of the program that wrote the line.
    pub tool_version: String,
}

impl AuditLine {
    /// Creates a line of what `by` did now, which has no place in the chain yet.
    pub fn new(action: Action, outcome: Outcome, (application, environment): (&str, &str), by: &str) -> Self {
        Self {
            schema_version: AUDIT_SCHEMA_VERSION,
            number: 0,
            previous: None,
            at: Timestamp::now(),
            action,
            outcome,
            exit_code: None,
            application: application.to_owned(),
            environment: environment.to_owned(),
            release: None,
            record: None,
            version: None,
            commit: None,
            by: by.to_owned(),
            run_url: None,
            why: None,
            codes: Vec::new(),
            details: BTreeMap::new(),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Says when it was done, if that is not now.
    #[must_use]
    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = at;
        self
    }

    /// Names the release.
    #[must_use]
    pub fn of(mut self, release: &ReleaseId) -> Self {
        self.release = Some(release.clone());
        self
    }

    /// Says how the command ends.
    #[must_use]
    pub fn exits(mut self, code: u8) -> Self {
        self.exit_code = Some(code);
        self
    }

    /// Says why; nothing if there is no reason. What is longer than a thousand characters is cut.
    #[must_use]
    pub fn why(mut self, why: Option<impl Into<String>>) -> Self {
        self.why = why.map(Into::into).map(|why: String| match why.char_indices().nth(LONGEST_REASON) {
            Some((end, _)) => format!("{}…", why.get(..end).unwrap_or_default()),
            None => why,
        });
        self
    }

    /// Names the codes of what refused.
    #[must_use]
    pub fn codes<'a>(mut self, codes: impl IntoIterator<Item = &'a str>) -> Self {
        for code in codes {
            if self.codes.len() < MOST_CODES && !self.codes.iter().any(|known| known == code) {
                self.codes.push(code.to_owned());
            }
        }
        self
    }

    /// Adds what else there is to know.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<String>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// Returns the line as it is stored: JSON without a line break, and a final one.
    ///
    /// # Errors
    /// A value that JSON cannot hold; no line of ours has one.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut json = serde_json::to_vec(self)?;
        json.push(b'\n');
        Ok(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_whatever_it_says() {
        let line = AuditLine::new(Action::Freeze, Outcome::Done, ("shop", "staging"), "ada\nbob")
            .why(Some("x".repeat(LONGEST_REASON) + "é\nsecond line"))
            .codes(["frozen", "frozen"]);
        let json = String::from_utf8(line.to_json().unwrap()).unwrap();
        assert_eq!(json.matches('\n').count(), 1);
        assert!(json.ends_with("}\n"));
        assert_eq!(line.why.as_ref().unwrap().chars().count(), LONGEST_REASON + 1);
        assert_eq!(line.codes, ["frozen"]);
        assert_eq!(serde_json::from_str::<AuditLine>(&json).unwrap(), line);
    }

    #[test]
    fn every_action_is_the_word_that_is_written() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
    }
}
