//! Status lines: what people elsewhere are told while something happens, one event a line.

use super::release_id::ReleaseId;
use super::version::Version;
use jiff::Timestamp;
use serde::Serialize;

/// The schema of a status line as JSON.
pub const STATUS_SCHEMA_VERSION: u32 = 1;

/// One status line. It holds no secrets: no commands of the configuration, whose arguments may be some.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusLine {
    /// [`STATUS_SCHEMA_VERSION`].
    pub schema_version: u32,
    /// What it is about, such as `rollback`.
    pub event: &'static str,
    /// What happened.
    pub status: Status,
    /// When.
    pub at: Timestamp,
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// The release that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// The version that is undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undone: Option<Version>,
    /// The version to go back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_to: Option<Version>,
    /// The version that is to be deployed, or is expected to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The exit code of the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
    /// The codes of what refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<&'static str>,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Which step, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// How many steps there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<usize>,
    /// What the step does, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Who answers for what the step restores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How long the step takes, or, of a beginning, everything; in seconds, by what was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate_seconds: Option<f64>,
    /// Data written after this moment is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_loss_from: Option<Timestamp>,
    /// Why it failed, or why it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The command to run next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The run of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_url: Option<String>,
    /// All of it in one line, for people.
    pub text: String,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It began, or is gone on with.
    Started,
    /// A step began.
    Step,
    /// A step failed.
    StepFailed,
    /// It is done.
    Done,
    /// It ended before it was done.
    Failed,
    /// The environment is frozen.
    Frozen,
    /// The environment is not frozen any more.
    Thawed,
    /// The release may be deployed.
    Passed,
    /// It may not.
    Refused,
    /// A person took it upon themselves that it may.
    Overridden,
    /// What runs is not what should run.
    Drifted,
    /// What runs is what should run.
    Matched,
}
