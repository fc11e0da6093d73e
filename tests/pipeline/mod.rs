//! The wrappers for CI systems, run for real with the real binary.

mod gitlab;
mod kubernetes;
