//! What the comparison of a manifest with the running system can come to.

use serde::{Deserialize, Serialize};

/// The outcome of `reconcile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every instance runs the expected version (and commit, where the probe tells it).
    Matched,
    /// Every instance still runs the version that was deployed before.
    Unchanged,
    /// Some instances run the expected version, others the one before.
    Partial,
    /// Something runs that the manifest does not describe.
    Drifted,
    /// The deployed version could not be observed.
    Unknown,
}

/// Which side of a release is expected to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The version that was deployed before the release.
    From,
    /// The version that the release brings.
    To,
}
