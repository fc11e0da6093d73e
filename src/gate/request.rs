//! What is asked of the gate.

use super::audit::Auditor;
use super::copies::CopyStore;
use super::glass::Glass;
use super::place::Place;
use crate::config::{CaptureIn, Config, EnvironmentConfig, SourceConfig};
use crate::model::manifest::{Pipeline, Purpose};
use crate::model::version::Version;
use crate::release::resolve::Target;
use crate::signing::{AllowedSigners, SigningKey};
use std::path::PathBuf;
use std::time::Duration;

/// One run: everything that was decided before anything was touched.
#[derive(Debug, Clone)]
pub struct Request {
    /// What the snapshots are for.
    pub purpose: Purpose,
    /// The application.
    pub application: String,
    /// The environment.
    pub environment: String,
    /// What the configuration says of the environment; empty if it says nothing.
    pub settings: EnvironmentConfig,
    /// The configuration.
    pub config: Config,
    /// What to capture.
    pub sources: Vec<SourceConfig>,
    /// The names of sources that a gate leaves to `holdpoint snapshot`.
    pub left_out: Vec<String>,
    /// The directory that relative paths of sources count from.
    pub directory: PathBuf,
    /// Where snapshots and records go.
    pub place: Place,
    /// Second stores that get everything, too.
    pub copies: Vec<CopyStore>,
    /// What is to be deployed.
    pub target: Target,
    /// What runs now, as far as the caller says it.
    pub from: Given,
    /// The CI run that asks.
    pub pipeline: Pipeline,
    /// Paths that changed since the deployed commit can be asked of git here.
    pub work_tree: Option<PathBuf>,
    /// The deadline of the whole run.
    pub timeout: Duration,
    /// Where the manifest is written first.
    pub manifest_out: PathBuf,
    /// What vouches for the manifest.
    pub signer: Option<SigningKey>,
    /// Who may have signed what the run finds in the ledger, if that is known.
    pub signers: Option<AllowedSigners>,
    /// Whose keys may approve, if that is known.
    pub approvers: Option<AllowedSigners>,
    /// The change ticket.
    pub ticket: Option<String>,
    /// The override that was asked for.
    pub glass: Option<Glass>,
    /// Who asks, and who is told of it.
    pub auditor: Auditor,
    /// Whether a run that passes keeps its lease for what the caller does next.
    pub keeps_lease: bool,
}

/// What the caller says of the deployed version.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// Nothing: the probe is asked, if there is one.
    Nothing,
    /// `--from`: this version.
    Version(Version),
    /// `--first`: nothing is deployed.
    First,
}

impl Request {
    /// Says whether every run captures the same sources: then the newest release that passed has the newest snapshot of each.
    pub fn is_captured_alike(&self) -> bool {
        self.config.sources.iter().all(|source| source.capture == CaptureIn::Every)
    }
}
