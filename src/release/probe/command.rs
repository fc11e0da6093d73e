//! Asks a program.

use super::answer::Answer;
use super::{Answered, RunCommand, blocking};
use crate::cancel::Cancel;
use crate::error::Result;
use crate::release::shell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Runs a program whose standard output is the answer.
///
/// # Errors
/// The run was cancelled.
pub(super) async fn ask(
    command: &[String],
    variables: BTreeMap<String, String>,
    timeout: Duration,
    cancel: &Cancel,
    runner: &Arc<RunCommand>,
) -> Result<Answered> {
    let name = shell::line(command);
    let (command, token, runner) = (command.to_owned(), cancel.clone(), runner.clone());
    // Cancelled or not, the runner is waited for: it stops the program that it started.
    let output = blocking(move || runner(&command, &variables, timeout, &token)).await?;
    cancel.check()?;
    Ok((name, output.map(Answer::of_text).map_err(|error| error.chain())))
}
