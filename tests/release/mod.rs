//! Facts about a release: git, the CI system, and the version that is deployed.

mod changes;
mod ci;
mod git;
mod reconcile;
