//! Doing what was planned, step by step, under the lease and the freeze of the environment.

use super::super::audit::unwritten;
use super::super::reconcile::{self, Observe};
use super::command::{command, go_on};
use super::journal::{self, Came, Clock};
use super::sources::Hands;
use super::steps::restore_name;
use super::verify::{self, Verified};
use super::{Request, Watcher, hooks, left, lost, pass, safety, sources};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::ledger::Ledger;
use crate::ledger::events::Event;
use crate::ledger::freeze::Freeze;
use crate::ledger::lease::Lease;
use crate::model::audit::Action;
use crate::model::finding::Finding;
use crate::model::progress::Observer;
use crate::model::reconciliation::{Outcome as Reconciliation, Side};
use crate::model::release_id::ReleaseId;
use crate::model::rollback::{RollbackPlan, RollbackStep, StepState, Task};
use crate::model::way::WayKind;
use std::sync::Arc;
use tokio::runtime::Handle;

/// How a rollback ended.
#[derive(Debug)]
pub struct Outcome {
    /// What there was to do, and how far each step is.
    pub plan: RollbackPlan,
    /// The freeze that a person has to thaw; `None` if it did not come to one.
    pub freeze: Option<Freeze>,
    /// The step that it stopped at, counted from 0; `None` if it stopped at none.
    pub stopped: Option<usize>,
    /// Why it is not done; `None` if it is.
    pub error: Option<Error>,
    /// The command that goes on with it, if it is not done.
    pub go_on: String,
}

impl Outcome {
    /// Returns the exit code: 0, or what kept the rollback from its end; 17 for whatever failed.
    pub fn exit(&self) -> ExitCode {
        match self.error.as_ref().map(|error| error.code().exit()) {
            None => ExitCode::Pass,
            Some(
                exit @ (ExitCode::Interrupted | ExitCode::Terminated | ExitCode::Busy | ExitCode::DeployedMismatch),
            ) => exit,
            Some(_) => ExitCode::RestoreFailed,
        }
    }
}

/// Does what `plan` says, under `lease` if the caller has it already. Nothing in the plan may refuse.
///
/// What is done is done whatever happens later, and is not done again by the next rollback of this release, as long as
/// the freeze lasts that it leaves behind.
pub fn perform(
    request: &Request<'_>,
    plan: RollbackPlan,
    lease: Option<Lease>,
    watcher: &dyn Watcher,
    observer: &Arc<dyn Observer>,
    cancel: &Cancel,
    runtime: &Handle,
) -> Outcome {
    let ledger = Ledger::new(request.run.place.ledger_storage());
    let hands = Hands { observer, cancel, runtime };
    let mut rollback = Rollback {
        request,
        ledger,
        hands,
        watcher,
        plan,
        freeze: None,
        saved: None,
        clock: Clock::default(),
        began: false,
        stopped: None,
    };
    let error = rollback.perform(lease).err();
    if let Some(error) = &error {
        let auditor = &request.run.auditor;
        let mut line = auditor.failed(Action::Rollback, error).of(&rollback.plan.id);
        if let Some(step) = rollback.stopped.and_then(|number| rollback.plan.steps.get(number)) {
            line = line.detail("step", &step.step);
            // What a program of the configuration prints may hold secrets, and a line goes to others.
            line = if step.task.runs_a_program() { line.why(Some(error.message())) } else { line };
        }
        rollback.say(auditor.note(&rollback.ledger, &line));
    }
    let Rollback { plan, freeze, stopped, began, .. } = rollback;
    let go_on = if began { go_on(request, plan.way) } else { command(request, plan.way) };
    Outcome { plan, freeze, stopped, error, go_on }
}

/// A rollback while it is done.
pub(super) struct Rollback<'r> {
    pub(super) request: &'r Request<'r>,
    pub(super) ledger: Ledger,
    pub(super) hands: Hands<'r>,
    pub(super) watcher: &'r dyn Watcher,
    pub(super) plan: RollbackPlan,
    pub(super) freeze: Option<Freeze>,
    /// The release that holds the state before the rollback.
    pub(super) saved: Option<ReleaseId>,
    /// Tells the times of its events.
    pub(super) clock: Clock,
    /// Whether its journal is open, so that it can be gone on with.
    began: bool,
    /// The step that is done just now.
    stopped: Option<usize>,
}

impl Rollback<'_> {
    fn perform(&mut self, lease: Option<Lease>) -> Result<()> {
        let mut lease = match lease {
            Some(lease) => lease,
            None => self.take_lease()?,
        };
        let freeze = self.begin()?;
        self.began = true;
        self.watcher.began(&self.plan);
        let count = self.plan.steps.len();
        for number in 0..count {
            let Some(step) = self.plan.steps.get(number).filter(|step| !step.is_done()).cloned() else { continue };
            self.hands.cancel.check()?;
            lease.check()?;
            self.stopped = Some(number);
            let estimate = step.estimate_seconds.map(|seconds| format!(", about {seconds:.0} s")).unwrap_or_default();
            // Before it is recorded anew: the record says that it was begun, and by whom nobody asks twice.
            self.look_for_left(&step)?;
            self.hands.observer.note(&format!("step {} of {count}: {}{estimate}", number + 1, step.action));
            self.record(number, &step, StepState::Started, Came::default())?;
            match self.step(&step, lease, &freeze) {
                Ok((held, came)) => {
                    lease = held;
                    self.saved = came.saved.clone().or(self.saved.take());
                    self.record(number, &step, StepState::Done, came)?;
                    self.stopped = None;
                }
                Err(error) => {
                    // The failure itself is what has to be told, even if the ledger does not take it.
                    let _ = self.record(number, &step, StepState::Failed, Came::to(error.chain()));
                    return Err(self.under(error, &step));
                }
            }
        }
        lease.check()?;
        self.end()?;
        // The work is done: a lease that cannot be given back runs out by itself.
        let _ = lease.release();
        Ok(())
    }

    fn record(&mut self, number: usize, step: &RollbackStep, state: StepState, came: Came) -> Result<()> {
        journal::record((&self.ledger, &self.plan.id), self.clock.next(), &step.step, state, came)?;
        if let Some(step) = self.plan.steps.get_mut(number) {
            step.state = Some(state);
            self.watcher.stepped(&self.plan, number);
        }
        Ok(())
    }

    /// Does one step; returns the lease, and what came of it in words.
    fn step(&mut self, step: &RollbackStep, lease: Lease, freeze: &Freeze) -> Result<(Lease, Came)> {
        let came = match &step.task {
            Task::Safety => {
                let (lease, id) = safety::save(self.request, lease, &self.hands)?;
                return Ok((lease, Came { message: Some(format!("saved as {id}")), saved: Some(id) }));
            }
            Task::Hook(argv) | Task::Migrate(argv) => {
                hooks::run(self.request, &step.step, argv, self.hands.cancel)?;
                Came::default()
            }
            Task::Restore(source) => {
                Came::to(sources::restore(self.request, source, self.saved.as_ref(), &self.hands)?)
            }
            Task::Verify(source) => {
                let verified = verify::restored(self.request, source, &self.hands)?;
                Came::to(self.judge(source, verified)?)
            }
            Task::VerifySchema(source) => match verify::schema(self.request, source, &self.hands)? {
                Verified::Same(text) => Came::to(text),
                Verified::Differs(what) => {
                    let (what, hint) = match self.plan.way {
                        WayKind::DownMigration => (
                            format!("{source}: {what}; the migration did not take it back"),
                            "mend it and run it by hand, then go on with the rollback; or thaw, and restore by --way full-restore",
                        ),
                        _ => (
                            format!("{source}: {what}; it was another one when the rollback was planned"),
                            "find out what still migrates; then thaw, and look at the plan again",
                        ),
                    };
                    return Err(Error::new(ErrorCode::RestoreFailed, what).hint(hint));
                }
            },
            Task::Redeploy(argv) => {
                pass::issue(self.request, &self.ledger, freeze)?;
                let deployed = hooks::run(self.request, &step.step, argv, self.hands.cancel);
                // Nobody else may use it, whatever came of the deployment.
                let withdrawn = self.ledger.withdraw_rollback_pass();
                deployed.and(withdrawn)?;
                Came::default()
            }
            Task::Reconcile => Came::to(self.reconcile()?),
        };
        Ok((lease, came))
    }

    /// Takes a difference for what it is: the restore has to be done again.
    fn judge(&mut self, source: &str, verified: Verified) -> Result<String> {
        let what = match verified {
            Verified::Same(text) => return Ok(text),
            Verified::Differs(what) => what,
        };
        let restore = restore_name(source);
        let number = self.plan.steps.iter().position(|step| step.step == restore);
        if let Some((number, step)) = number.and_then(|number| Some((number, self.plan.steps.get(number)?.clone()))) {
            self.record(number, &step, StepState::Failed, Came::to(format!("it was not what was restored: {what}")))?;
        }
        Err(Error::new(ErrorCode::RestoreFailed, format!("{source} is not as it was captured: {what}"))
            .hint("something wrote to it since it was restored: stop that, and go on with the rollback, which restores it again"))
    }

    /// Refuses to do a step again while the program of its first try runs.
    fn look_for_left(&self, step: &RollbackStep) -> Result<()> {
        if step.task.runs_a_program() && step.state == Some(StepState::Started) {
            let mark = left::mark(self.plan.id.as_str(), &step.step);
            left::refuse_if_running(&mark).map_err(|error| self.under(error, step))?;
        }
        Ok(())
    }

    fn reconcile(&self) -> Result<String> {
        let manifest = &self.request.given.manifest;
        let run = &self.request.run;
        let Some(probe) = &run.settings.deployed else { return Ok("no probe is configured".to_owned()) };
        let request = reconcile::Request {
            manifest,
            expected: Side::From,
            observe: Observe::Probe(probe),
            directory: run.directory.clone(),
            versioning: run.config.versioning,
            wait: self.request.wait,
        };
        let reconciled = reconcile::reconcile(&request, self.hands.cancel, self.hands.runtime)?;
        let event = Event::Reconciled {
            at: reconciled.at,
            expected: Side::From,
            outcome: reconciled.outcome,
            instances: reconciled.instances,
            explanation: reconciled.explanation.clone(),
        };
        self.event(&event)?;
        if reconciled.outcome == Reconciliation::Matched {
            return Ok(reconciled.explanation);
        }
        Err(Error::new(ErrorCode::ProbeFailed, reconciled.explanation)
            .hint("see that the older version starts, then go on with the rollback"))
    }

    /// Says what is gone from where it was, and where it is kept.
    fn lost(&self) -> String {
        let Some(since) = self.plan.data_loss_from else { return String::new() };
        let rows = lost::together(&self.plan.lost).rows;
        let rows = rows.map(|rows| format!(" (at least {rows} rows)")).unwrap_or_default();
        let kept = self.saved.as_ref().map(|saved| format!(", which {saved} holds")).unwrap_or_default();
        let since = since.strftime("%Y-%m-%d %H:%M:%S UTC");
        format!("; lost is what was written since {since}{rows}{kept}")
    }

    /// Says that the release is undone: nobody waits for its deployment any more.
    fn end(&mut self) -> Result<()> {
        let data = match self.plan.way {
            WayKind::DownMigration => "the schema is as it was before",
            WayKind::CodeOnly => "the data is as it was left by",
            _ => "the data is as it was before",
        };
        let data = format!("{data} {}", self.plan.undone);
        let explanation = match &self.plan.back_to {
            Some(version) if self.plan.steps.iter().any(|step| step.task == Task::Reconcile) => {
                format!("{version} runs again, and {data}")
            }
            _ => format!("{data}; nothing was observed"),
        };
        let explanation = format!("{explanation}{}", self.lost());
        self.ledger.close_claim(&self.plan.id)?;
        let event = Event::RolledBack { at: self.clock.next(), by: self.request.by.clone(), explanation };
        self.event(&event)
    }

    /// Writes the line of an event, which stops no rollback, and the event beside the manifest.
    pub(super) fn event(&self, event: &Event) -> Result<()> {
        let written = self.request.run.auditor.write_event(&self.ledger, Some(&self.plan.id), event);
        self.say(written.unwrap_or_else(|error| vec![unwritten(&error)]));
        self.ledger.record_event(&self.plan.id, event).map(drop)
    }

    fn say(&self, found: Vec<Finding>) {
        for finding in found {
            self.hands.observer.note(&format!("warning: {}", finding.message));
        }
    }

    /// Says which step an error kept from being done.
    fn under(&self, error: Error, step: &RollbackStep) -> Error {
        let message = format!("the rollback stopped at `{}`", step.step);
        match error.code().exit() {
            ExitCode::Interrupted | ExitCode::Terminated | ExitCode::Busy | ExitCode::DeployedMismatch => {
                error.under_same_code(message)
            }
            _ => error.under(ErrorCode::RestoreFailed, message),
        }
    }
}
