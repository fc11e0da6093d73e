//! `drill`: restores a release into isolation, looks at it there, measures, cleans up, and records what it found.
//!
//! [`run`] goes the way: for each source ([`one`]) a [`place`] is made, [`apart`] and [`database`] prove that it has nothing
//! to do with the origin, and it is restored; [`check`] asks the user's questions, and [`clean`] removes everything,
//! whatever came of it. [`supervise`] holds the deadline
//! over all of it, and [`record`] writes the event.

mod apart;
mod check;
mod clean;
mod database;
mod one;
mod place;
mod record;
mod run;
mod supervise;

pub use supervise::drill;

use super::audit::Auditor;
use super::place::Place;
use super::rollback::Given;
use crate::config::{Config, EnvironmentConfig};
use crate::error::ExitCode;
use crate::ledger::events::EventRecord;
use crate::model::drill::{Drill, DrillKey};
use crate::model::verdict::Verdict;
use crate::signing::{AllowedSigners, SigningKey};
use std::path::PathBuf;

/// What is asked of a drill: everything that was decided before anything was touched.
#[derive(Debug)]
pub struct Request {
    /// The manifest of the release that is restored.
    pub given: Given,
    /// Whether the caller named the release, so that its age is no surprise.
    pub was_named: bool,
    /// Who may have signed it, if that is known.
    pub signers: Option<AllowedSigners>,
    /// What the configuration says of the environment.
    pub settings: EnvironmentConfig,
    /// The configuration.
    pub config: Config,
    /// The directory that relative paths of the configuration count from, absolute.
    pub directory: PathBuf,
    /// Where the snapshots and the records are; it knows the password.
    pub place: Place,
    /// Which password that is.
    pub key: DrillKey,
    /// Whether the password that was given as that in escrow is the daily one.
    pub escrow_is_daily: bool,
    /// Who asks.
    pub by: String,
    /// Who is told of it.
    pub auditor: Auditor,
    /// What vouches for the record.
    pub signer: Option<SigningKey>,
}

/// How a drill ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was found.
    pub drill: Drill,
    /// Its record in the ledger; `None` if it could not be written.
    pub record: Option<EventRecord>,
}

impl Outcome {
    /// Returns the exit code that tells it.
    pub fn exit(&self) -> ExitCode {
        Verdict::of(&self.drill.findings).1
    }
}
