//! The checks of the configuration: questions to the restored data, such as synthetic transactions.

use super::super::rollback::restorable;
use super::Request;
use super::place::{Made, Place, variables};
use super::run::Run;
use crate::cancel::{Cancel, Reason};
use crate::config::{DrillCheck, Question};
use crate::error::{Error, ErrorCode, Result};
use crate::model::drill::{DrillResult, DrilledCheck};
use crate::model::finding::{Finding, FindingCode};
use crate::policy::drill::{expected, is_right};
use crate::process::{Program, run_to_end};
use crate::source::Context;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use url::Url;

/// The most that a program may print as its answer, in bytes.
const LONGEST_ANSWER: u64 = 1 << 20;
/// How many characters of a wrong answer are kept.
const KEPT: usize = 200;
/// The longest right answer that is kept: restored data have no business in a record.
const KEPT_IF_RIGHT: usize = 64;
/// What stands for a secret.
const MASK: &str = "(secret)";

impl Run<'_> {
    /// Asks the checks of the configuration, one after another.
    pub(super) fn ask(&self, places: &[Place]) -> Result<()> {
        for check in checks(self.request) {
            self.cancel.check()?;
            if let Some(finding) = self.in_the_way(check, places) {
                self.find([finding]);
                continue;
            }
            let (checked, finding) = ask(check, places, &self.request.directory, self.cancel)?;
            let record = finding.as_ref().and_then(|finding| finding.source.as_ref());
            let sources = &self.request.given.manifest.sources;
            let is_required = |name: &String| sources.iter().any(|one| one.name == *name && one.required);
            let required = record.is_none_or(is_required);
            self.find(finding.map(|finding| if required { finding } else { finding.softened() }));
            self.draft(|draft| {
                if let Some(known) = draft.checks.iter_mut().find(|known| known.name == checked.name) {
                    *known = checked;
                }
            });
        }
        Ok(())
    }

    /// Says why a check cannot be asked, if it cannot: then it stays not tried.
    fn in_the_way(&self, check: &DrillCheck, places: &[Place]) -> Option<Finding> {
        let manifest = &self.request.given.manifest;
        let is_there = |name: &String| places.iter().any(|place| place.source == *name && place.is_restored);
        let why = |words: String| format!("the check `{}` was not asked: {words}", check.name);
        let Some(name) = &check.source else {
            let missing = restorable(manifest).find(|source| !is_there(&source.name))?;
            let why = why(format!("it looks at all sources, and {} was not restored as it should be", missing.name));
            let finding = Finding::refusal(FindingCode::DrillCheckFailed, why)
                .hint("mend the restore of that source, or let the check name the `source` that it looks at");
            // What refuses already says what is to be done.
            return Some(if self.refuses() { finding.softened() } else { finding });
        };
        if is_there(name) {
            return None;
        }
        let is_known = manifest.sources.iter().any(|source| source.name == *name);
        let finding = match is_known {
            true => Finding::warning(FindingCode::DrillCheckFailed, why(format!("{name} was not restored"))),
            false => Finding::refusal(FindingCode::DrillCheckFailed, why(format!("the release has no source {name}"))),
        };
        Some(finding.of_source(name))
    }
}

/// Returns the checks of the configuration that are for this environment.
pub(super) fn checks(request: &Request) -> impl Iterator<Item = &DrillCheck> {
    let environment = &request.given.manifest.environment.name;
    let is_for = move |check: &&DrillCheck| check.environments.as_ref().is_none_or(|names| names.contains(environment));
    request.config.drill.checks.iter().filter(is_for)
}

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
fn ask(
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
    let secrets = secrets(&variables(places, check.source.as_deref()));
    let masked = |text: &str| secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK));
    let (answer, finding) = match answered {
        Ok(text) if is_right(&check.expectation, &text) => {
            (Some(masked(&text)).filter(|text| text.chars().count() <= KEPT_IF_RIGHT), None)
        }
        Ok(text) => {
            let text = kept(&masked(&text));
            let finding = wrong(format!("the answer is {text:?}, and should be {expected}"));
            (Some(text), Some(finding))
        }
        Err(error) => (None, Some(wrong(masked(&error.chain())))),
    };
    let result = if finding.is_none() { DrillResult::Passed } else { DrillResult::Failed };
    let seconds = started.elapsed().as_secs_f64();
    Ok((DrilledCheck { result, answer, seconds, ..not_tried(check) }, finding))
}

/// Returns what may not be shown of the variables of a check: URLs, passwords, and the passwords in URLs. The longest
/// first, so that none is masked in part.
fn secrets(variables: &BTreeMap<String, String>) -> Vec<String> {
    let mut secrets = Vec::new();
    for (name, value) in variables {
        let parsed = Url::parse(value.trim()).ok().filter(|_| value.contains("://"));
        let name = name.to_ascii_uppercase();
        if parsed.is_some() || value.contains("://") || ["PASSWORD", "PASSWD", "PWD"].iter().any(|it| name.contains(it))
        {
            secrets.push(value.clone());
        }
        let in_query = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
            name.to_ascii_lowercase().contains("password").then(|| value.into_owned())
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        if let Some(url) = parsed {
            secrets.extend(url.password().into_iter().flat_map(|password| [password.to_owned(), decoded(password)]));
            secrets.extend(url.query_pairs().filter_map(in_query));
        }
    }
    secrets.retain(|secret| !secret.is_empty());
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    secrets
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
            let mut program = Program::new(argv);
            program.directory = Some(directory.to_owned());
            program.secrets = secrets(&variables);
            program.env = variables;
            let printed = run_to_end(&program, check.timeout, cancel, LONGEST_ANSWER)?.into_stdout()?;
            String::from_utf8_lossy(&printed).into_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_urls_are_secrets_wherever_they_stand() {
        let of = |pairs: &[(&str, &str)]| {
            secrets(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        let url = "postgres://u:p%40ss@db/shop?sslpassword=key";
        assert_eq!(of(&[("HOLDPOINT_DRILL_URL", url), ("PGHOST", "db")]), [url, "p%40ss", "p@ss", "key"]);
        assert_eq!(of(&[("MYSQL_PWD", "one"), ("PGPASSWORD", "three"), ("PGPORT", "5432")]), ["three", "one"]);
        assert_eq!(of(&[("MYSQL_PWD", "")]), [""; 0]);
    }
}
