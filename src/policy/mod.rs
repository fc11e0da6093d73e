//! Pure rules: whether a pass fits, how large a step is, what a comparison or a drill comes to, whether a server, a size
//! and a content are plausible, whether there is time enough and a window is open, what has to be captured, which way back is
//! the right one, and what is kept.

pub mod admission;
pub mod approval;
pub mod base_backup;
pub mod content;
pub mod drill;
pub mod effective;
pub mod fit;
pub mod identity;
pub mod paths;
pub mod raise;
pub mod reconcile;
pub mod requirements;
pub mod restored;
pub mod retention;
pub mod reuse;
pub mod sanity;
pub mod schema;
pub mod scope;
pub mod server;
pub mod severity;
pub mod ways;
pub mod windows;
