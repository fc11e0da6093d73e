//! The one JSON document of `--format json`: the same shape for every command, also on failure.

use crate::error::{Error, ExitCode};
use crate::model::finding::Finding;
use crate::model::manifest::{Manifest, State};
use crate::model::release_id::ReleaseId;
use crate::model::verdict::Verdict;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The schema of [`VerdictDocument`] that this program writes.
pub const SCHEMA_VERSION: u32 = 1;

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictDocument {
    /// The major version of this schema.
    pub schema_version: u32,
    /// The command, such as `gate`.
    pub command: String,
    /// Whether the deploy may go on.
    pub verdict: Answer,
    /// The exit code of the process; all but 0 mean: do not deploy.
    pub exit_code: u8,
    /// The release, once the run has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ReleaseId>,
    /// How the run ended, if it came to a manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// The path of the manifest, if one was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Every finding, refusals first.
    pub findings: Vec<Finding>,
    /// Why there is no verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorDocument>,
}

/// Whether the deploy may go on, or that nothing was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Go on.
    Pass,
    /// Do not deploy.
    Refuse,
    /// Nothing was decided: do not deploy.
    None,
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Refuse => Self::Refuse,
        }
    }
}

/// An error, as data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorDocument {
    /// The stable code of `docs/errors.md`.
    pub code: String,
    /// What happened to what.
    pub message: String,
    /// What is behind it, the nearest first.
    pub causes: Vec<String>,
    /// What to do next.
    pub hints: Vec<String>,
}

impl VerdictDocument {
    /// Describes a run that came to a manifest; `path` is where the manifest was written.
    pub fn of_manifest(command: &str, manifest: &Manifest, path: Option<String>) -> Self {
        Self {
            verdict: manifest.decision.result.into(),
            exit_code: manifest.decision.exit_code,
            id: Some(manifest.id.clone()),
            state: Some(manifest.state),
            manifest: path,
            findings: manifest.decision.findings.clone(),
            ..Self::without_verdict(command, ExitCode::Pass)
        }
    }

    /// Describes findings that are about no manifest, as of `doctor`.
    pub fn of_findings(command: &str, findings: Vec<Finding>) -> Self {
        let (verdict, exit) = Verdict::of(&findings);
        Self { verdict: verdict.into(), findings, ..Self::without_verdict(command, exit) }
    }

    /// Describes a command that ended with an error.
    pub fn of_error(command: &str, error: &Error) -> Self {
        let mut causes = Vec::new();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            causes.push(inner.to_string());
            cause = inner.source();
        }
        let document = ErrorDocument {
            code: error.code().as_str().to_owned(),
            message: error.message().to_owned(),
            causes,
            hints: error.hints().to_vec(),
        };
        Self { error: Some(document), ..Self::without_verdict(command, error.code().exit()) }
    }

    /// Describes a command that decides nothing.
    pub fn without_verdict(command: &str, exit: ExitCode) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            command: command.to_owned(),
            verdict: Answer::None,
            exit_code: exit.number(),
            id: None,
            state: None,
            manifest: None,
            findings: Vec::new(),
            error: None,
        }
    }

    /// Returns the document as it is printed: indented JSON with a final newline.
    ///
    /// # Errors
    /// A value that JSON cannot hold; no document of ours has one.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|json| json + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn an_error_is_a_document_too() {
        let error = Error::new(ErrorCode::WrongPassword, "the password does not open /s/repository")
            .caused_by(std::io::Error::other("no key fits"))
            .hint("set HOLDPOINT_PASSWORD");
        let document = VerdictDocument::of_error("gate", &error);
        insta::assert_snapshot!(document.to_json().unwrap(), @r#"
        {
          "schema_version": 1,
          "command": "gate",
          "verdict": "none",
          "exit_code": 10,
          "findings": [],
          "error": {
            "code": "wrong-password",
            "message": "the password does not open /s/repository",
            "causes": [
              "no key fits"
            ],
            "hints": [
              "set HOLDPOINT_PASSWORD"
            ]
          }
        }
        "#);
    }
}
