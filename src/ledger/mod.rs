//! Manifests, events, audit, claim, freeze and the lease of one environment, on a storage rooted at `APPLICATION/ENVIRONMENT`.
//!
//! Records are create-only and never edited: each manifest names the digest of the one before it, and what happens
//! later is an event beside its manifest. Only the holder of the [`lease`] appends releases.

pub mod audit;
mod chain;
pub mod claim;
pub mod drills;
pub mod events;
pub mod freeze;
pub mod inventory;
pub mod lease;
pub mod manifest;
mod releases;
pub mod rollback_pass;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod scale;
mod search;
#[cfg(test)]
mod tests;
mod walk;

pub use chain::{Break, Chain};
pub use releases::{Ledger, Stored};
pub use search::{Deployed, Listed, Search, Unreadable};
