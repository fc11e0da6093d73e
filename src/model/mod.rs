//! The nouns of holdpoint, without I/O: what the other rooms hand to each other.

pub mod audit;
pub mod changes;
pub mod drill;
pub mod exclude;
pub mod finding;
pub mod leaning;
pub mod manifest;
pub mod overridable;
pub mod progress;
pub mod prune;
pub mod reconciliation;
pub mod release_id;
pub mod rollback;
pub mod rule;
pub mod status;
pub mod verdict;
pub mod version;
pub mod way;
