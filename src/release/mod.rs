//! Facts about a release: git, the CI system, the deployed version.
