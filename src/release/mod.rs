//! Facts about a release: git, the CI system, the deployed version.

pub mod address;
pub mod ci;
pub mod git;
pub mod probe;
pub mod resolve;
pub mod shell;
mod version;
