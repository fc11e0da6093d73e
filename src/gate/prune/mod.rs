//! `prune`: retention. Releases that no rule keeps are let go: their snapshots are removed, and with them what no other
//! snapshot needs. Manifests are never deleted; an event beside each says what became of it.
//!
//! [`look`] decides and changes nothing; [`perform`] decides anew under the repository's exclusive lock and the
//! environment's lease, and lets go of nothing else than what was shown. The order holds against everybody else at work:
//!
//! - The exclusive lock comes first: whoever reads or writes the repository holds a shared one, so that a restore, a drill
//!   or a copy under way is waited for, and none begins.
//! - Then the lease, which a gate holds until its manifest names its snapshots, and a rollback and `admit` as long as they
//!   rely on them. Lock and lease together mean: everything that anybody relies on is in the ledger, and stays so.
//! - Under both what runs is observed, the ledger is read, and the plan is made. What stays is written anew, so that a store
//!   that lets us delete nothing, or a needed blob that is damaged, is met before anything is said to go.
//! - Then `pruned` events are written, so that from now on nobody takes these releases for a way back, and the lease is given
//!   back: what is left needs the lock alone.
//! - Then snapshots are removed, and packs, as long as nobody freezes the environment or deploys. A kill anywhere leaves
//!   releases that are marked and still there; the next prune finds them by the tags of their snapshots.
//!
//! A snapshot that no readable record names is never removed, unless it is asked for by age, and bears our own tags.

mod archive;
mod choice;
mod facts;
pub mod hold;
mod live;
mod mark;
mod perform;
mod plan;
mod unnamed;

pub use choice::{Choice, Release, Unnamed};
pub use perform::{Done, look, perform};

use super::audit::Auditor;
use super::copies::CopyStore;
use super::place::Place;
use crate::config::{Config, EnvironmentConfig, RetentionConfig};
use crate::model::manifest::Severity;
use crate::model::progress::Observer;
use crate::repository::prune::Options;
use std::path::PathBuf;
use std::time::Duration;

/// What is asked of a prune: everything that was decided before anything was looked at.
pub struct Request<'a> {
    /// The application.
    pub application: &'a str,
    /// The environment.
    pub environment: &'a str,
    /// Where the records and snapshots are.
    pub place: &'a Place,
    /// The copy from which snapshots are removed; the store itself without it.
    pub copy: Option<&'a CopyStore>,
    /// The copy that keeps everything, of an environment that is retired.
    pub archive: Option<&'a CopyStore>,
    /// The configuration.
    pub config: &'a Config,
    /// What it says of the environment.
    pub settings: &'a EnvironmentConfig,
    /// `[retention]`, and what the command line says instead.
    pub retention: &'a RetentionConfig,
    /// Removes snapshots with our tags that no record names and that are older.
    pub unreferenced_older_than: Option<Duration>,
    /// How much is done to free space.
    pub options: Options,
    /// The directory that a `command` probe runs in.
    pub directory: PathBuf,
    /// How long to wait for others.
    pub patience: Duration,
    /// Who asks.
    pub by: String,
    /// The CI run that asks.
    pub run_url: Option<String>,
    /// Writes the line of the audit.
    pub auditor: &'a Auditor,
    /// Shows progress.
    pub observer: &'a dyn Observer,
}

impl Request<'_> {
    /// Returns how long releases of each severity are kept at least in this environment.
    fn keep_for(&self) -> Vec<(Severity, Duration)> {
        let tier = self.settings.tier.as_deref();
        let of = |severity: Severity| {
            let policy = self.config.policy.severities.get(&severity)?;
            let by_tier = tier.and_then(|tier| policy.tiers.get(tier)).and_then(|rules| rules.keep_for);
            by_tier.or(policy.rules.keep_for).map(|age| (severity, age))
        };
        Severity::ALL.into_iter().filter_map(of).collect()
    }

    /// Says whether the environment is emptied: it is retired, and a copy keeps everything.
    fn empties(&self) -> bool {
        self.archive.is_some()
    }
}
