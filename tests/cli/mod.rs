//! The command line: what it takes, what it prints, how it ends.

mod bad_input;
mod commands;
mod discovery;
mod help;
mod restore;
