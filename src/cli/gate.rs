//! `gate`, `snapshot`, `doctor`, and `plan` beside them: the same request, carried to different lengths.

use super::breaking;
use super::options::Format;
use super::output;
use super::page;
use super::session::{Session, shown, variable};
use super::signature;
use super::webhooks::Telling;
use crate::config::{CaptureIn, FilesConfig, SourceConfig, SourceKind, is_root};
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::gate::doctor::{self, Check};
use crate::gate::request::{Given, Request};
use crate::gate::run::Outcome;
use crate::gate::{record, supervise};
use crate::ledger::Ledger;
use crate::model::finding::{Finding, Level};
use crate::model::manifest::{Manifest, Purpose};
use crate::model::version::Version;
use crate::release::resolve::{Target, given_version};
use crate::report::ci::CiReport;
use crate::report::closing::Closing;
use crate::report::html::{self, Page, Standing};
use crate::report::text;
use crate::report::verdict::VerdictDocument;
use clap::builder::{OsStringValueParser, TypedValueParser};
use jiff::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is captured, for what.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Files and directories to capture, beside the configuration's sources
    #[arg(value_name = "PATH", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub paths: Vec<PathBuf>,
    /// The version to deploy [default: HOLDPOINT_RELEASE, the CI system's tag, the tag at HEAD]
    #[arg(long, value_name = "VERSION")]
    pub release: Option<String>,
    /// The commit to deploy [default: HOLDPOINT_COMMIT, the CI system's, HEAD]
    #[arg(long, value_name = "SHA")]
    pub commit: Option<String>,
    /// The version that is deployed now, where no probe can observe it
    #[arg(long, value_name = "VERSION", conflicts_with = "first")]
    pub from: Option<String>,
    /// Nothing is deployed yet
    #[arg(long)]
    pub first: bool,
    /// End everything after DURATION [default: the configuration's, or 15m]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
    /// Write the manifest to FILE
    #[arg(long, value_name = "FILE", default_value = "holdpoint-manifest.json")]
    pub manifest_out: PathBuf,
    /// Write the manifest's page for people to FILE
    #[arg(long, value_name = "FILE")]
    pub html_out: Option<PathBuf>,
}

/// What is captured before a deploy, and what a person says of it.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct GateOptions {
    /// What is captured.
    #[command(flatten)]
    pub capture: Options,
    /// What a person says.
    #[command(flatten)]
    pub words: breaking::Options,
}

/// Runs `gate`.
pub fn gate(session: &Session, options: GateOptions) -> anyhow::Result<ExitCode> {
    let request = gate_request(session, &options)?;
    capture(session, request, options.capture.html_out.as_deref(), "gate")
}

/// Collects all that was said of a deploy into one request.
pub(super) fn gate_request(session: &Session, options: &GateOptions) -> Result<Request> {
    let request = request(session, &options.capture, Purpose::Gate)?;
    options.words.add_to(session, request)
}

/// Runs `snapshot`.
pub fn snapshot(session: &Session, options: Options) -> anyhow::Result<ExitCode> {
    let request = request(session, &options, Purpose::Snapshot)?;
    capture(session, request, options.html_out.as_deref(), "snapshot")
}

fn capture(session: &Session, request: Request, html: Option<&Path>, command: &str) -> anyhow::Result<ExitCode> {
    let request = Arc::new(request);
    let deadline = Instant::now().checked_add(request.timeout);
    let outcome = run(session, &request)?;
    let telling = Telling::verdict(session, &outcome.manifest, outcome.exit, &request.auditor.by).until(deadline);
    // The verdict is known: no store that hangs over the page may keep it from the caller.
    page::limit(session);
    write_pages(&request, &outcome, html);
    let shown = finish_telling(session, telling, &request, &outcome);
    let manifest = &shown;
    match session.format() {
        Format::Text => output::print(&text::gate(manifest, session.style()))?,
        Format::Json => {
            let path = request.manifest_out.display().to_string();
            output::print_json(&VerdictDocument::of_manifest(command, manifest, Some(path)))?;
        }
    }
    session.show_in_ci(&CiReport {
        findings: &manifest.decision.findings,
        manifest: Some(manifest),
        manifest_file: Some(&request.manifest_out),
        ..CiReport::new(command, outcome.exit)
    });
    close(session, command, &outcome);
    Ok(outcome.exit)
}

/// Ends telling of the verdict; returns the manifest as it is shown, with what was found after it was written: that
/// somebody did not take its line in the audit, or was not told.
pub(super) fn finish_telling(
    session: &Session,
    telling: Telling<'_>,
    request: &Request,
    outcome: &Outcome,
) -> Manifest {
    let ledger = Ledger::new(request.place.ledger_storage());
    let id = &outcome.manifest.id;
    let untold = telling.finish(outcome.in_ledger.then_some((&ledger, id)));
    if !untold.is_empty()
        && outcome.in_ledger
        && let Err(error) = page::write(session, &ledger, id)
    {
        output::note(&format!("warning: {}", error.chain()));
    }
    let mut shown = outcome.manifest.clone();
    shown.decision.findings.extend(outcome.unrecorded.iter().cloned().chain(untold));
    shown.decision.findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    shown
}

/// Runs the gate and shows its progress.
pub(super) fn run(session: &Session, request: &Arc<Request>) -> Result<Outcome> {
    let observer = session.observer();
    supervise::supervise(request, &observer, &session.cancel, session.runtime.handle())
}

/// Prints the closing words of a run of the gate.
pub(super) fn close(session: &Session, command: &str, outcome: &Outcome) {
    let manifest = &outcome.manifest;
    let first = manifest.decision.findings.iter().find(|finding| finding.level == Level::Refusal);
    let reason = first.map(Finding::in_words);
    let next = match outcome.in_ledger {
        true => Some(format!("holdpoint show {} --environment {}", manifest.id, manifest.environment.name)),
        false => None,
    };
    let words =
        Closing { has_verdict: true, reason: reason.as_deref(), next: next.as_deref(), ..session.closing(command) };
    output::close(outcome.exit, words);
}

/// Writes the page of a release; what could not be written is a warning, and changes no verdict.
pub(super) fn write_pages(request: &Request, outcome: &Outcome, html_out: Option<&Path>) {
    if !outcome.in_ledger && html_out.is_none() {
        return;
    }
    let signature = match &request.signer {
        Some(signer) => signature::by_key(&signer.fingerprint()),
        None => html::UNSIGNED.to_owned(),
    };
    // A gate that was held up by a freeze says so in its findings.
    let standing = Standing::Unknown;
    let page =
        Page { manifest: &outcome.manifest, events: &[], as_of: Timestamp::now(), signature: &signature, standing };
    let write = |page: String| {
        let ledgers =
            std::iter::once(Ledger::new(request.place.ledger_storage())).chain(outcome.copies.iter().cloned());
        let ledgers = ledgers.filter(|_| outcome.in_ledger);
        let mut results: Vec<_> = ledgers.map(|ledger| ledger.write_page(&outcome.manifest.id, &page)).collect();
        results.extend(html_out.map(|path| record::write_file(path, page.as_bytes())));
        results
    };
    let results = html::page(&page).map_or_else(|error| vec![Err(error)], write);
    for error in results.into_iter().filter_map(Result::err) {
        output::note(&format!("warning: {}", error.chain()));
    }
}

/// Runs `doctor`.
pub fn doctor(session: &Session, options: Options) -> anyhow::Result<ExitCode> {
    session.environment()?;
    let (target, check) = match session.target(options.release.as_deref(), options.commit.as_deref()) {
        Ok(target) => {
            let detail = format!("{}, commit {}", target.version, target.commit);
            let findings = target.findings.clone();
            (target, Check { name: "release".to_owned(), detail, findings })
        }
        // Long before a deploy there may be no release yet; what was given must be right, though.
        Err(error) if names_a_release(&options) => return Err(error.into()),
        Err(error) => {
            let version = given_version("0.0.0", "--release", session.config.versioning)?;
            let target = Target { version, commit: String::new(), reference: None, findings: Vec::new() };
            let detail = format!("{}; the gate needs it", error.message());
            (target, Check { name: "release".to_owned(), detail, findings: Vec::new() })
        }
    };
    let mut request = request_for(session, &options, Purpose::Gate, target)?;
    // Everything that any run will need, also what a gate leaves to scheduled snapshots.
    request.sources = sources(session, &options.paths)?;
    let mut checks = vec![check];
    checks.extend(doctor::doctor(&request, &session.cancel, session.runtime.handle())?);
    let findings: Vec<Finding> = checks.iter().flat_map(|check| check.findings.clone()).collect();
    match session.format() {
        Format::Json => output::print_json(&VerdictDocument::of_findings("doctor", findings.clone()))?,
        Format::Text => {
            let lines: String = checks.iter().map(line).collect();
            output::print(&(lines + &text::findings(&findings, session.style())))?;
        }
    }
    let (_, exit) = crate::model::verdict::Verdict::of(&findings);
    output::close(exit, Closing { has_verdict: true, ..session.closing("doctor") });
    Ok(exit)
}

fn line(check: &Check) -> String {
    let mark = if check.refuses() {
        "FAIL"
    } else if check.findings.is_empty() {
        "ok"
    } else {
        "warn"
    };
    format!("{mark:<5} {}: {}\n", check.name, check.detail)
}

/// Says whether the caller named what is to be deployed.
fn names_a_release(options: &Options) -> bool {
    let set = |name| variable(name).is_some_and(|value| !value.trim().is_empty());
    options.release.is_some() || options.commit.is_some() || set("HOLDPOINT_RELEASE") || set("HOLDPOINT_COMMIT")
}

/// Collects all that was said into one request.
pub(super) fn request(session: &Session, options: &Options, purpose: Purpose) -> Result<Request> {
    // Said first: who forgot it has not thought of the version yet.
    session.environment()?;
    let target = match session.target(options.release.as_deref(), options.commit.as_deref()) {
        // Outside of a deploy there may be no release; what was given must be right, though.
        Err(_) if purpose == Purpose::Snapshot && !names_a_release(options) => Target {
            version: Version::from("unreleased".to_owned()),
            commit: "0".repeat(40),
            reference: None,
            findings: Vec::new(),
        },
        result => result?,
    };
    request_for(session, options, purpose, target)
}

fn request_for(session: &Session, options: &Options, purpose: Purpose, target: Target) -> Result<Request> {
    let environment = session.environment()?;
    let versioning = session.config.versioning;
    let (sources, left_out) = in_this_run(sources(session, &options.paths)?, purpose)?;
    let from = match (&options.from, options.first) {
        (Some(text), _) => Given::Version(given_version(text, "--from", versioning)?),
        (None, true) => Given::First,
        (None, false) => Given::Nothing,
    };
    let mut pipeline = session.ci.as_ref().map(|ci| ci.pipeline.clone()).unwrap_or_default();
    if pipeline.repository.is_none() {
        pipeline.repository = session.tree.as_ref().and_then(|tree| tree.remote());
    }
    let timeout = options.timeout.unwrap_or(session.config.gate.timeout);
    if timeout.is_zero() {
        return Err(
            Error::new(ErrorCode::Usage, "--timeout 0 leaves no time for anything").hint("give a duration such as 15m")
        );
    }
    let place = session.place()?;
    Ok(Request {
        purpose,
        application: session.application()?,
        settings: session.settings(&environment),
        approvers: session.approvers(&environment, None)?,
        ticket: session.ticket(None)?,
        glass: None,
        environment: environment.clone(),
        config: session.config.clone(),
        sources,
        left_out,
        directory: session.directory()?,
        copies: session.copies(&place)?,
        place,
        target,
        from,
        pipeline,
        work_tree: session.tree.as_ref().map(|tree| tree.directory().to_owned()),
        timeout,
        manifest_out: std::path::absolute(&options.manifest_out).unwrap_or_else(|_| options.manifest_out.clone()),
        signer: session.signing_key()?,
        signers: session.known_signers(),
        auditor: session.auditor(&environment)?,
        keeps_lease: false,
    })
}

/// Parts the sources into those that a run captures and the names of those that a gate leaves to `holdpoint snapshot`.
fn in_this_run(sources: Vec<SourceConfig>, purpose: Purpose) -> Result<(Vec<SourceConfig>, Vec<String>)> {
    let (captured, left): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| source.capture.is_in(purpose));
    if captured.is_empty() {
        let other = if purpose == Purpose::Gate { "holdpoint snapshot" } else { "holdpoint gate" };
        let message = format!("nothing to capture: every source is left to `{other}`");
        return Err(Error::new(ErrorCode::Usage, message).hint("look at `capture` of the sources in holdpoint.toml"));
    }
    let left_out = left.into_iter().filter(|_| purpose == Purpose::Gate).map(|source| source.name).collect();
    Ok((captured, left_out))
}

/// Returns the configuration's sources, and one for each path.
fn sources(session: &Session, paths: &[PathBuf]) -> Result<Vec<SourceConfig>> {
    let mut sources = session.config.sources.clone();
    for path in paths {
        if path.as_os_str().is_empty() {
            return Err(Error::new(ErrorCode::Usage, "an empty path names nothing to capture")
                .hint("is a variable of the pipeline unset?"));
        }
        let absolute = std::path::absolute(path).map_err(|error| {
            Error::new(ErrorCode::Usage, format!("cannot resolve {}", path.display())).caused_by(error)
        })?;
        if is_root(&absolute) {
            let message = format!("{} is the whole machine", path.display());
            return Err(Error::new(ErrorCode::Usage, message).hint("name the directories that the application owns"));
        }
        let name = absolute.file_name().map_or("root".into(), |name| name.to_string_lossy().into_owned());
        if sources.iter().any(|source| source.name == name) {
            let message = format!("two sources would be named `{name}`, one of them {}", shown(path));
            return Err(Error::new(ErrorCode::Usage, message)
                .hint("declare them as [[source]] in holdpoint.toml, with names of their own"));
        }
        sources.push(SourceConfig {
            name,
            kind: SourceKind::Files(FilesConfig { paths: vec![absolute], ..FilesConfig::default() }),
            required: true,
            capture: CaptureIn::Every,
            owner: None,
            restore_order: None,
            expect: crate::config::Expect::default(),
            when_changed: None,
            drill_server: None,
        });
    }
    if sources.is_empty() {
        return Err(Error::new(ErrorCode::Usage, "nothing to capture: no path was given and no source is configured")
            .hint("give a path (holdpoint gate uploads), or declare [[source]] in holdpoint.toml (holdpoint init)"));
    }
    Ok(sources)
}
