//! Storage drivers against real servers.

mod cache;
mod conformance;
mod failures;
pub mod object_lock;
mod restic;
mod servers;
