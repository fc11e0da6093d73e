//! `action.yml`, unmodified, executed as GitHub's runner does, with GitHub's own parser and evaluator.

mod action;
mod binary;
mod cancel;
mod examples;
mod host;
mod inputs;
mod lints;
mod runner;
mod runs;
