//! Storage drivers against real servers.

mod conformance;
mod failures;
mod restic;
mod servers;
