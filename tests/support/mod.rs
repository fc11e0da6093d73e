//! What several tests need.

pub mod restic;
pub mod sample;
pub mod storage;
pub mod tree;
