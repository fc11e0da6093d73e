//! `copy`: a second, verified copy in another store.

use super::options::Format;
use super::output;
use super::session::Session;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::gate::copies::bring::{Bring, Scope};
use crate::gate::copies::step::record_of;
use crate::gate::copies::{CopyStore, domain};
use crate::gate::place::Place;
use crate::model::manifest::{CopyRecord, CopyState};
use crate::report::closing::Closing;
use crate::report::units;
use crate::repository::copy::CopyReport;
use crate::repository::lock::LockKind;
use serde::Serialize;
use std::time::Duration;

/// How long a copy waits for somebody who removes something from one of the two repositories.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a copy is called that the configuration does not name.
const UNNAMED: &str = "to";

/// What is copied where.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The copies to bring up to date [default: all that the configuration names]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Copy to the store at LOCATION, whether the configuration names it or not
    #[arg(long, value_name = "LOCATION", conflicts_with = "names")]
    pub to: Option<String>,
    /// Read back what is new in the copy, or all that is in it
    #[arg(long, value_name = "new|all", default_value = "new", hide_possible_values = true)]
    pub verify: Verify,
}

/// What is read back from a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Verify {
    /// What was added to it since it was last whole.
    New,
    /// Everything.
    All,
}

#[derive(Debug, Serialize)]
struct Document {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    store: String,
    copies: Vec<CopyDocument>,
}

#[derive(Debug, Serialize)]
struct CopyDocument {
    name: String,
    location: String,
    repository: String,
    state: CopyState,
    /// Objects that were added and read back, and their size.
    objects: u64,
    bytes: u64,
    /// Objects that were there already, and how much of that was read back.
    present: u64,
    read_back: u64,
    read_back_bytes: u64,
    /// Files of the repository that only the copy has.
    extra: u64,
    problems: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Runs `copy`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let place = session.place()?;
    let copies = chosen(session, options, &place)?;
    for copy in &copies {
        domain::check_distinct(&place, copy)?;
        if let Some(finding) = domain::finding(&place, copy) {
            output::note(&format!("warning: {}", finding.message));
        }
    }
    let repository = place.open()?;
    let lock = repository.lock(LockKind::Shared, PATIENCE, &session.cancel)?;
    let indexed = repository.index(&session.cancel)?;
    let observer = session.observer();
    let bring = Bring {
        store: &place,
        indexed: &indexed,
        scope: Scope::Everything,
        read_all: options.verify == Verify::All,
        kept: Vec::new(),
        patience: PATIENCE,
        observer: &*observer,
    };
    let mut results = Vec::new();
    for copy in &copies {
        let result = copy.check_fit().and_then(|()| bring.perform(copy, &copy.cancel));
        session.cancel.check()?;
        results.push((copy, result));
    }
    drop(observer);
    lock.release()?;
    finish(session, &place, &results)
}

/// Finds the copies that are asked for.
fn chosen(session: &Session, options: &Options, place: &Place) -> Result<Vec<CopyStore>> {
    let usage = |message: String, hint: String| Error::new(ErrorCode::Usage, message).hint(hint);
    let mut configured = session.copies(place)?;
    if let Some(location) = &options.to {
        let bucket = &session.config.store.bucket;
        let cancel = session.cancel.child();
        let place = place.copy_at(location, bucket, &cancel)?;
        // One that the configuration knows has settings of its own.
        let known = configured.into_iter().find(|copy| copy.place.is_called(location, &place));
        return Ok(vec![known.unwrap_or_else(|| CopyStore {
            name: UNNAMED.to_owned(),
            required: true,
            place,
            cancel,
        })]);
    }
    if configured.is_empty() {
        let hint = "name a place by --to LOCATION, or configure [store.copies.NAME]".to_owned();
        return Err(usage("the configuration names no copy".to_owned(), hint));
    }
    if let Some(unknown) = options.names.iter().find(|name| configured.iter().all(|copy| copy.name != **name)) {
        let known: Vec<_> = configured.iter().map(|copy| copy.name.as_str()).collect();
        return Err(usage(
            format!("there is no copy `{unknown}`"),
            format!("the configuration knows {}", known.join(", ")),
        ));
    }
    configured.retain(|copy| options.names.is_empty() || options.names.contains(&copy.name));
    Ok(configured)
}

/// Prints what came of every copy.
fn finish(session: &Session, store: &Place, results: &[(&CopyStore, Result<CopyReport>)]) -> anyhow::Result<ExitCode> {
    let exit_of = |result: &Result<CopyReport>| match result {
        Ok(report) if report.problems.is_empty() => ExitCode::Pass,
        Ok(_) => ExitCode::Unverified,
        Err(error) => error.code().exit(),
    };
    let exit = ExitCode::first_of(results.iter().map(|(_, result)| exit_of(result)));
    match session.format() {
        Format::Json => output::print_json(&Document {
            schema_version: 1,
            command: "copy",
            exit_code: exit.number(),
            store: store.location(),
            copies: results.iter().map(|(copy, result)| document(copy, result)).collect(),
        })?,
        Format::Text => output::print(&results.iter().map(|(copy, result)| text(copy, result)).collect::<String>())?,
    }
    let failures = results.iter().filter_map(|(copy, result)| match result {
        Ok(report) => report.problems.first().map(|problem| (copy, problem)),
        Err(error) => Some((copy, error)),
    });
    let failures: Vec<_> = failures.collect();
    for (copy, error) in &failures {
        for hint in error.hints() {
            output::note(&format!("hint: copy {}: {hint}", copy.name));
        }
    }
    let reason = failures.first().map(|(copy, error)| format!("copy {}: {}", copy.name, error.chain()));
    output::close(exit, Closing { has_verdict: true, reason: reason.as_deref(), ..session.closing("copy") });
    Ok(exit)
}

fn document(copy: &CopyStore, result: &Result<CopyReport>) -> CopyDocument {
    let record: CopyRecord = record_of(copy, result);
    let nothing = CopyReport::default();
    let report = result.as_ref().unwrap_or(&nothing);
    CopyDocument {
        name: record.name,
        location: record.location,
        repository: record.repository,
        state: record.state,
        objects: report.sent,
        bytes: report.sent_bytes,
        present: report.present,
        read_back: report.read_back,
        read_back_bytes: report.read_back_bytes,
        extra: report.extra,
        problems: report.problems.iter().map(Error::chain).collect(),
        error: result.as_ref().err().map(Error::chain),
    }
}

fn text(copy: &CopyStore, result: &Result<CopyReport>) -> String {
    let head = format!("{}: {}", copy.name, copy.place.location());
    let report = match result {
        Ok(report) => report,
        Err(error) => return format!("{head}: failed: {}\n", error.chain()),
    };
    let mut lines = vec![format!(
        "{head}: {} added and read back ({}), {} there already",
        units::counted(report.sent, "object"),
        units::bytes(report.sent_bytes),
        report.present,
    )];
    if report.read_back > 0 {
        let count = units::counted(report.read_back, "object");
        lines.push(format!("read {count} that were there already ({})", units::bytes(report.read_back_bytes)));
    }
    if report.extra > 0 {
        lines.push(format!("{} that the store does not have", units::counted(report.extra, "file")));
    }
    lines.extend(report.problems.iter().map(|problem| format!("problem: {}", problem.chain())));
    lines.push(match report.problems.len() {
        0 => "the copy is whole".to_owned(),
        count => format!("the copy is not whole: {}", units::counted(count as u64, "problem")),
    });
    lines.join("\n") + "\n"
}
