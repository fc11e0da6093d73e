//! `audit` and `audit verify`: what was done here, and whether somebody removed a line of it.

use super::options::Format;
use super::output;
use super::session::Session;
use crate::error::{ExitCode, IoContext, Result};
use crate::ledger::audit::{Audit, ReadLine, kept};
use crate::model::audit::{AuditLine, AuditLink};
use crate::model::finding::{Finding, FindingCode};
use crate::model::verdict::Verdict;
use crate::report::audit as text;
use crate::report::ci::CiReport;
use crate::report::closing::Closing;
use crate::report::text::findings;
use crate::report::verdict::Answer;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Which lines, or whether all of them are there.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    /// List at most N lines, the newest last
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Print the lines as they are stored: one JSON document a line
    #[arg(long)]
    pub raw: bool,
    /// Something else than listing.
    #[command(subcommand)]
    pub action: Option<Action>,
}

/// What else can be done.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Find lines and records that were removed, altered, reordered or cut off
    Verify(VerifyOptions),
}

/// What the lines are compared with, besides the ledger.
#[derive(Debug, clap::Args)]
pub struct VerifyOptions {
    /// Compare with the lines in FILE, too, which were kept elsewhere
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
}

/// The lines as JSON.
#[derive(Debug, Serialize)]
struct ListDocument<'a> {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    lines: Vec<Listed<'a>>,
}

/// One line as JSON.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    number: u64,
    digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<&'a AuditLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// The result of `audit verify` as JSON.
#[derive(Debug, Serialize)]
struct VerifyDocument<'a> {
    schema_version: u32,
    command: &'static str,
    verdict: Answer,
    exit_code: u8,
    lines: u64,
    end: &'a AuditLink,
    manifests: u64,
    events: u64,
    findings: &'a [Finding],
}

/// Runs `audit`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    match &options.action {
        Some(Action::Verify(options)) => verify(session, options),
        None => list(session, options),
    }
}

fn list(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let lines = session.ledger()?.newest_audit(options.limit)?;
    let raw = |read: &ReadLine| String::from_utf8_lossy(&read.bytes).into_owned();
    match session.format() {
        _ if options.raw => output::print(&lines.iter().map(raw).collect::<String>())?,
        Format::Text => output::print(&text::lines(&lines))?,
        Format::Json => output::print_json(&ListDocument {
            schema_version: 1,
            command: "audit",
            exit_code: 0,
            lines: lines.iter().map(listed).collect(),
        })?,
    }
    Ok(ExitCode::Pass)
}

fn listed(read: &ReadLine) -> Listed<'_> {
    Listed {
        number: read.number,
        digest: &read.digest,
        line: read.line.as_ref().ok(),
        error: read.line.as_ref().err().map(crate::error::Error::chain),
    }
}

fn verify(session: &Session, options: &VerifyOptions) -> anyhow::Result<ExitCode> {
    let ledger = session.ledger()?;
    let (kept, unreadable) = kept_elsewhere(session, options)?;
    let audit = ledger.verify_audit(&kept, &session.cancel)?;
    let mut found = unreadable;
    found.extend(found_in(&audit));
    found.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let (verdict, exit) = Verdict::of(&found);
    match session.format() {
        Format::Text => {
            output::print(&format!("{}{}", text::verified(&audit), findings(&found, session.style())))?;
        }
        Format::Json => output::print_json(&VerifyDocument {
            schema_version: 1,
            command: "audit verify",
            verdict: verdict.into(),
            exit_code: exit.number(),
            lines: audit.lines,
            end: &audit.end,
            manifests: audit.manifests,
            events: audit.events,
            findings: &found,
        })?,
    }
    session.show_in_ci(&CiReport { findings: &found, ..CiReport::new("audit", exit) });
    let reason = found.first().map(Finding::in_words);
    output::close(exit, Closing { has_verdict: true, reason: reason.as_deref(), ..session.closing("audit") });
    Ok(exit)
}

/// Reads the lines that were kept elsewhere.
fn kept_elsewhere(session: &Session, options: &VerifyOptions) -> Result<(BTreeMap<u64, String>, Vec<Finding>)> {
    let Some(path) = &options.against else { return Ok((BTreeMap::new(), Vec::new())) };
    let bytes = std::fs::read(path).io_context(|| format!("cannot read {}", path.display()))?;
    let kept = kept(&bytes, &session.application()?, &session.environment()?);
    let finding = |place: usize| {
        let message = format!("line {place} of {} is no line of an audit", path.display());
        Finding::refusal(FindingCode::AuditBroken, message).hint("see who can write to that file")
    };
    Ok((kept.digests, kept.unreadable.into_iter().map(finding).collect()))
}

fn found_in(audit: &Audit) -> Vec<Finding> {
    let finding = |problem: &crate::ledger::audit::Problem| {
        let finding = Finding::refusal(FindingCode::AuditBroken, problem.to_string())
            .hint("find out who can write to the store; docs/audit.md says what each of these means");
        if problem.may_be_a_crash() { finding.softened() } else { finding }
    };
    audit.problems.iter().map(finding).collect()
}
