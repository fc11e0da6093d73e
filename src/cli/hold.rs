//! `hold`: a release keeps its snapshots, whatever retention says.

use super::audited;
use super::freeze::{reason, time, who};
use super::options::Format;
use super::output;
use super::page;
use super::session::Session;
use crate::error::{Error, ErrorCode, ExitCode};
use crate::gate::prune::hold;
use crate::ledger::events::Event;
use jiff::Timestamp;
use serde::Serialize;

/// Which release, and why.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The release, or the beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Why it is held, or why it need not be any more
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// End the hold at TIME: 2027-01-02T08:00:00Z, or a duration from now such as 90d [default: by --lift]
    #[arg(long, value_name = "TIME", conflicts_with = "lift")]
    pub until: Option<String>,
    /// Lift every hold of the release
    #[arg(long)]
    pub lift: bool,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    id: &'a str,
    held: bool,
    event: &'a Event,
}

/// Runs `hold`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let (by, reason) = (who(session), reason(&options.reason)?);
    let until = options.until.as_deref().map(|text| time(text, Timestamp::now())).transpose()?;
    let ledger = session.ledger()?;
    let manifest = ledger.get(&options.id)?.manifest;
    let id = &manifest.id;
    let auditor = session.auditor(&manifest.environment.name)?;
    if !options.lift && manifest.sources.iter().all(|source| source.snapshot.is_none()) {
        return Err(Error::new(ErrorCode::Usage, format!("{id} has no snapshot that could be held"))
            .hint("list the releases with `holdpoint releases`")
            .into());
    }
    let event = |at| match options.lift {
        true => Event::HoldLifted { at, by: by.clone(), reason: reason.clone() },
        false => Event::Held { at, by: by.clone(), reason: reason.clone(), until },
    };
    let copies: Vec<String> = session.config.store.copies.keys().cloned().collect();
    let (record, found) = hold::record(&ledger, id, &event, &copies, &auditor, &session.cancel)?;
    if !options.lift && ledger.is_pruned(id)? {
        output::note("note: the store let it go already; it is held where a copy has it");
    }
    let exit = audited::exit(ExitCode::Pass, Ok(found));
    if let Err(error) = page::write(session, &ledger, id) {
        output::note(&format!("warning: {}", error.chain()));
    }
    match session.format() {
        Format::Text => output::print(&format!("{id}: {}\n", crate::report::happened::happened(&record.event)))?,
        Format::Json => output::print_json(&Document {
            schema_version: 1,
            command: "hold",
            exit_code: exit.number(),
            id: id.as_str(),
            held: !options.lift,
            event: &record.event,
        })?,
    }
    output::close(exit, session.closing("hold"));
    Ok(exit)
}
