//! The gate end to end: what passes, what refuses, what a run leaves behind.

mod admit;
mod audit;
mod busy;
mod copies;
mod deadline;
mod drill;
mod embedded;
mod failures;
mod guard;
mod incidents;
mod kill;
mod locked;
mod network;
mod pass;
mod prune;
mod require;
mod reuse;
mod rollback;
mod sanity;
pub mod shop;
mod store;
mod webhooks;
mod windows;
