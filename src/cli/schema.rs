//! `schema`: the JSON Schemas of our documents.

use super::output;
use crate::config;
use crate::error::ExitCode;
use crate::report::schema;
use clap::ValueEnum;

/// Which schema is printed.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The document: a rollback manifest, the configuration, or what --format json prints
    #[arg(value_name = "manifest|config|verdict", hide_possible_values = true)]
    pub document: Document,
}

/// A document with a schema.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Document {
    /// The rollback manifest.
    Manifest,
    /// holdpoint.toml.
    Config,
    /// What `--format json` prints.
    Verdict,
}

/// Runs `schema`.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    match options.document {
        Document::Manifest => output::print_json(&schema::manifest_schema())?,
        Document::Config => output::print_json(&config::schema())?,
        Document::Verdict => output::print_json(&schema::verdict_schema())?,
    }
    Ok(ExitCode::Pass)
}
