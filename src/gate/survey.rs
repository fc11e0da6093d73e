//! Before anything is written: what runs now, and whether everything can be captured.

use super::history::{self, Sought};
use super::request::{Given, Request};
use super::scratch::Scratch;
use crate::cancel::Cancel;
use crate::config::SourceConfig;
use crate::error::{Error, Result};
use crate::ledger::Ledger;
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{From, ProbeKind};
use crate::process::{self, Program};
use crate::release::probe::{self, Agreement, RunCommand};
use crate::source::{self, Context, Source, discover};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// The most that a `command` probe may print, in bytes.
const LARGEST_PROBE_OUTPUT: u64 = 1 << 20;

/// A source that is ready to be captured.
pub struct Ready<'r> {
    /// Its configuration.
    pub config: &'r SourceConfig,
    /// What captures it.
    pub source: Box<dyn Source>,
    /// Its private directory.
    pub context: Context,
}

/// Observes the deployed version, and says what speaks against going on.
///
/// # Errors
/// Only a cancellation: a probe that does not answer is a finding.
pub fn observe(request: &Request, cancel: &Cancel, runtime: &Handle) -> Result<(From, Vec<Finding>)> {
    let nothing =
        From { version: None, commit: None, observed_at: None, probe: ProbeKind::None, instances: Vec::new() };
    let Some(probe) = &request.settings.deployed else {
        return Ok(match &request.from {
            Given::Version(version) => {
                (From { version: Some(version.clone()), probe: ProbeKind::Given, ..nothing }, Vec::new())
            }
            Given::First => (From { probe: ProbeKind::First, ..nothing }, Vec::new()),
            Given::Nothing => {
                let message = "no probe is configured and no version was given: what is deployed is unknown";
                let finding = Finding::warning(FindingCode::ProbeMissing, message).hint(format!(
                    "configure [environment.{}.deployed], or give --from VERSION or --first",
                    request.environment
                ));
                (nothing, vec![finding])
            }
        });
    };
    let runner = probe_runner(request.directory.clone());
    let observation = runtime.block_on(probe::observe(probe, request.config.versioning, cancel, &runner))?;
    let agreement = observation.agreed();
    let mut from = observation.into_from();
    let refusal = |code, message| Finding::refusal(code, message);
    let findings = match (agreement, &request.from) {
        (Agreement::Same { version, .. }, Given::Version(stated)) if !stated.is_same_release(&version) => {
            vec![refusal(FindingCode::FromMismatch, format!("--from says {stated}, but {version} is deployed"))]
        }
        (Agreement::Same { version, .. }, Given::First) => {
            let message = format!("--first says that nothing is deployed, but {version} is");
            vec![refusal(FindingCode::FromMismatch, message)]
        }
        (Agreement::Same { .. }, _) => Vec::new(),
        // Nothing runs before the first deploy, so nothing can answer.
        (Agreement::Silent(_), Given::First) => {
            from.probe = ProbeKind::First;
            Vec::new()
        }
        (Agreement::Silent(why) | Agreement::Incomplete(why), _) => vec![
            refusal(FindingCode::ProbeFailed, why)
                .hint("see that the application answers; for the first deploy ever, give --first"),
        ],
        (Agreement::Disagree(why), _) => vec![
            refusal(FindingCode::InstancesDisagree, why)
                .hint("finish or undo the rollout that is under way before the next one"),
        ],
    };
    Ok((from, findings))
}

/// Returns what runs the program of a `command` probe, in `directory`.
pub fn probe_runner(directory: PathBuf) -> Arc<RunCommand> {
    Arc::new(move |argv: &[String], env: &BTreeMap<String, String>, timeout: Duration, cancel: &Cancel| {
        let mut program = Program::new(argv.iter().cloned());
        program.env.extend(env.iter().map(|(name, value)| (name.clone(), value.clone())));
        program.directory = Some(directory.clone());
        program.secrets = env.values().cloned().collect();
        process::run_to_end(&program, timeout, cancel, LARGEST_PROBE_OUTPUT)?.into_stdout()
    })
}

/// Compares what was observed with what the ledger says was deployed last.
///
/// # Errors
/// The store's own.
pub fn compare_with_ledger(from: &mut From, ledger: &Ledger) -> Result<Vec<Finding>> {
    if from.version.is_none() {
        // Nothing was observed that could be compared.
        return Ok(Vec::new());
    }
    let search = ledger.last_deployed()?;
    let mut findings = history::findings(
        &search,
        Sought {
            none: "was seen to be deployed",
            so: "what is deployed is compared with nothing",
            hint: "run `holdpoint reconcile` after every deploy",
            // Nobody has to reconcile.
            level: Level::Info,
        },
    );
    if let (Some(observed), Some(recorded)) = (&from.version, &search.found) {
        if observed.may_be_same_build(&recorded.version) {
            from.commit = from.commit.take().or_else(|| recorded.commit.clone());
        } else {
            let message = format!(
                "{observed} is deployed, but the ledger saw {} deployed last (release {}): something deployed past the gate",
                recorded.version, recorded.release
            );
            findings.push(Finding::warning(FindingCode::DeployedUnrecorded, message));
        }
    }
    Ok(findings)
}

/// Builds every source and looks for everything that its capture will need.
///
/// # Errors
/// No private directory can be made, or a cancellation.
pub fn prepare<'r>(
    request: &'r Request,
    scratch: &Scratch,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<(Vec<Ready<'r>>, Vec<Finding>)> {
    let mut ready = Vec::new();
    for config in &request.sources {
        let context = Context::new(cancel.clone(), scratch.folder(&config.name)?, runtime.clone())?;
        ready.push(Ready { config, source: source::build(config, &request.directory), context });
    }
    // Side by side: a server that does not answer must not keep the others waiting.
    let findings: Vec<Vec<Finding>> = std::thread::scope(|scope| {
        let threads: Vec<_> = ready.iter().map(|ready| scope.spawn(|| preflight(ready))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| vec![panicked()])).collect()
    });
    cancel.check()?;
    Ok((ready, findings.concat()))
}

fn preflight(ready: &Ready<'_>) -> Vec<Finding> {
    let findings = ready.source.preflight(&ready.context).into_iter();
    let findings = findings.map(|finding| finding.of_source(&ready.config.name));
    findings.map(|finding| if ready.config.required { finding } else { finding.softened() }).collect()
}

fn panicked() -> Finding {
    Finding::refusal(FindingCode::InternalError, "the preflight of a source panicked")
}

/// Looks for databases that no source captures.
pub fn undeclared(request: &Request) -> Vec<Finding> {
    let top = request.work_tree.as_ref().unwrap_or(&request.directory);
    discover::undeclared(&discover::discover(top), &request.sources, &request.config.ignored_databases)
}

/// Names the source of a finding, which is a warning if the source is not required.
pub fn soften(config: &SourceConfig, finding: Finding) -> Finding {
    let finding = finding.of_source(&config.name);
    if config.required { finding } else { finding.softened() }
}

/// Says which sources this run leaves to `holdpoint snapshot`: nobody shall believe that it captures them.
pub fn left_out(request: &Request, ready: &[Ready<'_>]) -> Vec<Finding> {
    let leaned_on =
        |name: &String| ready.iter().any(|ready| ready.source.leans_on().is_some_and(|on| on.source == *name));
    let finding = |name: &String| {
        let message = "left to `holdpoint snapshot`: this run does not capture it".to_owned();
        let finding = match leaned_on(name) {
            true => Finding::info(FindingCode::LeftToSnapshot, message),
            false => Finding::warning(FindingCode::LeftToSnapshot, message).hint(
                "a rollback of this release does not bring it back: take `capture` out of the source if it should",
            ),
        };
        finding.of_source(name)
    };
    request.left_out.iter().map(finding).collect()
}

/// Turns an error into a refusal of one source, or into a warning if the source is not required.
pub fn source_finding(config: &SourceConfig, error: &Error, fallback: FindingCode) -> Finding {
    let finding = Finding::from_error(error, fallback).of_source(&config.name);
    if config.required || error.is_cancelled() { finding } else { finding.softened() }
}
