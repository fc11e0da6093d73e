//! What each source is now: where it leads, which server answers there, what that holds.

use super::super::scratch::Scratch;
use super::Request;
use super::sources::configured;
use super::touched::touched;
use crate::cancel::{Cancel, Reason};
use crate::config::{SourceConfig, SourceKind};
use crate::error::{Error, Result};
use crate::model::finding::{Finding, FindingCode, Level};
use crate::model::manifest::{Content, SourceRecord};
use crate::policy::identity;
use crate::source::{self, Context, Source};
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Handle;

/// How long the plan waits for the contents of one source.
const COUNTED_WITHIN: Duration = Duration::from_secs(60);

/// What a source of the manifest is now.
#[derive(Debug)]
pub(super) struct Present<'r> {
    /// What the manifest says of it.
    pub(super) record: &'r SourceRecord,
    /// Why it leads to something else than what was captured, or to nothing known.
    pub(super) wrong: Option<Finding>,
    /// Why only a person can restore it.
    pub(super) by_hand: Option<Finding>,
    /// The version of its server, as that says it.
    pub(super) server_version: Option<String>,
    /// What it holds, in the words of the manifest's `content`, or why nobody knows.
    pub(super) content: std::result::Result<Content, String>,
    /// How many of its files are not as they were captured, or why nobody knows; `None` of what are no files.
    pub(super) touched: Option<std::result::Result<u64, String>>,
}

/// Looks at every source of the manifest, changing nothing; `has_begun` says that a rollback is under way.
///
/// # Errors
/// No private directory can be made; a cancellation.
pub(super) fn survey<'r>(
    request: &'r Request<'_>,
    has_begun: bool,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<Vec<Present<'r>>> {
    let scratch = Scratch::create()?;
    let mut all = Vec::new();
    for record in &request.given.manifest.sources {
        all.push(present(request, (record, has_begun), &scratch, cancel, runtime)?);
        cancel.check()?;
    }
    Ok(all)
}

/// Says what keeps a source from being restored by a rollback right now.
///
/// # Errors
/// As [`survey`].
pub(super) fn look_at(
    request: &Request<'_>,
    record: &SourceRecord,
    scratch: &Scratch,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<Option<Finding>> {
    let asked = match by_hand(request, record) {
        Some(finding) => return Ok(Some(finding)),
        None => ask(request, record, scratch, (cancel, runtime), None)?,
    };
    Ok(asked.wrong)
}

fn present<'r>(
    request: &'r Request<'_>,
    (record, has_begun): (&'r SourceRecord, bool),
    scratch: &Scratch,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<Present<'r>> {
    let asked = ask(request, record, scratch, (cancel, runtime), Some(COUNTED_WITHIN))?;
    let Asked { wrong, server_version, content } = asked;
    // One that was not captured is not restored, so it cannot be restored to the wrong place either.
    let wrong = wrong.filter(|_| record.snapshot.is_some());
    let by_hand = by_hand(request, record).filter(|_| record.snapshot.is_some());
    // Once a rollback has begun, what differs is its own work.
    let touched = match record.kind == "files" && record.snapshot.is_some() && !has_begun {
        true => Some(touched(request, record, cancel, runtime)?),
        false => None,
    };
    let (touched, barred) = touched.map_or((None, None), |touched| (Some(touched.count), touched.barred));
    let barred = barred.map(|error| {
        Finding::refusal(FindingCode::RestoreByHand, error.chain())
            .of_source(&record.name)
            .hint("run the rollback as a user who may write there, or see that this one may")
    });
    let by_hand = by_hand.or(barred);
    Ok(Present { record, wrong, by_hand, server_version, content, touched })
}

fn by_hand(request: &Request<'_>, record: &SourceRecord) -> Option<Finding> {
    let by_hand = |why: &str| {
        Finding::refusal(FindingCode::RestoreByHand, why.to_owned())
            .of_source(&record.name)
            .hint(format!("follow the steps of `holdpoint show {}`", request.given.manifest.id))
    };
    if matches!(record.method.as_str(), "base-backup" | "restore-point") {
        return Some(by_hand("the server of a cluster must be stopped, and only a person knows its data directory"));
    }
    match configured(request, record).map(|config| &config.kind) {
        Some(SourceKind::Command(command)) if command.restore.is_none() => {
            Some(by_hand("the source has no program that restores it (`restore`)"))
        }
        _ => None,
    }
}

struct Asked {
    wrong: Option<Finding>,
    server_version: Option<String>,
    content: std::result::Result<Content, String>,
}

/// Asks a source what it is; what it holds, too, if that is to be known `within` a time.
fn ask(
    request: &Request<'_>,
    record: &SourceRecord,
    scratch: &Scratch,
    (cancel, runtime): (&Cancel, &Handle),
    within: Option<Duration>,
) -> Result<Asked> {
    let nothing = |why: &str| Asked { wrong: None, server_version: None, content: Err(why.to_owned()) };
    // Files go back to the absolute paths that the snapshot names, whatever the configuration says by now.
    if record.kind == "files" {
        return Ok(nothing("files are not counted"));
    }
    let Some(config) = configured(request, record) else {
        let message = format!("the configuration has no source `{}` of the kind {}", record.name, record.kind);
        let hint = "give the configuration that the gate ran with (--config FILE)";
        let finding = Finding::refusal(FindingCode::WrongTarget, message).of_source(&record.name).hint(hint);
        return Ok(Asked { wrong: Some(finding), ..nothing("the configuration does not have it") });
    };
    if matches!(config.kind, SourceKind::Command(_)) {
        return Ok(nothing("only its own programs know what it holds"));
    }
    let context = Context::new(cancel.clone(), scratch.folder(&record.name)?, runtime.clone())?;
    let source = source::build(config, &request.run.directory);
    let wrong = wrong_target(&*source, config, record, &context);
    let content = match (&wrong, within) {
        (None, Some(within)) => look(&*source, &context, within)?,
        (Some(wrong), _) => Err(wrong.message.clone()),
        (None, None) => Err("nobody asked".to_owned()),
    };
    // What is left on a server ends with the process, and is no reason to refuse.
    let _ = source.clean_up(&context);
    Ok(Asked { wrong, server_version: source.facts().server_version, content })
}

/// Looks at what a source holds; whatever keeps it from being known is told in words.
fn look(source: &dyn Source, context: &Context, within: Duration) -> Result<std::result::Result<Content, String>> {
    let cancel = context.cancel.child();
    let timer = cancel.after(within, Reason::Deadline)?;
    let looked = source.look(&Context { cancel: cancel.clone(), ..context.clone() });
    drop(timer);
    context.cancel.check()?;
    Ok(match looked {
        Ok(Some(content)) => Ok(content),
        Ok(None) => Err("this kind of source cannot be looked at".to_owned()),
        Err(_) if cancel.is_cancelled() => Err(format!("counting took longer than {} s", within.as_secs())),
        Err(error) => Err(error.chain()),
    })
}

/// Asks a source what it is, and compares that with what was captured.
fn wrong_target(
    source: &dyn Source,
    config: &SourceConfig,
    record: &SourceRecord,
    context: &Context,
) -> Option<Finding> {
    // What speaks against a capture does not matter; what the server says of itself does.
    let findings = source.preflight(context);
    let facts = source.facts();
    let wrong = identity::judge(&config.expect, facts.identity.as_deref(), record.identity.as_deref())?;
    let why = findings.into_iter().find(|finding| finding.level == Level::Refusal);
    let why = why.map(|finding| format!(" ({})", finding.message)).unwrap_or_default();
    let finding = Finding { code: FindingCode::WrongTarget, ..wrong }.of_source(&record.name);
    Some(Finding { message: format!("{}{why}", finding.message), ..finding })
}

/// Looks at what a source holds after something was done to it; `None` if its kind cannot be looked at.
///
/// # Errors
/// As [`Source::look`]; no private directory can be made.
pub(super) fn contents(
    config: &SourceConfig,
    directory: &Path,
    scratch: &Scratch,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<Option<Content>> {
    let context = Context::new(cancel.clone(), scratch.folder(&config.name)?, runtime.clone())?;
    let source = source::build(config, directory);
    // Some learn in it what they are asked about.
    let refusal = source.preflight(&context).into_iter().find(|finding| finding.level == Level::Refusal);
    let looked = source.look(&context);
    let _ = source.clean_up(&context);
    looked.map_err(|error| match refusal {
        Some(refusal) => Error::new(error.code(), refusal.message).caused_by(error),
        None => error,
    })
}
