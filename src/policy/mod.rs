//! Pure rules: severity, sanity of sizes, comparison of versions.

pub mod reconcile;
pub mod severity;
