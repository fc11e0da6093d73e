//! Tests against the real binary and real servers; the modules mirror `src/`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod cli;
mod delivery;
mod dependencies;
mod docs;
mod fuzz_corpus;
mod gate;
mod ledger;
mod pipeline;
mod policy;
mod readme;
mod release;
mod report;
mod repository;
mod rooms;
mod source;
mod storage;
mod support;
