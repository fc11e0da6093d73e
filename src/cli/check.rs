//! `check`: the integrity of a repository.

use super::options::Format;
use super::output;
use super::repository::Bare;
use super::session::Session;
use crate::error::ExitCode;
use crate::gate::kept;
use crate::model::progress::{Phase, Progress};
use crate::report::closing::Closing;
use crate::report::units;
use crate::repository::Workers;
use crate::repository::check::{self, CheckReport, Locked, Problem};
use crate::repository::lock::LockKind;
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// How long a check waits for somebody who removes something from the repository.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is checked.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Read and verify every byte
    #[arg(long)]
    pub read_data: bool,
    /// A bare repository.
    #[command(flatten)]
    pub bare: Bare,
}

#[derive(Debug, Serialize)]
struct Document {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    problems: Vec<ProblemDocument>,
    notes: Vec<String>,
    packs: u64,
    snapshots: u64,
    trees: u64,
    files: u64,
    blobs_read: u64,
    bytes_read: u64,
    /// On a store that locks; absent elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    locked: Option<LockedDocument>,
}

#[derive(Debug, Serialize)]
struct LockedDocument {
    objects: u64,
    until: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
struct ProblemDocument {
    kind: &'static str,
    message: String,
}

/// Runs `check`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let repository = options.bare.open(session)?;
    let _lock = repository.lock(LockKind::Shared, PATIENCE, &session.cancel)?;
    let observer = session.observer();
    let progress = Progress::new();
    let workers = Workers { threads: repository.readers(), progress: &progress, cancel: &session.cancel };
    observer.started(Phase::Check, "repository", &progress, None);
    let result = check::check(&repository, options.read_data, &workers);
    observer.finished(Phase::Check, "repository", if result.is_ok() { "checked" } else { "failed" });
    drop(observer);
    let mut report = result?;
    if options.bare.repository.is_none() {
        kept::check(&session.place()?, &mut report, &session.cancel)?;
    }
    let exit = if report.problems.is_empty() { ExitCode::Pass } else { ExitCode::Unverified };
    match session.format() {
        Format::Json => output::print_json(&document(&report, exit))?,
        Format::Text => output::print(&text(&report, options.read_data, &repository.location()))?,
    }
    let reason = report.problems.first().map(|problem| problem.message.as_str());
    output::close(exit, Closing { has_verdict: true, reason, ..session.closing("check") });
    Ok(exit)
}

fn document(report: &CheckReport, exit: ExitCode) -> Document {
    let problem = |problem: &Problem| ProblemDocument { kind: problem.kind.as_str(), message: problem.message.clone() };
    let counts = &report.counts;
    Document {
        schema_version: 1,
        command: "check",
        exit_code: exit.number(),
        problems: report.problems.iter().map(problem).collect(),
        notes: report.notes.clone(),
        packs: counts.packs,
        snapshots: counts.snapshots,
        trees: counts.trees,
        files: counts.files,
        blobs_read: counts.blobs,
        bytes_read: counts.bytes_read,
        locked: report.locked.as_ref().map(|locked| LockedDocument { objects: locked.objects, until: locked.until }),
    }
}

fn text(report: &CheckReport, read_data: bool, location: &str) -> String {
    let counts = &report.counts;
    let mut lines = vec![format!(
        "{location}: {}, {}, {}, {}",
        units::counted(counts.snapshots, "snapshot"),
        units::counted(counts.packs, "pack"),
        units::counted(counts.trees, "tree"),
        units::counted(counts.files, "file"),
    )];
    if read_data {
        let blobs = units::counted(counts.blobs, "blob");
        lines.push(format!("read {} and compared {blobs} with their ids", units::bytes(counts.bytes_read)));
    }
    if let Some(Locked { objects, until: Some(until) }) = &report.locked {
        let objects = units::counted(*objects, "object");
        lines.push(format!("locked: {objects} that snapshots need, at least until {until}"));
    }
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines.extend(
        report.problems.iter().map(|problem| format!("damaged {}: {}", problem.kind.as_str(), problem.message)),
    );
    lines.push(match report.problems.len() {
        0 => "no problem was found".to_owned(),
        count => format!("found {}", units::counted(count as u64, "problem")),
    });
    lines.join("\n") + "\n"
}
