//! Text → raw → validated configuration (`holdpoint.toml`, design §5).

pub mod types;

pub use types::*;
