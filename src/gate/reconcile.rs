//! Is what runs what the manifest says?

use super::survey::probe_runner;
use crate::cancel::Cancel;
use crate::config::ProbeConfig;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::model::manifest::{Instance, Manifest};
use crate::model::reconciliation::{Outcome, Side};
use crate::model::version::{Version, Versioning};
use crate::policy::reconcile::compare;
use crate::release::probe;
use jiff::Timestamp;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often the running system is asked while it is waited for.
const POLL: Duration = Duration::from_secs(1);

/// What is to be compared with what.
#[derive(Debug)]
pub struct Request<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// Which side of the release should run.
    pub expected: Side,
    /// How the running system is observed.
    pub observe: Observe<'a>,
    /// The directory that a `command` probe runs in.
    pub directory: PathBuf,
    /// How versions are read.
    pub versioning: Versioning,
    /// How long to wait for a match.
    pub wait: Duration,
}

/// How the running system is observed.
#[derive(Debug)]
pub enum Observe<'a> {
    /// By its probe.
    Probe(&'a ProbeConfig),
    /// The caller says what is deployed.
    Given(Version),
}

/// What the comparison came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconciled {
    /// The outcome.
    pub outcome: Outcome,
    /// The outcome in one sentence.
    pub explanation: String,
    /// What each instance answered.
    pub instances: Vec<Instance>,
    /// When it was observed.
    pub at: Timestamp,
}

impl Reconciled {
    /// Returns the exit code that tells the outcome.
    pub fn exit(&self) -> ExitCode {
        match self.outcome {
            Outcome::Matched => ExitCode::Pass,
            Outcome::Unchanged | Outcome::Partial | Outcome::Drifted | Outcome::Unknown => ExitCode::DeployedMismatch,
        }
    }
}

/// Compares a manifest with the running system, again and again until it matches or the time is up.
///
/// # Errors
/// `config` if the probe's settings cannot be resolved; a cancellation. A probe that does not answer is an outcome.
pub fn reconcile(request: &Request<'_>, cancel: &Cancel, runtime: &Handle) -> Result<Reconciled> {
    let clock = Instant::now();
    loop {
        let (instances, at) = match &request.observe {
            Observe::Given(version) => {
                let name = "--deployed".to_owned();
                (vec![Instance { name, version: Some(version.clone()), commit: None, error: None }], Timestamp::now())
            }
            Observe::Probe(config) => {
                let runner = probe_runner(request.directory.clone());
                let observed = probe::observe(config, request.versioning, cancel, &runner);
                let observation = runtime.block_on(observed)?;
                (observation.instances, observation.observed_at)
            }
        };
        let manifest = request.manifest;
        let accept = if request.expected == manifest.reconciliation.expected {
            manifest.reconciliation.accept.as_slice()
        } else {
            &[]
        };
        let comparison = compare(&manifest.release, request.expected, accept, &instances);
        let reconciled = Reconciled { outcome: comparison.outcome, explanation: comparison.explanation, instances, at };
        let left = request.wait.saturating_sub(clock.elapsed());
        // What the caller says will not change by asking again.
        let final_answer = matches!(request.observe, Observe::Given(_)) || left.is_zero();
        if reconciled.outcome == Outcome::Matched || final_answer {
            return Ok(reconciled);
        }
        cancel.sleep(left.min(POLL))?;
    }
}

/// Makes sure that a manifest is for this application and environment.
///
/// # Errors
/// `manifest-invalid`, naming both.
pub fn check_place(manifest: &Manifest, application: &str, environment: &str) -> Result<()> {
    let invalid = |what: &str, theirs: &str, ours: &str| {
        let message = format!("the manifest {} is for the {what} {theirs}, not for {ours}", manifest.id);
        Err(Error::new(ErrorCode::ManifestInvalid, message)
            .hint(format!("give the {what}'s own manifest, or name {theirs} by --{what}")))
    };
    if manifest.environment.name != environment {
        return invalid("environment", &manifest.environment.name, environment);
    }
    if manifest.application != application {
        return invalid("application", &manifest.application, application);
    }
    Ok(())
}
