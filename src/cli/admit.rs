//! `admit`: the deploy step's own question.

use super::audited;
use super::options::Format;
use super::output;
use super::page;
use super::session::{Session, variable};
use super::webhooks::Telling;
use crate::cancel::Reason;
use crate::config::{EnvironmentConfig, Requirement};
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::gate::admit::{self, Admission, Request};
use crate::ledger::Ledger;
use crate::model::audit::{Action, AuditLine};
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::release_id::ReleaseId;
use crate::release::resolve::Target;
use crate::report::ci::CiReport;
use crate::report::closing::Closing;
use crate::report::text;
use crate::report::told::refused;
use crate::report::verdict::VerdictDocument;
use crate::signing::AllowedSigners;
use std::path::PathBuf;
use std::time::Instant;

/// What is about to be deployed, and by whom.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The version to deploy [default: HOLDPOINT_RELEASE, the CI system's tag, the tag at HEAD]
    #[arg(long, value_name = "VERSION")]
    pub release: Option<String>,
    /// The commit to deploy [default: HOLDPOINT_COMMIT, the CI system's, HEAD]
    #[arg(long, value_name = "SHA")]
    pub commit: Option<String>,
    /// The keys that may have signed [default: HOLDPOINT_ALLOWED_SIGNERS, the configuration's]
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
    /// The keys that may approve [default: HOLDPOINT_APPROVERS, the configuration's]
    #[arg(long, value_name = "FILE")]
    pub approvers: Option<PathBuf>,
    /// Which run asks; the same one may ask twice [default: HOLDPOINT_RUN, the CI system's run and attempt]
    #[arg(long, value_name = "ID")]
    pub run: Option<String>,
}

/// Runs `admit`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let (application, environment) = (session.application()?, session.environment()?);
    let target = session.target(options.release.as_deref(), options.commit.as_deref())?;
    check_commit(&target)?;
    let (signers, in_checkout) = allowed_signers(session, options)?;
    let approvers = session.approvers(&environment, options.approvers.as_deref())?;
    let run = run_id(session, options.run.as_deref())?;
    let pipeline = session.ci.as_ref().map(|ci| ci.pipeline.clone()).unwrap_or_default();
    let place = session.place()?;
    let settings = session.settings(&environment);
    let auditor = session.auditor(&environment)?;
    let gate = &session.config.gate;
    let request = Request {
        application: &application,
        environment: &environment,
        retired: settings.retired,
        version: &target.version,
        commit: &target.commit,
        place: &place,
        config_digest: session.config.digest.as_deref(),
        signers: &signers,
        approvers: approvers.as_ref(),
        approvals: approvals(&settings),
        run: &run,
        pipeline: &pipeline,
        probe: settings.deployed.as_ref(),
        settings: &settings,
        directory: session.directory()?,
        versioning: session.config.versioning,
        valid_for: gate.pass_valid_for,
        claim_for: gate.claim_for,
        auditor: &auditor,
    };
    let ledger = Ledger::new(place.ledger_storage());
    let deadline = Instant::now().checked_add(gate.timeout);
    let timer = session.cancel.after(gate.timeout, Reason::Deadline)?;
    let mut admission = match admit::admit(&request, &session.cancel, session.runtime.handle()) {
        Ok(admission) => admission,
        Err(error) => {
            audited::warn(&auditor.note(&ledger, &named(&request, None, auditor.failed(Action::Admit, &error))));
            return Err(error.into());
        }
    };
    drop(timer);
    admission.findings.extend(target.findings.clone());
    admission.findings.extend(in_checkout);
    if admission.findings.iter().any(|finding| finding.code == FindingCode::RequireApproval) {
        admission.findings.extend(approvers_in_checkout(session, &environment, options)?);
    }
    // What may be deployed has its line since before the pass was used.
    let exit = admission.exit();
    if exit != ExitCode::Pass {
        let line = auditor.judged(Action::Admit, exit, &admission.findings);
        let id = admission.pass.as_ref().map(|pass| &pass.manifest.id);
        let noted = auditor.note(&ledger, &named(&request, id, line));
        let place = (application.as_str(), environment.as_str());
        let manifest = admission.pass.as_ref().map(|pass| &pass.manifest);
        let why = (exit, refused(&admission.findings));
        let telling = Telling::not_admitted(session, &auditor.by, |asker| {
            asker.not_admitted(place, &target.version, manifest, why)
        });
        let untold = telling.until(deadline).finish(id.map(|id| (&ledger, id)));
        admission.findings.extend(noted.into_iter().chain(untold));
    }
    if let (Some(_), Some(pass)) = (&admission.claim, &admission.pass) {
        // The pass is used; a page that could not be made anew changes nothing of that.
        if let Err(error) = page::write(session, &ledger, &pass.manifest.id) {
            output::note(&format!("warning: {}", error.chain()));
        }
    }
    tell(session, &request, &admission)
}

/// Says in a line what was to be deployed, and by which run.
fn named(request: &Request<'_>, id: Option<&ReleaseId>, line: AuditLine) -> AuditLine {
    let line = line.detail("run", request.run);
    let (version, commit) = (Some(request.version.clone()), Some(request.commit.to_owned()));
    AuditLine { version, commit, release: id.cloned(), ..line }
}

/// Prints what was decided.
fn tell(session: &Session, request: &Request<'_>, admission: &Admission) -> anyhow::Result<ExitCode> {
    let exit = admission.exit();
    let id = admission.pass.as_ref().map(|pass| pass.manifest.id.clone());
    match session.format() {
        Format::Json => {
            let document = VerdictDocument::of_findings("admit", admission.findings.clone());
            output::print_json(&VerdictDocument { id: id.clone(), ..document })?;
        }
        Format::Text => {
            let findings = text::findings(&admission.findings, session.style());
            output::print(&format!("{}{findings}", headline(request, admission)))?;
        }
    }
    let signature = admission.signer.as_ref().map(|signer| format!("signed by {}", signer.principal));
    session.show_in_ci(&CiReport {
        findings: &admission.findings,
        manifest: admission.pass.as_ref().map(|pass| &pass.manifest),
        signature: signature.as_deref(),
        ..CiReport::new("admit", exit)
    });
    let first = admission.findings.iter().find(|finding| finding.level == Level::Refusal);
    let approve = first
        .filter(|finding| finding.code == FindingCode::RequireApproval)
        .zip(id)
        .map(|(_, id)| format!("holdpoint approve --environment {} --id {id}", request.environment));
    let words = Closing {
        has_verdict: true,
        next: approve.as_deref(),
        reason: first.map(|finding| finding.message.as_str()),
        ..session.closing("admit")
    };
    output::close(exit, words);
    Ok(exit)
}

fn headline(request: &Request<'_>, admission: &Admission) -> String {
    let Request { application, environment, version, commit, .. } = request;
    let short = commit.get(..12).unwrap_or(commit);
    let what = format!("{application} {version} ({short}) into {environment}");
    if let Some(back) = &admission.back {
        return format!("admitted: {what}, again\nby the rollback of {}, under its freeze\n", back.release);
    }
    match (&admission.claim, &admission.pass) {
        (Some(claim), Some(pass)) => {
            let signer = admission.signer.as_ref().map_or("nobody", |signer| signer.principal.as_str());
            let until = claim.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ");
            format!("admitted: {what}\npass {}, signed by {signer}; reconcile before {until}\n", pass.manifest.id)
        }
        _ => format!("not admitted: {what}\n"),
    }
}

/// Makes sure that the commit is exactly known: what is deployed is what is checked out, unless somebody said which it is.
fn check_commit(target: &Target) -> Result<()> {
    if let Some(finding) = target.findings.iter().find(|finding| finding.code == FindingCode::CommitNotHead) {
        return Err(Error::new(ErrorCode::ManifestInvalid, finding.message.clone()).hint(
            "the commit was changed after the gate, or another one was checked out: deploy the one that was gated",
        ));
    }
    if ![40, 64].contains(&target.commit.len()) {
        let message = format!("{} is the beginning of a commit, and a pass is for exactly one", target.commit);
        return Err(Error::new(ErrorCode::Usage, message).hint("give all its digits by --commit: git rev-parse HEAD"));
    }
    Ok(())
}

/// Reads the allowed signers, and warns where whoever is deployed could have written them.
fn allowed_signers(session: &Session, options: &Options) -> Result<(AllowedSigners, Option<Finding>)> {
    let Some(path) = session.allowed_signers_file(options.allowed_signers.as_deref()) else {
        return Err(Error::new(ErrorCode::AllowedSigners, "nobody is named whose signature counts")
            .hint("name the file of the allowed signers by --allowed-signers or HOLDPOINT_ALLOWED_SIGNERS"));
    };
    let signers = AllowedSigners::read(&path)?;
    let named_outside = session.allowed_signers_are_named(options.allowed_signers.as_deref());
    let in_checkout = (session.is_in_checkout(&path)? || !named_outside).then(|| {
        let whose = if named_outside { "is a file of" } else { "is named by a file of" };
        let message = format!("the allowed signers: {} {whose} the checkout that is deployed", path.display());
        Finding::warning(FindingCode::SignersInCheckout, message)
            .hint("keep them where whoever is deployed cannot write, and name them by HOLDPOINT_ALLOWED_SIGNERS")
    });
    Ok((signers, in_checkout))
}

/// Says how many persons must approve by the configuration that is here, if any.
fn approvals(settings: &EnvironmentConfig) -> Option<u32> {
    settings.require.contains(&Requirement::Approval).then(|| settings.approvals.unwrap_or(1))
}

/// Warns where whoever is deployed could have written who may approve.
fn approvers_in_checkout(session: &Session, environment: &str, options: &Options) -> Result<Option<Finding>> {
    let flag = options.approvers.as_deref();
    let Some(path) = session.approvers_file(environment, flag) else { return Ok(None) };
    if session.approvers_are_named(flag) && !session.is_in_checkout(&path)? {
        return Ok(None);
    }
    let message =
        format!("the approvers: {} is named by, or is a file of, the checkout that is deployed", path.display());
    Ok(Some(
        Finding::warning(FindingCode::SignersInCheckout, message)
            .hint("keep them where whoever is deployed cannot write, and name them by HOLDPOINT_APPROVERS"),
    ))
}

/// Returns what names the run that asks: given, the CI system's, or one that nothing else can have.
///
/// # Errors
/// `internal`: no random numbers.
pub fn run_id(session: &Session, flag: Option<&str>) -> Result<String> {
    let given = flag.map(str::to_owned).or_else(|| variable("HOLDPOINT_RUN"));
    let of_ci = || session.ci.as_ref().and_then(|ci| ci.run.clone());
    if let Some(run) = given.filter(|run| !run.trim().is_empty()).or_else(of_ci) {
        return Ok(run);
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|error| Error::new(ErrorCode::Internal, "no random numbers for a run's name").caused_by(error))?;
    Ok(format!("local:{}", hex::encode(random)))
}
