//! `reconcile`: a manifest against the deployed version.

use super::audited;
use super::freeze::who;
use super::options::Format;
use super::output;
use super::page;
use super::session::Session;
use super::webhooks::Telling;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::gate::reconcile::{self, Observe, Request, check_place};
use crate::ledger::events::{Event, EventRecord};
use crate::ledger::{Ledger, Search, Stored, manifest as document};
use crate::model::manifest::Manifest;
use crate::model::reconciliation::Side;
use crate::release::resolve::given_version;
use crate::report::ci::CiReport;
use crate::report::closing::Closing;
use crate::report::text;
use clap::ValueEnum;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is compared with what.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Take the manifest from FILE [default: the environment's newest release]
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    pub manifest: Option<PathBuf>,
    /// Take the manifest of the release ID, or of the only one that starts so
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// The version that is deployed, instead of asking the configured probe
    #[arg(long, value_name = "VERSION")]
    pub deployed: Option<String>,
    /// Which version should run
    #[arg(long, value_name = "to|from", default_value = "to", hide_possible_values = true)]
    pub expect: Expect,
    /// Ask again until it matches or DURATION has passed
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    pub wait: Duration,
}

/// A side of a release.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Expect {
    /// The version that the release brings.
    To,
    /// The version that was deployed before.
    From,
}

/// The result as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    id: &'a str,
    reconciliation: &'a Event,
}

/// Runs `reconcile`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let (application, environment) = (session.application()?, session.environment()?);
    let manifest = match &options.manifest {
        Some(path) => read_manifest(path)?.0,
        None => stored_manifest(&session.ledger()?, options.id.as_deref(), Ledger::newest_gate)?,
    };
    check_place(&manifest, &application, &environment)?;
    let settings = session.settings(&environment);
    let versioning = session.config.versioning;
    let observe = match (&options.deployed, &settings.deployed) {
        (Some(text), _) => Observe::Given(given_version(text, "--deployed", versioning)?),
        (None, Some(probe)) => Observe::Probe(probe),
        (None, None) => {
            let message = format!("nothing can tell which version is deployed in {environment}");
            return Err(Error::new(ErrorCode::Usage, message)
                .hint(format!("configure [environment.{environment}.deployed], or give --deployed VERSION"))
                .into());
        }
    };
    let expected = match options.expect {
        Expect::To => Side::To,
        Expect::From => Side::From,
    };
    let directory = session.directory()?;
    let request = Request { manifest: &manifest, expected, observe, directory, versioning, wait: options.wait };
    let reconciled = reconcile::reconcile(&request, &session.cancel, session.runtime.handle())?;
    let event = Event::Reconciled {
        at: reconciled.at,
        expected,
        outcome: reconciled.outcome,
        instances: reconciled.instances.clone(),
        explanation: reconciled.explanation.clone(),
    };
    match session.format() {
        Format::Text => output::print(&text::reconcile(&manifest, &event, session.style()))?,
        Format::Json => output::print_json(&Document {
            schema_version: 1,
            command: "reconcile",
            exit_code: reconciled.exit().number(),
            id: manifest.id.as_str(),
            reconciliation: &event,
        })?,
    }
    // After the answer is printed: a ledger that does not answer must not hide it.
    let telling = Telling::reconciled(session, &manifest, &event, &who(session));
    let ledger = session.ledger()?;
    let (events, exit) = record(session, &ledger, (&manifest, &event), (reconciled.exit(), telling))?;
    let file = options.manifest.as_ref().and_then(|path| std::path::absolute(path).ok());
    session.show_in_ci(&CiReport {
        explanation: Some(&reconciled.explanation),
        manifest: Some(&manifest),
        manifest_file: file.as_deref(),
        events: &events,
        ..CiReport::new("reconcile", exit)
    });
    let next = format!("holdpoint show {} --environment {environment}", manifest.id);
    let words = Closing {
        has_verdict: true,
        reason: Some(&reconciled.explanation),
        next: Some(&next),
        ..session.closing("reconcile")
    };
    output::close(exit, words);
    Ok(exit)
}

/// Writes the outcome beside the manifest, and the page anew; returns all that happened to the release, and what `exit`
/// becomes if the audit did not take it.
fn record(
    session: &Session,
    ledger: &Ledger,
    (manifest, event): (&Manifest, &Event),
    (exit, telling): (ExitCode, Telling<'_>),
) -> Result<(Vec<EventRecord>, ExitCode)> {
    let (_, found) = session.auditor(&manifest.environment.name)?.record(ledger, &manifest.id, event)?;
    let exit = audited::exit(exit, Ok(found));
    // What runs is known everywhere: the deployment, or its undoing, is over.
    if event.matched().is_some() {
        ledger.close_claim(&manifest.id)?;
    }
    audited::warn(&telling.finish(Some((ledger, &manifest.id))));
    // What was observed is recorded; a page that could not be made anew changes nothing of that.
    match page::write(session, ledger, &manifest.id) {
        Ok(events) => Ok((events, exit)),
        Err(error) => {
            output::note(&format!("warning: {}", error.chain()));
            Ok((ledger.events(&manifest.id)?, exit))
        }
    }
}

/// Reads a manifest from a file; returns its bytes, too, over which it is signed.
///
/// # Errors
/// `manifest-invalid`: it is not there, truncated, of a newer schema, or no manifest.
pub fn read_manifest(path: &Path) -> Result<(Manifest, Vec<u8>)> {
    let bytes = std::fs::read(path).map_err(|error| {
        Error::new(ErrorCode::ManifestInvalid, format!("cannot read the manifest {}", path.display()))
            .caused_by(error)
            .hint("`holdpoint gate` writes it; take another one of the ledger by --id ID")
    })?;
    Ok((document::parse(&bytes, &path.display().to_string())?, bytes))
}

/// Reads a manifest from the ledger: that of a release, or what `newest` finds.
///
/// # Errors
/// `manifest-invalid` if there is none or it cannot be read, the store's own.
pub fn stored_manifest(
    ledger: &Ledger,
    id: Option<&str>,
    newest: impl FnOnce(&Ledger) -> Result<Search<Stored>>,
) -> Result<Manifest> {
    let Search { found, unreadable, cut_after } = match id {
        Some(id) => return Ok(ledger.get(id)?.manifest),
        None => newest(ledger)?,
    };
    match (unreadable.into_iter().next(), found) {
        // A newer record than what was found may be the one that is asked for.
        (Some(record), _) => Err(record.error),
        (None, found) => match found {
            Some(stored) => Ok(stored.manifest),
            None => Err(match cut_after {
                Some(count) => {
                    let message =
                        format!("none of the newest {count} releases is the one, and older ones were not looked at");
                    Error::new(ErrorCode::ManifestInvalid, message)
                        .hint("name one by --id ID; `holdpoint releases -n N` lists more of them")
                }
                None => Error::new(ErrorCode::ManifestInvalid, "this environment has no release yet")
                    .hint("check --environment, --application and --store; `holdpoint gate` makes the first one"),
            }),
        },
    }
}
