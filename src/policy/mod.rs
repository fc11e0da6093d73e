//! Pure rules: how large a step is, what a comparison comes to, whether a size is plausible.

pub mod reconcile;
pub mod sanity;
pub mod severity;
