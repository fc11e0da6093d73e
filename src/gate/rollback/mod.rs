//! `rollback`: executes the way back of one manifest.
//!
//! [`plan`] looks at everything and changes nothing: is this the manifest of what runs, may it be believed, does each
//! source lead where it came from, what holds it now, and which way back is the right one? [`perform`] freezes the
//! environment and does the steps of a way under its lease, one after another, each recorded in the [`journal`], so that a
//! rollback that was interrupted is gone on with where it was.

mod added;
mod against;
mod begin;
mod command;
mod estimates;
mod evidence;
mod fit;
mod hooks;
mod journal;
mod left;
mod lost;
mod pass;
mod perform;
mod plan;
mod point;
mod safety;
mod sources;
mod steps;
mod survey;
mod touched;
mod verify;
mod watch;
mod ways;

pub use command::command;
pub use evidence::{Given, doubt};
pub use perform::{Outcome, perform};
pub use plan::plan;
pub(super) use sources::restorable;
pub use watch::Watcher;

use super::request;
use crate::model::way::WayKind;
use crate::signing::AllowedSigners;
use std::path::PathBuf;
use std::time::Duration;

/// How long the older version may take to answer at the end, unless it is said otherwise.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(120);

/// What is asked of a rollback: everything that was decided before anything was looked at.
#[derive(Debug)]
pub struct Request<'a> {
    /// The manifest of the release that is undone.
    pub given: &'a Given,
    /// Who may have signed it, if that is known.
    pub signers: Option<&'a AllowedSigners>,
    /// Where and what: the place, the configuration, the key. The safety snapshot is a run of its kind; what a run
    /// captures and for which release is for the rollback to say.
    pub run: request::Request,
    /// Which way back to go: the one that was begun without it, or else a full restore.
    pub way: Option<WayKind>,
    /// The file of the allowed signers, if it was named for this rollback alone.
    pub signers_file: Option<PathBuf>,
    /// Variables that no program of the rollback gets: who deploys must not be able to vouch for the next deploy.
    pub withheld: Vec<String>,
    /// Why to go on even if the manifest does not describe what runs.
    pub force: Option<String>,
    /// Why not to save the present state first.
    pub no_safety_snapshot: Option<String>,
    /// How long to wait at the end until the older version answers.
    pub wait: Duration,
    /// Who asks.
    pub by: String,
}
