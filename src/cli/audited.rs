//! What every command does with the lines of its audit: says what is missing of them, and ends accordingly.

use super::output;
use crate::error::{ExitCode, Result};
use crate::gate::audit::unwritten;
use crate::model::finding::{Finding, Level};

/// Says what nobody took; returns the exit code of a command that would end with `exit`: one that did what was asked and
/// has no line is no success, and what failed by itself says more.
pub fn exit(exit: ExitCode, written: Result<Vec<Finding>>) -> ExitCode {
    let found = written.unwrap_or_else(|error| vec![unwritten(&error)]);
    warn(&found);
    let refusal = found.iter().find(|finding| finding.level == Level::Refusal);
    match refusal {
        Some(finding) if exit == ExitCode::Pass => finding.code.exit(),
        _ => exit,
    }
}

/// Says what nobody took, as warnings.
pub fn warn(found: &[Finding]) {
    for finding in found {
        output::note(&format!("warning: {}", finding.message));
        if let Some(hint) = &finding.hint {
            output::note(&format!("hint: {hint}"));
        }
    }
}
