//! Facts about a release: git, and the version that is deployed.

mod git;
mod reconcile;
