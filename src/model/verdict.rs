//! The verdict: computed once, from all findings.

use super::finding::{Finding, Level};
use crate::error::ExitCode;
use serde::{Deserialize, Serialize};

/// Whether the deploy may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Go on.
    Pass,
    /// Do not deploy.
    Refuse,
}

impl Verdict {
    /// Computes the verdict and the exit code that tells it.
    pub fn of(findings: &[Finding]) -> (Self, ExitCode) {
        let refusals = findings.iter().filter(|finding| finding.level == Level::Refusal);
        match ExitCode::first_of(refusals.map(|finding| finding.code.exit())) {
            ExitCode::Pass => (Self::Pass, ExitCode::Pass),
            exit => (Self::Refuse, exit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::FindingCode;
    use super::*;

    #[test]
    fn one_refusal_refuses_and_the_first_code_wins() {
        let shrank = Finding::refusal(FindingCode::SizeShrank, "x");
        let failed = Finding::refusal(FindingCode::SourceFailed, "x");
        let unsigned = Finding::warning(FindingCode::Unsigned, "x");
        assert_eq!(Verdict::of(&[]), (Verdict::Pass, ExitCode::Pass));
        assert_eq!(Verdict::of(std::slice::from_ref(&unsigned)), (Verdict::Pass, ExitCode::Pass));
        assert_eq!(Verdict::of(&[unsigned, shrank, failed]), (Verdict::Refuse, ExitCode::SnapshotFailed));
    }
}
