//! `guard`: gate, the deploy's own command, reconcile; in one line of any pipeline.

use super::options::Format;
use super::session::{Diverted, ESCROW_PASSWORD, Session};
use super::webhooks::Telling;
use super::{admit, audited, gate, output, page, rollback};
use crate::cancel::Reason;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::gate::guard;
use crate::gate::reconcile::{self, Observe};
use crate::gate::request::Request;
use crate::gate::run::Outcome;
use crate::ledger::Ledger;
use crate::ledger::events::Event;
use crate::ledger::lease::Lease;
use crate::model::audit::{self, Action};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Manifest;
use crate::model::reconciliation::Side;
use crate::process::{attend, in_words};
use crate::report::ci::CiReport;
use crate::report::closing::Closing;
use crate::report::text;
use crate::report::told::refused_by;
use serde::Serialize;
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is deployed, how, and what then.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Options {
    /// What is captured before.
    #[command(flatten)]
    pub gate: gate::GateOptions,
    /// Ask the running system again until it matches or DURATION has passed
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    pub wait: Duration,
    /// Roll back if the command fails or something else runs afterwards
    #[arg(long)]
    pub rollback_on_failure: bool,
    /// The command that deploys, and its arguments; there is no shell
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// How the command ended.
#[derive(Debug, Clone, Serialize)]
struct Ended {
    succeeded: bool,
    /// Its exit code; `None` if a signal ended it, or if it could not be started.
    exit_code: Option<i32>,
    status: String,
    /// Whether it ran at all: one that was never started deployed nothing.
    started: bool,
}

/// The result as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    id: &'a str,
    manifest: String,
    guarded: &'a Ended,
    #[serde(skip_serializing_if = "Option::is_none")]
    reconciliation: Option<&'a Event>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_back: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rollback: Option<String>,
}

/// Runs `guard`.
pub fn run(session: &Session, options: Options) -> anyhow::Result<ExitCode> {
    let Options { gate: gated, wait, rollback_on_failure, command } = options;
    let request = Request { keeps_lease: true, ..gate::gate_request(session, &gated)? };
    let request = Arc::new(request);
    let run = admit::run_id(session, None)?;
    let deadline = Instant::now().checked_add(request.timeout);
    let mut outcome = gate::run(session, &request)?;
    let telling = Telling::verdict(session, &outcome.manifest, outcome.exit, &request.auditor.by).until(deadline);
    gate::write_pages(&request, &outcome, gated.capture.html_out.as_deref());
    let shown = gate::finish_telling(session, telling, &request, &outcome);
    output::note(text::gate(&shown, text::Style { color: false }).trim_end());
    if outcome.exit != ExitCode::Pass {
        return Ok(refused(session, &request, &outcome)?);
    }
    // From here on signals are for the command: none may get lost between the claim and its start.
    let signals = session.divert_signals();
    let opened = session.cancel.check().and_then(|()| guard::open(&request, &outcome, &run));
    if let Err(error) = &opened {
        // The last line must not say that it may go.
        let (manifest, ledger) = (&outcome.manifest, Ledger::new(request.place.ledger_storage()));
        let line = request.auditor.failed(Action::Guard, error).of(&manifest.id);
        audited::warn(&request.auditor.note(&ledger, &line));
        let place = (request.application.as_str(), request.environment.as_str());
        let why = (error.code().exit(), refused_by(error));
        let telling = Telling::not_admitted(session, &request.auditor.by, |asker| {
            asker.not_admitted(place, &request.target.version, Some(manifest), why)
        });
        audited::warn(&telling.until(deadline).finish(Some((&ledger, &manifest.id))));
    }
    audited::warn(&opened?);
    let lease = outcome.lease.take();
    let guarded = Guarded { session, request: &request, manifest: &outcome.manifest, rollback_on_failure };
    Ok(guarded.deploy((&command, &run), wait, lease, signals)?)
}

/// Says that the gate refused: nothing was run.
fn refused(session: &Session, request: &Request, outcome: &Outcome) -> Result<ExitCode> {
    let manifest = &outcome.manifest;
    if session.format() == Format::Json {
        let path = request.manifest_out.display().to_string();
        output::print_json(&crate::report::verdict::VerdictDocument::of_manifest("guard", manifest, Some(path)))?;
    }
    session.show_in_ci(&CiReport {
        findings: &manifest.decision.findings,
        manifest: Some(manifest),
        manifest_file: Some(&request.manifest_out),
        ..CiReport::new("guard", outcome.exit)
    });
    gate::close(session, "guard", outcome);
    Ok(outcome.exit)
}

/// A deployment that the gate passed.
struct Guarded<'a> {
    session: &'a Session,
    request: &'a Request,
    manifest: &'a Manifest,
    rollback_on_failure: bool,
}

impl Guarded<'_> {
    /// Runs the command under the lease, looks at what runs then, and tells what became of it.
    fn deploy(
        &self,
        (argv, run): (&[OsString], &str),
        wait: Duration,
        lease: Option<Lease>,
        signals: Diverted,
    ) -> Result<ExitCode> {
        let (ended, cancelled) = self.command(argv, run, &signals)?;
        drop(signals);
        let ledger = Ledger::new(self.request.place.ledger_storage());
        let mut problems = Vec::new();
        let mut note = |result: Result<()>| problems.extend(result.err().map(|error| error.chain()));
        note(guard::record(&ledger, self.manifest, ended.succeeded, ended.status.clone()));
        // Whatever keeps us from looking, how the command ended is known and has to be told.
        let (reconciliation, unseen) = match cancelled {
            Some(_) => (None, None),
            None => match self.reconcile(wait) {
                Ok(reconciliation) => (reconciliation, None),
                Err(error) => {
                    note(Err(Error::new(error.code(), error.chain())));
                    (None, Some(error.code().exit()))
                }
            },
        };
        if let Some(event) = &reconciliation {
            let auditor = &self.request.auditor;
            let telling = Telling::reconciled(self.session, self.manifest, event, &auditor.by);
            note(auditor.record(&ledger, &self.manifest.id, event).map(|(_, found)| audited::warn(&found)));
            audited::warn(&telling.finish(Some((&ledger, &self.manifest.id))));
        }
        // Without a probe the command's word is all there is.
        let is_over = match &reconciliation {
            _ if !ended.started => true,
            // With one version on both sides a match shows nothing of a deploy that failed.
            Some(event) => event.matched().is_some() && (ended.succeeded || !self.is_redeploy()),
            None => ended.succeeded && cancelled.is_none() && unseen.is_none(),
        };
        if is_over {
            note(ledger.close_claim(&self.manifest.id).map(drop));
        }
        let lost = lease.as_ref().and_then(|lease| lease.check().err());
        let exit = match (cancelled, &reconciliation) {
            (Some(Reason::Interrupt), _) => ExitCode::Interrupted,
            (Some(_), _) => ExitCode::Terminated,
            _ if !ended.succeeded => ExitCode::CommandFailed,
            (None, Some(event)) if event.matched().is_none() => ExitCode::DeployedMismatch,
            _ if lost.is_some() => ExitCode::Busy,
            _ => unseen.unwrap_or(ExitCode::Pass),
        };
        problems.extend(lost.map(|error| error.chain()));
        let failed = matches!(exit, ExitCode::CommandFailed | ExitCode::DeployedMismatch);
        let undone = if failed && ended.started && self.rollback_on_failure {
            Some(rollback::of_guard(self.session, self.manifest.id.as_str(), lease))
        } else {
            // Held to here, so that nobody came in between.
            problems.extend(lease.and_then(|lease| lease.release().err()).map(|error| error.chain()));
            None
        };
        let (exit, rolled_back) = match undone {
            None => (exit, None),
            Some(Ok((ExitCode::Pass, _))) => (exit, Some(true)),
            Some(Ok((why, problem))) => {
                problems.extend(problem);
                (ExitCode::first_of([exit, ExitCode::RestoreFailed, why]), Some(false))
            }
            Some(Err(error)) => {
                problems.push(error.chain());
                (ExitCode::first_of([exit, ExitCode::RestoreFailed]), Some(false))
            }
        };
        let outcome = if exit == ExitCode::Pass { audit::Outcome::Done } else { audit::Outcome::Failed };
        let line = self.request.auditor.line(Action::Guard, outcome).exits(exit.number()).of(&self.manifest.id);
        let line = line.why(Some(format!("the command {}", ended.status)));
        let exit = audited::exit(exit, self.request.auditor.write(&ledger, None, &line));
        problems.extend(page::write(self.session, &ledger, &self.manifest.id).err().map(|error| error.chain()));
        for problem in &problems {
            output::note(&format!("warning: {problem}"));
        }
        self.tell(exit, &ended, reconciliation.as_ref(), rolled_back)?;
        Ok(exit)
    }

    /// Says whether the version that is deployed is the one that ran before.
    fn is_redeploy(&self) -> bool {
        let release = &self.manifest.release;
        release.from.version.as_ref().is_some_and(|from| from.is_same_release(&release.to.version))
    }

    /// Runs the command; returns how it ended, and the signal that was passed on to it.
    fn command(&self, argv: &[OsString], run: &str, signals: &Diverted) -> Result<(Ended, Option<Reason>)> {
        let Some((program, arguments)) = argv.split_first() else {
            return Err(Error::new(ErrorCode::Usage, "no command is given").hint("give it after `--`"));
        };
        let mut command = Command::new(program);
        command.args(arguments).envs(guard::variables(self.manifest, &self.request.manifest_out, run));
        // Who deploys must not be able to vouch for the next deploy.
        for name in self.session.signing_key_variables() {
            command.env_remove(name);
        }
        // What lies in escrow is for drills alone.
        for end in ["", "_FILE", "_COMMAND"] {
            command.env_remove(format!("{ESCROW_PASSWORD}{end}"));
        }
        if self.session.format() == Format::Json {
            // Standard output is one document.
            let stderr = std::io::stderr().as_fd().try_clone_to_owned();
            command.stdout(stderr.map_or_else(|_| Stdio::null(), Stdio::from));
        }
        match attend(command, &signals.received) {
            Ok(attended) => {
                let (status, cancelled) = (attended.status, attended.cancelled);
                let (succeeded, exit_code, status) = (status.success(), status.code(), in_words(status));
                Ok((Ended { succeeded, exit_code, status, started: true }, cancelled))
            }
            Err(error) => {
                let (status, started) = (error.chain(), error.code() != ErrorCode::ProcessFailed);
                Ok((Ended { succeeded: false, exit_code: None, status, started }, None))
            }
        }
    }

    /// Looks at what runs now, if a probe can.
    fn reconcile(&self, wait: Duration) -> Result<Option<Event>> {
        let Some(probe) = &self.request.settings.deployed else { return Ok(None) };
        let request = reconcile::Request {
            manifest: self.manifest,
            expected: Side::To,
            observe: Observe::Probe(probe),
            directory: self.request.directory.clone(),
            versioning: self.request.config.versioning,
            wait,
        };
        let reconciled = reconcile::reconcile(&request, &self.session.cancel, self.session.runtime.handle())?;
        Ok(Some(Event::Reconciled {
            at: reconciled.at,
            expected: Side::To,
            outcome: reconciled.outcome,
            instances: reconciled.instances,
            explanation: reconciled.explanation,
        }))
    }

    fn tell(
        &self,
        exit: ExitCode,
        ended: &Ended,
        reconciliation: Option<&Event>,
        rolled_back: Option<bool>,
    ) -> Result<()> {
        let (id, environment) = (&self.manifest.id, &self.request.environment);
        let rollback = format!("holdpoint rollback --id {id} --environment {environment} --yes {environment}");
        match self.session.format() {
            Format::Json => output::print_json(&Document {
                schema_version: 1,
                command: "guard",
                exit_code: exit.number(),
                id: id.as_str(),
                manifest: self.request.manifest_out.display().to_string(),
                guarded: ended,
                reconciliation,
                rolled_back,
                rollback: (ended.started
                    && !matches!(exit, ExitCode::Pass | ExitCode::Busy)
                    && rolled_back != Some(true))
                .then(|| rollback.clone()),
            })?,
            Format::Text => {
                let mut text = format!("the command {}\n", ended.status);
                text += &match reconciliation {
                    Some(event) => text::reconcile(self.manifest, event, self.session.style()),
                    None if ended.succeeded => "no probe is configured: what runs now was not looked at\n".to_owned(),
                    None => String::new(),
                };
                text += match rolled_back {
                    Some(true) => "rolled back: what ran before runs again, and the environment is frozen\n",
                    Some(false) => "NOT rolled back\n",
                    None => "",
                };
                output::print(&text)?;
            }
        }
        let again = "mend the command line, and start again: nothing was deployed";
        let finding = (!ended.succeeded).then(|| {
            Finding::refusal(FindingCode::CommandFailed, format!("the guarded command {}", ended.status))
                .hint(if ended.started { &rollback } else { again })
        });
        let findings: Vec<_> = finding.into_iter().collect();
        let explanation = match reconciliation {
            Some(Event::Reconciled { explanation, .. }) => Some(explanation.as_str()),
            _ => None,
        };
        self.session.show_in_ci(&CiReport {
            findings: &findings,
            explanation,
            manifest: Some(self.manifest),
            manifest_file: Some(&self.request.manifest_out),
            ..CiReport::new("guard", exit)
        });
        let failed = format!("the command {}", ended.status);
        let busy = "the lease was lost while the command ran, so another run may have been at work";
        let reason = match exit {
            ExitCode::Busy => Some(busy),
            _ if ended.succeeded => explanation,
            _ => Some(failed.as_str()),
        };
        let guard = format!("holdpoint guard --environment {environment} -- COMMAND");
        let look = format!("holdpoint reconcile --id {id} --environment {environment}");
        let thaw = format!("holdpoint thaw --environment {environment} --reason TEXT");
        let next = match (rolled_back, exit) {
            (Some(true), _) => &thaw,
            (_, ExitCode::Busy) => &look,
            _ if !ended.started => &guard,
            _ => &rollback,
        };
        let words = Closing { has_verdict: true, reason, next: Some(next), ..self.session.closing("guard") };
        output::close(exit, words);
        Ok(())
    }
}
