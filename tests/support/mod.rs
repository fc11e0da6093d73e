//! What tests share: the real binary in a clean environment, git, stock restic, servers, trees.
#![allow(dead_code, reason = "helpers are here before the last test that uses them")]

pub mod captured;
pub mod environment;
pub mod faults;
pub mod git;
pub mod holdpoint;
pub mod ledger;
pub mod mariadb;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod restic;
pub mod s3;
pub mod sample;
pub mod shared;
pub mod shop;
pub mod signing;
pub mod storage;
pub mod tree;
pub mod version_server;
pub mod wait;

/// Says whether the long runs were asked for, by `scripts/test --full`.
pub fn full() -> bool {
    std::env::var_os("HOLDPOINT_TEST_FULL").is_some_and(|value| value == "1")
}
