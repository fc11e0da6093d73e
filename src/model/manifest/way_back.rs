//! The way back: what is promised, what was measured, the steps, and what must run after a deploy.

use super::DateTime;
use crate::model::reconciliation::Side;
use crate::model::version::Version;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What the environment promises, in seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Objectives {
    /// How old the data may be after a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<u64>,
    /// How long a restore may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto: Option<u64>,
}

/// What was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measured {
    /// How long all captures took together, side by side.
    pub capture_seconds: f64,
    /// How long reading back took.
    pub verify_seconds: f64,
    /// How long a restore would take, by the last drill that passed, else by the speed of reading back; absent if neither
    /// tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_seconds_estimate: Option<f64>,
    /// When a restore of this environment was last practised, and passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub last_drill: Option<Timestamp>,
    /// How long that took, from its beginning to the end of the last check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_drill_seconds: Option<f64>,
}

/// The way back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Playbook {
    /// The way back in one sentence.
    pub summary: String,
    /// Data written after this moment is lost by a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub data_loss_from: Option<Timestamp>,
    /// The commands that do all of it; absent where a part of it is for a person alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<Commands>,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// What a rollback leaves as it is.
    pub not_reverted: Vec<String>,
    /// What must hold before the steps may be taken, such as a schema version.
    #[serde(default)]
    pub requires: BTreeMap<String, String>,
}

impl Playbook {
    /// Returns the command that lets deployments into the environment again.
    pub fn thaw(&self, environment: &str) -> String {
        match &self.commands {
            Some(commands) => commands.thaw.clone(),
            // A NUL is in none of the words: no argument of a program can hold one.
            None => shlex::try_join(["holdpoint", "thaw", "--environment", environment, "--reason", "TEXT"])
                .unwrap_or_default(),
        }
    }
}

/// The way back in one command, ready to copy into a POSIX shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Commands {
    /// Shows what would be done, and does nothing.
    pub plan: String,
    /// Does it.
    pub rollback: String,
    /// Lets deployments in again, once all is well.
    pub thaw: String,
}

/// One step of the way back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Its place, from 1.
    pub order: u32,
    /// The source that it restores, if it restores one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What it does, in words.
    pub action: String,
    /// The command to run, ready to copy into a POSIX shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether it overwrites or deletes something.
    pub destructive: bool,
    /// How long it takes, by what was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate_seconds: Option<f64>,
}

/// What `reconcile` compares with the running system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reconciliation {
    /// The side of the release that should run after the deploy.
    pub expected: Side,
    /// Every version text that counts as the expected one.
    pub accept: Vec<Version>,
}
