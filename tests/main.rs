//! Tests against the real binary and real servers; the modules mirror `src/`.

mod repository;
mod support;
