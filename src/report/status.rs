//! A rollback, or a freeze, in status lines: for people who are not where it runs.

use super::units::{counted, duration, plain};
use crate::error::Error;
use crate::ledger::freeze::Freeze;
use crate::model::rollback::{RollbackPlan, RollbackStep, StepState};
use crate::model::status::{STATUS_SCHEMA_VERSION, Status, StatusLine};
use crate::model::version::Version;
use crate::model::way::WayKind;
use jiff::Timestamp;

/// The longest reason in characters: the log of the run has all of it.
const LONGEST: usize = 300;

/// What every line of a rollback says.
#[derive(Debug, Clone, Copy)]
pub struct Teller<'a> {
    /// Who rolls back.
    pub by: &'a str,
    /// The run of the pipeline.
    pub run_url: Option<&'a str>,
}

impl Teller<'_> {
    /// The rollback began, or is gone on with.
    pub fn began(&self, plan: &RollbackPlan) -> StatusLine {
        let left = plan.steps.iter().filter(|step| !step.is_done()).count();
        let verb = if plan.resumes.is_some() { "is gone on with" } else { "started" };
        let steps = counted(left as u64, "step");
        let takes = plan.estimate_seconds.map(|seconds| format!(", about {} for the restores", duration(seconds)));
        let lost = match (plan.way, plan.data_loss_from) {
            (WayKind::FullRestore, Some(from)) => format!("what was written since {} is lost", second(from)),
            (WayKind::FullRestore, None) => "since when data is lost is unknown".to_owned(),
            (WayKind::DownMigration, _) => "what the migration drops is lost".to_owned(),
            _ => "no data is lost".to_owned(),
        };
        let text = format!(
            "{}rollback of {}{} by {} {verb} by {}: {steps} to do{}; {lost}; {} (release {})",
            place(plan),
            plan.undone,
            back_to(plan.back_to.as_ref()),
            plan.way,
            self.by,
            takes.unwrap_or_default(),
            plan.observed,
            plan.id
        );
        StatusLine {
            of: Some(plan.steps.len()),
            estimate_seconds: plan.estimate_seconds,
            data_loss_from: plan.data_loss_from,
            reason: Some(plain(&plan.observed)),
            ..self.line(plan, Status::Started, text)
        }
    }

    /// A step came to the state that it has in the plan; nothing is told of one that is done, since the next one is.
    pub fn stepped(&self, plan: &RollbackPlan, number: usize) -> Option<StatusLine> {
        let step = plan.steps.get(number)?;
        let words = format!("step {} of {}", number + 1, plan.steps.len());
        let action = step.in_words();
        let (status, text) = match step.state? {
            StepState::Started => {
                let owner = step.owner.as_ref().map(|owner| format!(", by {owner}")).unwrap_or_default();
                let takes = step.estimate_seconds.map(|seconds| format!(", about {}", duration(seconds)));
                (Status::Step, format!("{}{words}: {action}{owner}{}", place(plan), takes.unwrap_or_default()))
            }
            StepState::Failed => (Status::StepFailed, format!("{}{words} failed: {action}", place(plan))),
            StepState::Done => return None,
        };
        Some(StatusLine {
            step: Some(number + 1),
            of: Some(plan.steps.len()),
            action: Some(plain(action)),
            owner: step.owner.as_deref().map(plain),
            estimate_seconds: step.estimate_seconds,
            ..self.line(plan, status, text)
        })
    }

    /// The rollback ended: with an error, at the step of the plan that it stopped at, or done. `next` is the command that goes on with it, or that thaws.
    pub fn ended(
        &self,
        plan: &RollbackPlan,
        freeze: Option<&Freeze>,
        error: Option<(Option<usize>, &Error)>,
        next: &str,
    ) -> StatusLine {
        let frozen = match freeze {
            Some(_) => format!("{} stays frozen", plan.environment),
            None => format!("{} is not frozen by it", plan.environment),
        };
        let Some((stopped, error)) = error else {
            let runs = match &plan.back_to {
                Some(version) => format!("back to {version}"),
                None => "the data is as it was before".to_owned(),
            };
            let text = format!("{}{} is undone, {runs}; {frozen}; when all is well: {next}", place(plan), plan.undone);
            return StatusLine { next: Some(next.to_owned()), ..self.line(plan, Status::Done, text) };
        };
        let step = stopped.and_then(|number| plan.steps.get(number));
        let why = why(step, error);
        let at = stopped.map(|number| format!(" at step {} of {}", number + 1, plan.steps.len())).unwrap_or_default();
        let text =
            format!("{}rollback of {} stopped{at}: {why}; {frozen}; go on with: {next}", place(plan), plan.undone);
        StatusLine {
            step: stopped.map(|number| number + 1),
            of: Some(plan.steps.len()),
            action: step.map(|step| plain(step.in_words())),
            owner: step.and_then(|step| step.owner.as_deref().map(plain)),
            reason: Some(why),
            next: Some(next.to_owned()),
            ..self.line(plan, Status::Failed, text)
        }
    }

    fn line(&self, plan: &RollbackPlan, status: Status, text: String) -> StatusLine {
        StatusLine {
            release: Some(plan.id.clone()),
            undone: Some(plan.undone.clone()),
            back_to: plan.back_to.clone(),
            by: Some(plain(self.by)),
            run_url: self.run_url.map(str::to_owned),
            ..bare("rollback", status, (&plan.application, &plan.environment), &text)
        }
    }
}

/// An environment was frozen by a person, or, where `thawed` says by whom and why, thawed.
pub fn freeze(place: (&str, &str), freeze: &Freeze, thawed: Option<(&str, &str)>, run_url: Option<&str>) -> StatusLine {
    let (application, environment) = place;
    let (status, by, reason, text) = match thawed {
        None => (Status::Frozen, freeze.by.as_str(), freeze.reason.as_str(), format!("{environment} is {freeze}")),
        Some((by, reason)) => {
            (Status::Thawed, by, reason, format!("{environment} is thawed by {by}: {reason}; it was {freeze}"))
        }
    };
    StatusLine {
        by: Some(plain(by)),
        reason: Some(plain(reason)),
        run_url: run_url.map(str::to_owned),
        ..bare("freeze", status, place, &format!("{application} {text}"))
    }
}

/// Returns a line that says where, what and when.
pub(super) fn bare(
    event: &'static str,
    status: Status,
    (application, environment): (&str, &str),
    text: &str,
) -> StatusLine {
    StatusLine {
        schema_version: STATUS_SCHEMA_VERSION,
        event,
        status,
        at: Timestamp::now(),
        application: plain(application),
        environment: plain(environment),
        release: None,
        undone: None,
        back_to: None,
        version: None,
        exit_code: None,
        codes: Vec::new(),
        by: None,
        step: None,
        of: None,
        action: None,
        owner: None,
        estimate_seconds: None,
        data_loss_from: None,
        reason: None,
        next: None,
        run_url: None,
        text: plain(text),
    }
}

/// Says why a step failed. Of a program that the configuration names, neither its arguments nor its words are passed on.
fn why(step: Option<&RollbackStep>, error: &Error) -> String {
    if let Some(step) = step.filter(|step| step.task.runs_a_program()) {
        let what = match step.state {
            _ if error.is_cancelled() => "it was cancelled",
            Some(StepState::Failed) => "its program failed",
            // What came before the program or after it may name it, too.
            _ => "it could not be begun, or how it ended could not be recorded",
        };
        return format!("{what}; the log of the run says more");
    }
    let text = plain(&error.chain());
    short(text)
}

/// Cuts what is longer than [`LONGEST`].
pub(super) fn short(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn place(plan: &RollbackPlan) -> String {
    format!("{} {}: ", plan.application, plan.environment)
}

fn back_to(version: Option<&Version>) -> String {
    version.map(|version| format!(" to {version}")).unwrap_or_default()
}

fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::error::ErrorCode;

    const TELLER: Teller<'static> = Teller { by: "ada", run_url: Some("https://ci.example/1") };
    const NEXT: &str = "holdpoint rollback --id x";

    fn told(state: [Option<StepState>; 3]) -> RollbackPlan {
        let mut plan = sample::plan();
        for (step, state) in plan.steps.iter_mut().zip(state) {
            step.state = state;
        }
        plan
    }

    #[test]
    fn a_rollback_is_told_from_its_beginning_to_its_end() {
        let (started, done) = (Some(StepState::Started), Some(StepState::Done));
        let freeze =
            Freeze { reason: String::new(), by: String::new(), at: Timestamp::UNIX_EPOCH, until: None, release: None };
        let lines = [
            Some(TELLER.began(&told([None; 3]))),
            TELLER.stepped(&told([done, started, None]), 1),
            TELLER.stepped(&told([done, done, None]), 1),
            Some(TELLER.ended(&told([done; 3]), Some(&freeze), None, "holdpoint thaw")),
        ];
        let texts: Vec<_> = lines.iter().flatten().map(|line| line.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "shop production: rollback of 1.4.0 to 1.3.0 by full-restore started by ada: 3 steps to do, about 41 s for the restores; what \
                 was written since 2026-11-20T21:30:02Z is lost; all 3 instances run 1.4.0 (release \
                 20261120T213000Z-1.4.0-3f9c2ab1)",
                "shop production: step 2 of 3: restore orders (postgres), by dba@acme.example, about 41 s",
                "shop production: 1.4.0 is undone, back to 1.3.0; production stays frozen; when all is well: holdpoint thaw",
            ]
        );
        let step = lines[1].as_ref().unwrap();
        assert_eq!((step.step, step.of, step.status), (Some(2), Some(3), Status::Step));
        assert_eq!(step.run_url.as_deref(), TELLER.run_url);
    }

    #[test]
    fn what_a_configured_program_is_given_and_says_is_told_to_nobody() {
        let error = Error::new(ErrorCode::RestoreFailed, "curl -H 's3cret' failed: s3cret is no token");
        let plan = told([Some(StepState::Done), Some(StepState::Done), Some(StepState::Failed)]);
        let lines = [TELLER.stepped(&plan, 2).unwrap(), TELLER.ended(&plan, None, Some((Some(2), &error)), NEXT)];
        for line in &lines {
            assert!(!serde_json::to_string(line).unwrap().contains("s3cret"), "{line:?}");
        }
        assert_eq!(lines[0].text, "shop production: step 3 of 3 failed: start the application");
        assert_eq!(
            lines[1].text,
            "shop production: rollback of 1.4.0 stopped at step 3 of 3: its program failed; the log of the run says more; \
             production is not frozen by it; go on with: holdpoint rollback --id x"
        );
        // Nor what kept it from being begun again, or from being recorded as failed.
        let plan = told([Some(StepState::Done), Some(StepState::Done), Some(StepState::Started)]);
        let line = TELLER.ended(&plan, None, Some((Some(2), &error)), NEXT);
        assert!(!serde_json::to_string(&line).unwrap().contains("s3cret"), "{line:?}");
        assert_eq!((line.step, line.action.as_deref()), (Some(3), Some("start the application")));
        let plan = told([Some(StepState::Done), Some(StepState::Failed), None]);
        let long = Error::new(ErrorCode::RestoreFailed, "ö".repeat(400));
        let why = TELLER.ended(&plan, None, Some((Some(1), &long)), NEXT).reason.unwrap();
        assert_eq!(why, format!("{}…", "ö".repeat(300)));
    }
}
