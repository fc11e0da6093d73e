//! `drill`: practises a restore.

use super::audited;
use super::freeze::who;
use super::options::Format;
use super::output;
use super::page;
use super::reconcile::stored_manifest;
use super::session::Session;
use super::webhooks::Telling;
use crate::cancel::Reason;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::gate::audit::Auditor;
use crate::gate::drill::{self, Outcome, Request};
use crate::gate::place::{Place, Secret};
use crate::gate::reconcile::check_place;
use crate::gate::rollback::Given;
use crate::ledger::Ledger;
use crate::ledger::events::EventRecord;
use crate::model::audit::Action;
use crate::model::drill::{Drill, DrillKey};
use crate::model::finding::{Finding, Level};
use crate::model::manifest::{Manifest, State};
use crate::report::ci::CiReport;
use crate::report::closing::Closing;
use crate::report::drill as text;
use crate::report::verdict::{Answer, ErrorDocument, VerdictDocument};
use crate::signing::AllowedSigners;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What is restored, and by which password.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Restore the release ID, or the only one that starts so [default: the newest that passed]
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Restore the release of the manifest in FILE; its signature is in FILE.sig
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    pub manifest: Option<PathBuf>,
    /// Restore the newest release of every environment in the store, one after another
    #[arg(long, conflicts_with_all = ["id", "manifest"])]
    pub all_environments: bool,
    /// Open the repository by HOLDPOINT_ESCROW_PASSWORD, _FILE or _COMMAND, and not by the daily password
    #[arg(long)]
    pub escrow: bool,
    /// The keys that may have signed [default: HOLDPOINT_ALLOWED_SIGNERS, the configuration's]
    #[arg(long, value_name = "FILE")]
    pub allowed_signers: Option<PathBuf>,
    /// End everything after DURATION [default: the configuration's, or 1h]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
}

/// The result as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    command: &'static str,
    verdict: Answer,
    exit_code: u8,
    drills: Vec<Drilled<'a>>,
}

/// One environment.
#[derive(Debug, Serialize)]
struct Drilled<'a> {
    environment: &'a str,
    exit_code: u8,
    /// The name of the event in the ledger; absent if nothing is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    /// What was found; absent if it did not come to a drill.
    #[serde(skip_serializing_if = "Option::is_none")]
    drill: Option<&'a Drill>,
    /// Why there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorDocument>,
    /// Why there was nothing to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<&'a str>,
}

/// What became of one environment.
enum Came {
    Drilled { outcome: Box<Outcome>, manifest: Box<Manifest>, events: Vec<EventRecord> },
    Skipped(String),
    Failed(Error),
}

impl Came {
    fn exit(&self) -> ExitCode {
        match self {
            Self::Drilled { outcome, .. } => outcome.exit(),
            Self::Skipped(_) => ExitCode::Pass,
            Self::Failed(error) => error.code().exit(),
        }
    }
}

/// Runs `drill`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let timeout = options.timeout.unwrap_or(session.config.drill.timeout);
    if timeout.is_zero() {
        return Err(Error::new(ErrorCode::Usage, "--timeout 0 leaves no time for anything")
            .hint("give a duration such as 1h")
            .into());
    }
    let password = if options.escrow { Some(session.escrow_password()?) } else { session.password()? };
    let _timer = session.cancel.after(timeout, Reason::Deadline)?;
    let mut results = Vec::new();
    if options.all_environments {
        // The environment of this place is never looked at.
        let any = session.place_of("-", password.clone())?;
        for environment in any.environments()? {
            let came = session.cancel.check().and_then(|()| one(session, options, &environment, &password));
            results.push((environment, came.unwrap_or_else(Came::Failed)));
        }
        if results.is_empty() {
            let message = format!("the store {} has no environment of this application", any.location());
            return Err(Error::new(ErrorCode::NotFound, message).hint("check --store and --application").into());
        }
    } else {
        let environment = session.environment()?;
        // Without a drill there is nothing to tell but why.
        match one(session, options, &environment, &password)? {
            Came::Skipped(why) => {
                return Err(Error::new(ErrorCode::ManifestInvalid, why)
                    .hint("`holdpoint gate` or `holdpoint snapshot` makes the first")
                    .into());
            }
            came => results.push((environment, came)),
        }
    }
    tell(session, &results)
}

/// Drills one environment.
fn one(session: &Session, options: &Options, environment: &str, password: &Option<Secret>) -> Result<Came> {
    // What a gate left in the cache of this machine proves nothing of the store.
    let place = session.place_of(environment, password.clone())?.uncached();
    let (place, escrow_is_daily) = match password {
        Some(password) if options.escrow => {
            // The daily one is for comparing alone; most often it cannot be had here, and need not.
            let daily = session.password().ok().flatten().map(|daily| daily.0);
            let is_daily = daily.into_iter().chain(place.key()).any(|daily| daily == password.0);
            (place.opened_by(password.clone()), is_daily)
        }
        _ => (place, false),
    };
    let ledger = Ledger::new(place.ledger_storage());
    let auditor = session.auditor(environment)?;
    let came = one_of(session, options, (environment, &place, escrow_is_daily), (&ledger, auditor.clone()));
    if let Err(error) = &came {
        audited::warn(&auditor.note(&ledger, &auditor.failed(Action::Drill, error)));
    }
    came
}

/// Drills one environment, whose place is known.
fn one_of(
    session: &Session,
    options: &Options,
    (environment, place, escrow_is_daily): (&str, &Place, bool),
    (ledger, auditor): (&Ledger, Auditor),
) -> Result<Came> {
    let (given, was_named) = match (&options.manifest, &options.id) {
        (Some(path), _) => (Given::of_file(path, ledger, (&session.application()?, environment))?, true),
        (None, Some(id)) => (Given::of_ledger(id, ledger)?, true),
        (None, None) => match newest(ledger)? {
            Some(id) => (Given::of_ledger(&id, ledger)?, false),
            None => return Ok(Came::Skipped(format!("{environment} has no release that passed: nothing to restore"))),
        },
    };
    let manifest = &given.manifest;
    check_place(manifest, &session.application()?, environment)?;
    if manifest.state != State::Passed {
        let message = format!("{} did not pass the gate: nothing of it can be believed", manifest.id);
        return Err(Error::new(ErrorCode::ManifestInvalid, message).hint("take one that passed; leave out --id"));
    }
    let signers = session.allowed_signers_file(options.allowed_signers.as_deref());
    let manifest = Box::new(manifest.clone());
    let request = Request {
        was_named,
        signers: signers.as_deref().map(AllowedSigners::read).transpose()?,
        settings: session.settings(environment),
        config: session.config.clone(),
        directory: session.directory()?,
        place: place.clone(),
        key: if options.escrow { DrillKey::Escrow } else { DrillKey::Daily },
        escrow_is_daily,
        by: who(session),
        auditor,
        signer: session.signing_key()?,
        given,
    };
    let observer = session.observer();
    let outcome = drill::drill(&Arc::new(request), &observer, &session.cancel, session.runtime.handle())?;
    drop(observer);
    let telling = Telling::drilled(session, &outcome.drill, outcome.exit());
    let recorded = outcome.record.is_some().then_some((ledger, &outcome.drill.release));
    audited::warn(&telling.finish(recorded));
    let events = if outcome.record.is_some() { write_page(session, place, &outcome) } else { Vec::new() };
    Ok(Came::Drilled { outcome: Box::new(outcome), manifest, events })
}

/// Returns the id of the newest release that passed. What cannot be read may be that one.
fn newest(ledger: &Ledger) -> Result<Option<String>> {
    let search = ledger.last_passed()?;
    if search.found.is_none() && search.unreadable.is_empty() && search.cut_after.is_none() {
        return Ok(None);
    }
    stored_manifest(ledger, None, |_| Ok(search)).map(|manifest| Some(manifest.id.to_string()))
}

/// Makes the page of the release anew: the drill is recorded, whatever becomes of the page.
fn write_page(session: &Session, place: &Place, outcome: &Outcome) -> Vec<EventRecord> {
    let ledger = Ledger::new(place.ledger_storage());
    page::write(session, &ledger, &outcome.drill.release).unwrap_or_else(|error| {
        output::note(&format!("warning: {}", error.chain()));
        Vec::new()
    })
}

/// Prints what became of every environment; the exit code is the worst.
fn tell(session: &Session, results: &[(String, Came)]) -> anyhow::Result<ExitCode> {
    let skipped: Vec<&str> =
        results.iter().filter(|(_, came)| matches!(came, Came::Skipped(_))).map(|(name, _)| &**name).collect();
    // Where nothing was drilled, nothing passed.
    let exit = match skipped.len() == results.len() {
        true => ExitCode::ManifestInvalid,
        false => ExitCode::first_of(results.iter().map(|(_, came)| came.exit())),
    };
    match session.format() {
        Format::Json => output::print_json(&Document {
            schema_version: 1,
            command: "drill",
            verdict: if exit == ExitCode::Pass { Answer::Pass } else { Answer::Refuse },
            exit_code: exit.number(),
            drills: results.iter().map(|(environment, came)| document(environment, came)).collect(),
        })?,
        Format::Text => {
            let texts: Vec<String> = results.iter().map(|(_, came)| in_text(session, came)).collect();
            output::print(&texts.join("\n"))?;
        }
    }
    for (environment, came) in results {
        match came {
            Came::Failed(error) => {
                output::note(&format!("{environment}:"));
                output::error(error);
            }
            Came::Skipped(why) => output::note(&format!("warning: {why}")),
            Came::Drilled { .. } => {}
        }
    }
    let worst = results.iter().find(|(_, came)| came.exit() == exit);
    let found: Vec<Finding> = match results {
        [(_, Came::Drilled { outcome, .. })] => outcome.drill.findings.clone(),
        several => several.iter().flat_map(|(environment, came)| findings_of(environment, came)).collect(),
    };
    let reason = found.iter().find(|finding| finding.level == Level::Refusal).map(Finding::in_words);
    let failed = worst.and_then(|(_, came)| match came {
        Came::Failed(error) => Some(error.chain()),
        _ => None,
    });
    let nothing = (skipped.len() == results.len()).then(|| "no environment has a release that passed".to_owned());
    let without = |words: String| match skipped.as_slice() {
        [] => words,
        names => format!("{words} (not drilled: {})", names.join(", ")),
    };
    let reason = reason.or(failed).or(nothing).map(without);
    let (manifest, events) = match worst {
        Some((_, Came::Drilled { manifest, events, .. })) => (Some(&**manifest), events.as_slice()),
        _ => (None, &[][..]),
    };
    let passed = without("the drill passed: what was restored is right".to_owned());
    let explanation = Some(reason.as_deref().unwrap_or(&passed));
    if exit == ExitCode::Pass && !skipped.is_empty() {
        output::note(&passed);
    }
    session.show_in_ci(&CiReport { findings: &found, explanation, manifest, events, ..CiReport::new("drill", exit) });
    let words = Closing { has_verdict: true, reason: reason.as_deref(), ..session.closing("drill") };
    output::close(exit, words);
    Ok(exit)
}

fn document<'a>(environment: &'a str, came: &'a Came) -> Drilled<'a> {
    let empty =
        Drilled { environment, exit_code: came.exit().number(), event: None, drill: None, error: None, skipped: None };
    match came {
        Came::Drilled { outcome, .. } => Drilled {
            event: outcome.record.as_ref().map(|record| record.name.as_str()),
            drill: Some(&outcome.drill),
            ..empty
        },
        Came::Skipped(why) => Drilled { skipped: Some(why), ..empty },
        Came::Failed(error) => Drilled { error: VerdictDocument::of_error("drill", error).error, ..empty },
    }
}

fn in_text(session: &Session, came: &Came) -> String {
    match came {
        Came::Drilled { outcome, .. } => text::drill(&outcome.drill, outcome.record.as_ref(), session.style()),
        Came::Skipped(_) | Came::Failed(_) => String::new(),
    }
}

/// Returns the findings of one of several environments, with its name.
fn findings_of(environment: &str, came: &Came) -> Vec<Finding> {
    let Came::Drilled { outcome, .. } = came else { return Vec::new() };
    let named =
        |finding: &Finding| Finding { message: format!("{environment}: {}", finding.message), ..finding.clone() };
    outcome.drill.findings.iter().map(named).collect()
}
