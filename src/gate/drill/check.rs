//! The checks of the configuration: questions to the restored data, such as synthetic transactions.

use super::place::{Made, Place, variables};
use crate::cancel::{Cancel, Reason};
use crate::config::{DrillCheck, Question};
use crate::error::{Error, ErrorCode, Result};
use crate::model::drill::{DrillResult, DrilledCheck};
use crate::model::finding::{Finding, FindingCode};
use crate::policy::drill::{expected, is_right};
use crate::process::{Program, run_to_end};
use crate::source::Context;
use std::path::Path;
use std::time::Instant;

/// The most that a program may print as its answer, in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;
/// How many characters of an answer are kept.
const KEPT: usize = 200;

/// Returns the record of a check that was not come to.
pub(super) fn not_tried(check: &DrillCheck) -> DrilledCheck {
    DrilledCheck {
        name: check.name.clone(),
        source: check.source.clone(),
        result: DrillResult::NotTried,
        expected: expected(&check.expectation),
        answer: None,
        seconds: 0.0,
    }
}

/// Asks one question; `directory` is that of the configuration. Returns what came of it, and what is wrong.
///
/// # Errors
/// Only a cancellation.
pub(super) fn ask(
    check: &DrillCheck,
    places: &[Place],
    directory: &Path,
    cancel: &Cancel,
) -> Result<(DrilledCheck, Option<Finding>)> {
    let started = Instant::now();
    let answered = answer(check, places, directory, cancel);
    cancel.check()?;
    let wrong = |why: String| {
        let finding = Finding::refusal(FindingCode::DrillCheckFailed, format!("the check `{}`: {why}", check.name))
            .hint(
                "run the question by hand on the origin and on a restore (holdpoint restore), and mend what is wrong",
            );
        match &check.source {
            Some(source) => finding.of_source(source),
            None => finding,
        }
    };
    let expected = expected(&check.expectation);
    let (answer, finding) = match answered {
        Ok(text) if is_right(&check.expectation, &text) => (Some(text), None),
        Ok(text) => {
            let finding = wrong(format!("the answer is {:?}, and should be {expected}", kept(&text)));
            (Some(text), Some(finding))
        }
        Err(error) => (None, Some(wrong(error.chain()))),
    };
    let result = if finding.is_none() { DrillResult::Passed } else { DrillResult::Failed };
    let (answer, seconds) = (answer.as_deref().map(kept), started.elapsed().as_secs_f64());
    Ok((DrilledCheck { result, answer, seconds, ..not_tried(check) }, finding))
}

/// Returns what is answered, without white space around it.
fn answer(check: &DrillCheck, places: &[Place], directory: &Path, cancel: &Cancel) -> Result<String> {
    let text = match &check.question {
        Question::Sql(question) => {
            let place = places.iter().find(|place| Some(&place.source) == check.source.as_ref());
            match place.map(|place| (&place.made, place)) {
                Some((Made::Isolated(isolated), place)) => within(check, cancel, |cancel| {
                    isolated.ask(&Context { cancel, ..place.context.clone() }, question)
                })?,
                _ => return Err(Error::new(ErrorCode::Usage, "nothing here answers SQL")),
            }
        }
        Question::Command(argv) => {
            let variables = variables(places, check.source.as_deref());
            // A URL may hold the password of a server that was given.
            let is_secret = |name: &str, value: &str| value.contains("://") || name.contains("PASSWORD");
            let secret = variables.iter().filter(|(name, value)| is_secret(name, value) && !value.is_empty());
            let secrets: Vec<String> = secret.map(|(_, value)| value.clone()).collect();
            let mut program = Program::new(argv);
            program.directory = Some(directory.to_owned());
            program.env = variables;
            program.secrets.clone_from(&secrets);
            let printed = run_to_end(&program, check.timeout, cancel, LONGEST_ANSWER)?.into_stdout()?;
            let printed = String::from_utf8_lossy(&printed).into_owned();
            secrets.iter().fold(printed, |text, secret| text.replace(secret, "(secret)"))
        }
    };
    Ok(text.trim().to_owned())
}

/// Calls `ask` with a token that is cancelled when the time of the check is over.
fn within<T>(check: &DrillCheck, cancel: &Cancel, ask: impl FnOnce(Cancel) -> Result<T>) -> Result<T> {
    let own = cancel.child();
    let timer = own.after(check.timeout, Reason::Abandoned)?;
    let answered = ask(own.clone());
    drop(timer);
    answered.map_err(|error| match own.is_cancelled() && !cancel.is_cancelled() {
        true => Error::new(ErrorCode::ProcessFailed, format!("no answer within {:?}", check.timeout)),
        false => error,
    })
}

/// Cuts an answer that is too long to be kept.
fn kept(answer: &str) -> String {
    match answer.char_indices().nth(KEPT) {
        Some((end, _)) => format!("{}…", answer.get(..end).unwrap_or_default()),
        None => answer.to_owned(),
    }
}
