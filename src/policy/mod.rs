//! Pure rules: whether a pass fits, how large a step is, what a comparison or a drill comes to, whether a server, a size
//! and a content are plausible, and whether there is time enough.

pub mod admission;
pub mod base_backup;
pub mod content;
pub mod drill;
pub mod fit;
pub mod identity;
pub mod reconcile;
pub mod sanity;
pub mod severity;
