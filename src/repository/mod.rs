//! The restic repository format, version 2: our engine.

pub mod exclude;
