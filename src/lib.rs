//! holdpoint: a hold point for deployments. No restorable snapshot, no deploy.
//!
//! # The map of the house
//!
//! Types flow one way: `Request + Config → Release → Plan → Capture → Manifest → Verdict → ExitCode`.
//!
//! | room | what lives there | may import |
//! |---|---|---|
//! | [`error`], [`cancel`], [`process`] | the vocabulary of the house: errors and exit codes, cancellation, child processes | each other |
//! | [`model`] | nouns without I/O: version, finding, verdict, manifest | |
//! | [`config`] | text → raw → validated configuration | `model` |
//! | [`signing`] | who vouches for a manifest: signatures and allowed signers | |
//! | [`storage`] | bytes at rest: the trait, its drivers and wrappers | |
//! | [`repository`] | the restic format: crypto, chunker, pack, index, tree, archive, restore, check, copy | `model` `storage` |
//! | [`release`] | facts about a release: git, CI system, deployed-version probes | `config` `model` |
//! | [`source`] | one file per kind: preflight, capture, inspect, restore, isolate | `config` `model` |
//! | [`ledger`] | manifests, events, audit, lease, claim, freeze on a storage | `model` `storage` |
//! | [`notify`] | status lines to webhooks, beside the work and never in its way; audit lines to a file and to syslog | `config` `model` |
//! | [`policy`] | pure rules: severity, sanity of sizes, whether a pass fits, which way back | `config` `model` |
//! | [`gate`] | the verbs: plan, capture, verify, judge, admit, reconcile, rollback, drill | all above |
//! | [`report`] | verdict → readers: text, JSON, HTML, progress | `model` `ledger` |
//! | [`cli`] | words → request → room → exit code; the only user of clap | all |
//!
//! Every room may import `error`, `cancel` and `process`. `tests/rooms.rs` reads this table and every
//! `use crate::` line, and fails on an arrow that is not in it.

pub mod cancel;
pub mod cli;
pub mod config;
pub mod error;
pub mod gate;
pub mod ledger;
pub mod model;
pub mod notify;
pub mod policy;
pub mod process;
pub mod release;
pub mod report;
pub mod repository;
pub mod signing;
pub mod source;
pub mod storage;
