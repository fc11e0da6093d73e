//! `rollback`: executes a manifest's playbook.

mod told;

use super::audited;
use super::freeze::who;
use super::options::Format;
use super::output;
use super::page;
use super::prompt;
use super::session::Session;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::gate::request;
use crate::gate::rollback::{self, DEFAULT_WAIT, Given, Outcome, Request};
use crate::ledger::events::EventRecord;
use crate::ledger::lease::Lease;
use crate::model::audit::Action;
use crate::model::finding::{Finding, Level};
use crate::model::manifest::{Manifest, Purpose};
use crate::model::rollback::RollbackPlan;
use crate::model::verdict::Verdict;
use crate::model::way::WayKind;
use crate::notify::Untold;
use crate::release::resolve::Target;
use crate::report::ci::CiReport;
use crate::report::closing::Closing;
use crate::report::rollback as text;
use crate::report::text::Style;
use crate::report::verdict::{Answer, ErrorDocument, VerdictDocument};
use crate::signing::AllowedSigners;
use serde::Serialize;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;
use told::Told;

/// Which release is undone, and how sure the caller is.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Take the manifest from FILE, and its signature from FILE.sig
    #[arg(long, value_name = "FILE", conflicts_with = "id", required_unless_present = "id")]
    pub manifest: Option<PathBuf>,
    /// Take the manifest of the release ID, or of the only one that starts so
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub plan: bool,
    /// Do it: ENVIRONMENT is the name of the environment, which a terminal is asked for otherwise
    #[arg(long, value_name = "ENVIRONMENT")]
    pub yes: Option<String>,
    /// Go back by WAY [default: full-restore]
    #[arg(long, value_name = "WAY", value_parser = ["code-only", "down-migration", "full-restore"])]
    pub way: Option<String>,
    /// Go on even if the manifest does not describe what is deployed, for REASON
    #[arg(long, value_name = "REASON")]
    pub force: Option<String>,
    /// Do not save the present state before it is overwritten, for REASON
    #[arg(long, value_name = "REASON")]
    pub no_safety_snapshot: Option<String>,
    /// The keys that may have signed [default: HOLDPOINT_ALLOWED_SIGNERS, the configuration's]
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
    /// Wait at the end until the older version answers, for DURATION
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "2m")]
    pub wait: Duration,
}

/// The result as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    command: &'static str,
    verdict: Answer,
    exit_code: u8,
    id: &'a str,
    /// Whether every step is done.
    rolled_back: bool,
    plan: &'a RollbackPlan,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDocument>,
    /// The command that goes on with it, if it was begun and is not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    go_on: Option<&'a str>,
    /// What webhooks were not told.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    untold: &'a [Untold],
}

/// Runs `rollback`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let environment = session.environment()?;
    let is_asked = !options.plan && options.yes.is_none();
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if is_asked && !terminal {
        return Err(Error::new(ErrorCode::Usage, "nobody is here to be asked whether to roll back")
            .hint(format!("look at it by --plan; then name the environment by --yes {environment}"))
            .into());
    }
    if let Some(named) = &options.yes {
        prompt::check(named, &environment)?;
    }
    let ledger = session.ledger()?;
    let given = match (&options.manifest, &options.id) {
        (Some(path), _) => Given::of_file(path, &ledger, (&session.application()?, &environment))?,
        (None, id) => Given::of_ledger(id.as_deref().unwrap_or_default(), &ledger)?,
    };
    let file = session.allowed_signers_file(options.allowed_signers.as_deref());
    let signers = file.as_deref().map(AllowedSigners::read).transpose()?;
    let request = Request {
        given: &given,
        signers: signers.as_ref(),
        run: template(session, &given.manifest)?,
        way: options.way.as_deref().and_then(|named| WayKind::ALL.into_iter().find(|way| way.as_str() == named)),
        force: reason(options.force.as_deref(), "--force")?,
        no_safety_snapshot: reason(options.no_safety_snapshot.as_deref(), "--no-safety-snapshot")?,
        signers_file: options.allowed_signers.clone(),
        withheld: withheld(session),
        wait: options.wait,
        by: who(session),
    };
    let plan = rollback::plan(&request, &session.cancel, session.runtime.handle())?;
    let (_, refusal) = Verdict::of(&plan.findings);
    if session.format() == Format::Text {
        output::print(&text::plan(&plan, session.style()))?;
        if options.plan {
            output::print(&text::ways(&plan))?;
        }
    }
    if !options.plan && refusal != ExitCode::Pass {
        let auditor = &request.run.auditor;
        let line = auditor.judged(Action::Rollback, refusal, &plan.findings).of(&plan.id);
        audited::warn(&auditor.note(&ledger, &line));
    }
    if options.plan || refusal != ExitCode::Pass {
        return not_begun(session, &given.manifest, &plan, refusal);
    }
    if is_asked {
        prompt::ask(&environment, "roll it back", &session.cancel)?;
    }
    let told = Told::new(session, &ledger, &given.manifest, &request.by);
    let observer = session.observer();
    let outcome = rollback::perform(&request, plan, None, &told, &observer, &session.cancel, session.runtime.handle());
    drop(observer);
    page::limit(session);
    let untold = told.end(session, &ledger, &outcome);
    // What is done is done; a page that could not be made anew changes nothing of that.
    let events = page::write(session, &ledger, &given.manifest.id).unwrap_or_else(|error| {
        output::note(&format!("warning: {}", error.chain()));
        Vec::new()
    });
    tell(session, &given.manifest, &outcome, &events, &untold)
}

/// Rolls back the release whose deployment just failed under `guard`, which holds the lease; returns the exit code, and what
/// kept the rollback from its end.
///
/// # Errors
/// The manifest or the keys cannot be read, the store's own; a cancellation.
pub(super) fn of_guard(session: &Session, id: &str, lease: Option<Lease>) -> Result<(ExitCode, Option<String>)> {
    let ledger = session.ledger()?;
    let given = Given::of_ledger(id, &ledger)?;
    let signers = session.allowed_signers_file(None).as_deref().map(AllowedSigners::read).transpose()?;
    let request = Request {
        given: &given,
        signers: signers.as_ref(),
        run: template(session, &given.manifest)?,
        way: None,
        // It is this very release that was deployed, however far that came.
        force: Some("its deployment under guard failed".to_owned()),
        no_safety_snapshot: None,
        signers_file: None,
        withheld: withheld(session),
        wait: DEFAULT_WAIT,
        by: who(session),
    };
    let plan = rollback::plan(&request, &session.cancel, session.runtime.handle())?;
    output::note(text::plan(&plan, Style { color: false }).trim_end());
    let (_, refusal) = Verdict::of(&plan.findings);
    if refusal != ExitCode::Pass {
        return Ok((refusal, plan.findings.iter().find(|finding| finding.level == Level::Refusal).map(in_words)));
    }
    let told = Told::new(session, &ledger, &given.manifest, &request.by);
    let observer = session.observer();
    let outcome = rollback::perform(&request, plan, lease, &told, &observer, &session.cancel, session.runtime.handle());
    drop(observer);
    told.end(session, &ledger, &outcome);
    let Outcome { plan, freeze, error, .. } = &outcome;
    // What is done is done, even if the ledger does not answer any more.
    let events = ledger.events(&given.manifest.id).unwrap_or_default();
    output::note(text::outcome(plan, freeze.as_ref(), error.as_ref(), &events).trim_end());
    Ok((outcome.exit(), error.as_ref().map(Error::chain)))
}

fn withheld(session: &Session) -> Vec<String> {
    session.signing_key_variables().into_iter().map(str::to_owned).collect()
}

/// Collects what any run needs to know; the rollback itself says what is captured.
fn template(session: &Session, manifest: &Manifest) -> Result<request::Request> {
    let environment = session.environment()?;
    let place = session.place()?;
    let to = &manifest.release.to;
    Ok(request::Request {
        purpose: Purpose::Safety,
        application: session.application()?,
        settings: session.settings(&environment),
        environment: environment.clone(),
        config: session.config.clone(),
        sources: Vec::new(),
        left_out: Vec::new(),
        directory: session.directory()?,
        copies: session.copies(&place)?,
        place,
        target: Target {
            version: to.version.clone(),
            commit: to.commit.clone(),
            reference: to.reference.clone(),
            findings: Vec::new(),
        },
        from: request::Given::Nothing,
        pipeline: session.ci.as_ref().map(|ci| ci.pipeline.clone()).unwrap_or_default(),
        work_tree: session.tree.as_ref().map(|tree| tree.directory().to_owned()),
        timeout: session.config.gate.timeout,
        manifest_out: PathBuf::new(),
        signer: session.signing_key()?,
        signers: session.known_signers(),
        approvers: None,
        ticket: None,
        glass: None,
        auditor: session.auditor(&environment)?,
        keeps_lease: true,
    })
}

/// Ends a rollback that was only planned, or that something speaks against.
fn not_begun(session: &Session, manifest: &Manifest, plan: &RollbackPlan, exit: ExitCode) -> anyhow::Result<ExitCode> {
    if session.format() == Format::Json {
        let verdict = if exit == ExitCode::Pass { Answer::Pass } else { Answer::Refuse };
        output::print_json(&document(plan, verdict, exit))?;
    }
    let report = CiReport { findings: &plan.findings, manifest: Some(manifest), ..CiReport::new("rollback", exit) };
    session.show_in_ci(&report);
    let first = plan.findings.iter().find(|finding| finding.level == Level::Refusal).map(in_words);
    // Nothing was begun: what the release offers, and what a person can do by hand, is what there is to look at.
    let show = format!("holdpoint show {} --environment {}", manifest.id, manifest.environment.name);
    let next = (exit == ExitCode::RestoreFailed).then_some(show.as_str());
    let words = Closing { has_verdict: true, reason: first.as_deref(), next, ..session.closing("rollback") };
    output::close(exit, words);
    Ok(exit)
}

fn in_words(finding: &Finding) -> String {
    match &finding.source {
        Some(source) => format!("{source}: {}; nothing was changed", finding.message),
        None => format!("{}; nothing was changed", finding.message),
    }
}

/// Prints how far the rollback came.
fn tell(
    session: &Session,
    manifest: &Manifest,
    outcome: &Outcome,
    events: &[EventRecord],
    untold: &[Untold],
) -> anyhow::Result<ExitCode> {
    let exit = outcome.exit();
    let Outcome { plan, freeze, error, go_on, .. } = outcome;
    match session.format() {
        Format::Text => output::print(&format!("\n{}", text::outcome(plan, freeze.as_ref(), error.as_ref(), events)))?,
        Format::Json => {
            let verdict = if error.is_none() { Answer::Pass } else { Answer::Refuse };
            let cause = error.as_ref().and_then(|error| VerdictDocument::of_error("rollback", error).error);
            let go_on = error.as_ref().map(|_| go_on.as_str());
            let rolled_back = error.is_none();
            output::print_json(&Document {
                rolled_back,
                error: cause,
                go_on,
                untold,
                ..document(plan, verdict, exit)
            })?;
        }
    }
    if let Some(error) = error {
        output::error(error);
    }
    if freeze.is_some() && error.is_none() && !session.global.quiet {
        output::note(&format!("when all is well: {}", manifest.rollback.thaw(&plan.environment)));
    }
    let chain = error.as_ref().map(Error::chain);
    session.show_in_ci(&CiReport {
        findings: &plan.findings,
        explanation: chain.as_deref().or(Some("every step of the rollback is done")),
        manifest: Some(manifest),
        events,
        standing: freeze.as_ref().into(),
        ..CiReport::new("rollback", exit)
    });
    let words = Closing {
        has_verdict: true,
        reason: chain.as_deref(),
        next: error.as_ref().map(|_| go_on.as_str()),
        ..session.closing("rollback")
    };
    output::close(exit, words);
    Ok(exit)
}

fn document(plan: &RollbackPlan, verdict: Answer, exit: ExitCode) -> Document<'_> {
    Document {
        schema_version: 1,
        command: "rollback",
        verdict,
        exit_code: exit.number(),
        id: plan.id.as_str(),
        rolled_back: false,
        plan,
        error: None,
        go_on: None,
        untold: &[],
    }
}

fn reason(text: Option<&str>, flag: &str) -> Result<Option<String>> {
    match text.map(str::trim) {
        Some("") => Err(Error::new(ErrorCode::Usage, format!("{flag} needs a reason"))
            .hint("say why, for whoever reads the record")),
        other => Ok(other.map(str::to_owned)),
    }
}
