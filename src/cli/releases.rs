//! `releases` and `show`: the ledger.

use super::options::Format;
use super::output;
use super::session::Session;
use super::signature;
use crate::error::{Error, ErrorCode, ExitCode};
use crate::ledger::Listed;
use crate::ledger::events::Event;
use crate::model::manifest::Manifest;
use crate::report::html::{self, Page};
use crate::report::{markdown, text};
use crate::storage::many::ask_all;
use jiff::Timestamp;
use serde::Serialize;

/// Which releases are listed.
#[derive(Debug, clap::Args)]
pub struct ListOptions {
    /// List at most N releases, the newest first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
}

/// Which release is shown.
#[derive(Debug, clap::Args)]
pub struct ShowOptions {
    /// The release, or the beginning of its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Print its page for people, as HTML
    #[arg(long)]
    pub html: bool,
    /// Print its page for people, as Markdown
    #[arg(long, conflicts_with = "html")]
    pub markdown: bool,
}

#[derive(Debug, Serialize)]
struct ListDocument {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    releases: Vec<ListedDocument>,
}

#[derive(Debug, Serialize)]
struct ListedDocument {
    id: String,
    /// Whether retention let it go.
    pruned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct ShowDocument<'a> {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    digest: &'a str,
    signature: &'a str,
    manifest: &'a Manifest,
    events: Vec<&'a Event>,
}

/// Runs `releases`.
pub fn list(session: &Session, options: &ListOptions) -> anyhow::Result<ExitCode> {
    let ledger = session.ledger()?;
    let listed = ledger.list(options.limit)?;
    let pruned =
        ask_all(ledger.storage().parallelism().reads, &listed, &session.cancel, |one| ledger.is_pruned(&one.id))?;
    let gone = listed.iter().zip(pruned).filter(|(_, pruned)| *pruned).map(|(listed, _)| listed.id.clone()).collect();
    match session.format() {
        Format::Text => output::print(&text::releases(&listed, &gone, session.style()))?,
        Format::Json => {
            let document = |listed: &Listed| ListedDocument {
                id: listed.id.to_string(),
                pruned: gone.contains(&listed.id),
                manifest: listed.record.as_ref().ok().map(|stored| stored.manifest.clone()),
                error: listed.record.as_ref().err().map(Error::chain),
            };
            let releases = listed.iter().map(document).collect();
            output::print_json(&ListDocument { schema_version: 1, command: "releases", exit_code: 0, releases })?;
        }
    }
    Ok(ExitCode::Pass)
}

/// Runs `show`.
pub fn show(session: &Session, options: &ShowOptions) -> anyhow::Result<ExitCode> {
    let page_flag = if options.html { "--html" } else { "--markdown" };
    if (options.html || options.markdown) && session.format() == Format::Json {
        return Err(Error::new(ErrorCode::Usage, format!("{page_flag} and --format json exclude each other"))
            .hint("leave one of them out")
            .into());
    }
    let ledger = session.ledger()?;
    let stored = ledger.get(&options.id)?;
    let events = ledger.events(&stored.manifest.id)?;
    let signature = signature::of_release(session, &ledger, &stored)?;
    let as_of = Timestamp::now();
    let freeze = ledger.freeze_at(as_of)?;
    let standing = freeze.as_ref().into();
    let page = Page { manifest: &stored.manifest, events: &events, as_of, signature: &signature, standing };
    if options.html || options.markdown {
        output::print(&if options.html { html::page(&page)? } else { markdown::page(&page)? })?;
        return Ok(ExitCode::Pass);
    }
    match session.format() {
        Format::Text => output::print(&text::show(&page, session.style()))?,
        Format::Json => output::print_json(&ShowDocument {
            schema_version: 1,
            command: "show",
            exit_code: 0,
            digest: &stored.digest,
            signature: &signature,
            manifest: &stored.manifest,
            events: events.iter().map(|record| &record.event).collect(),
        })?,
    }
    Ok(ExitCode::Pass)
}
