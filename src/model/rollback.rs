//! A rollback, before it is done and while it is: what is there to do, in which order, and how far it came.

use super::finding::Finding;
use super::manifest::Instance;
use super::release_id::ReleaseId;
use super::version::Version;
use super::way::{SourceLoss, Way, WayKind};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the message of a step begins that was to verify something and had nothing to compare: the step is done, and whoever
/// shows it warns.
pub const NOT_VERIFIED: &str = "not verified: ";

/// How far a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It was begun; without one of the others after it, it was interrupted.
    Started,
    /// It is done, and is not done again.
    Done,
    /// It failed.
    Failed,
}

impl StepState {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// What a rollback will do, and what is known of it before.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollbackPlan {
    /// The release that is undone.
    pub id: ReleaseId,
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// The version that is undone.
    pub undone: Version,
    /// The version to go back to; absent if none was deployed before, or none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_to: Option<Version>,
    /// Its commit, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_to_commit: Option<String>,
    /// What was observed, in one sentence.
    pub observed: String,
    /// What each instance answered.
    pub instances: Vec<Instance>,
    /// When the rollback began that this one goes on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumes: Option<Timestamp>,
    /// Data written after this moment is lost; absent if nothing is, or if nobody knows the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_loss_from: Option<Timestamp>,
    /// How long all restores take together, in seconds, as far as the manifest can tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate_seconds: Option<f64>,
    /// The way that the steps go.
    pub way: WayKind,
    /// What a restore of each source loses.
    pub lost: Vec<SourceLoss>,
    /// Every way back, weighed; the recommended one first.
    pub ways: Vec<Way>,
    /// What there is to do, in order.
    pub steps: Vec<RollbackStep>,
    /// What stays as it is.
    pub not_reverted: Vec<String>,
    /// What speaks against it, or is to be known before.
    pub findings: Vec<Finding>,
}

/// One step of a rollback.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RollbackStep {
    /// Its name, under which the ledger records it.
    pub step: String,
    /// What it does, in words.
    pub action: String,
    /// What it is.
    #[serde(skip)]
    pub task: Task,
    /// Who answers for what it restores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whether it overwrites something.
    pub destructive: bool,
    /// How long it takes, in seconds, by what was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate_seconds: Option<f64>,
    /// Who says so, such as `measured by the drill of 2026-11-20`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_by: Option<String>,
    /// How far it is; absent if it was not begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StepState>,
}

/// A step as it was planned when the rollback began: what the record of a rollback says of what is still to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedStep {
    /// Its name.
    pub step: String,
    /// What it does, in words.
    pub action: String,
    /// Who answers for what it restores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Whether it overwrites something.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destructive: bool,
    /// How long it takes, in seconds, by what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_seconds: Option<f64>,
}

/// What a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Saves the present state.
    Safety,
    /// Runs a program that stops what writes, or starts it again.
    Hook(Vec<String>),
    /// Restores the source of this name.
    Restore(String),
    /// Looks at the restored source of this name, and compares it with its snapshot.
    Verify(String),
    /// Runs the program that takes the schema back.
    Migrate(Vec<String>),
    /// Looks whether the schema of the source of this name is one that the older version runs on.
    VerifySchema(String),
    /// Runs the program that deploys the older version.
    Redeploy(Vec<String>),
    /// Looks whether the older version runs.
    Reconcile,
}

impl Task {
    /// Says whether it runs a program of the configuration, whose arguments and words are nobody's business outside.
    pub fn runs_a_program(&self) -> bool {
        match self {
            Self::Hook(_) | Self::Migrate(_) | Self::Redeploy(_) => true,
            Self::Safety | Self::Restore(_) | Self::Verify(_) | Self::VerifySchema(_) | Self::Reconcile => false,
        }
    }
}

impl RollbackPlan {
    /// Returns the way that is recommended, if it is another one than this plan goes.
    pub fn better(&self) -> Option<&Way> {
        self.ways.iter().find(|way| way.recommended && way.way != self.way)
    }
}

impl RollbackStep {
    /// Creates a step that was not begun, overwrites nothing, and of which nobody knows how long it takes.
    pub fn new(step: &str, action: &str, task: Task) -> Self {
        Self {
            step: step.to_owned(),
            action: action.to_owned(),
            task,
            owner: None,
            destructive: false,
            estimate_seconds: None,
            estimated_by: None,
            state: None,
        }
    }

    /// Returns the step without what only the running rollback knows.
    pub fn planned(&self) -> PlannedStep {
        PlannedStep {
            step: self.step.clone(),
            action: self.action.clone(),
            owner: self.owner.clone(),
            destructive: self.destructive,
            estimate_seconds: self.estimate_seconds,
        }
    }

    /// Returns what it does in words without the command: its arguments are nobody's business outside of the place where
    /// it runs.
    pub fn in_words(&self) -> &str {
        match self.task.runs_a_program() {
            false => &self.action,
            // A command stands after the words.
            true => self.action.split(": ").next().unwrap_or_default(),
        }
    }

    /// Says whether it is done.
    pub fn is_done(&self) -> bool {
        self.state == Some(StepState::Done)
    }
}
