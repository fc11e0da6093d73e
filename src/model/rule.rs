//! A rule of the policy, and what came of it: so that a decision can be followed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One rule that was asked, what it looked at, and what it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Its name as the configuration would name it, such as `policy.patch.scope`.
    pub name: String,
    /// The source that it is about, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What it looked at, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, String>,
    /// What it decided, in one sentence.
    pub outcome: String,
    /// Whether it decided anything; one that did not apply is shown by `plan` only.
    pub fired: bool,
}

impl Rule {
    /// Creates a rule that decided something.
    pub fn fired(name: impl Into<String>, outcome: impl Into<String>) -> Self {
        Self { name: name.into(), source: None, inputs: BTreeMap::new(), outcome: outcome.into(), fired: true }
    }

    /// Creates a rule that was asked and did not apply.
    pub fn passed_over(name: impl Into<String>, outcome: impl Into<String>) -> Self {
        Self { fired: false, ..Self::fired(name, outcome) }
    }

    /// Names the source that the rule is about.
    #[must_use]
    pub fn of_source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says what the rule looked at.
    #[must_use]
    pub fn saw(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.inputs.insert(name.into(), value.into());
        self
    }
}
