//! The end of a drill, also of one that does not end by itself.

use super::super::rollback::restorable;
use super::super::scratch::Scratch;
use super::check::{self, checks};
use super::clean::clean;
use super::record::{judged, record};
use super::run::{Run, stopped};
use super::{Outcome, Request};
use crate::cancel::{Cancel, Reason};
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::manifest::digest;
use crate::model::drill::{Drill, DrillResult, DrilledSource};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;
use crate::model::progress::Observer;
use jiff::Timestamp;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often a drill that was cancelled is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How long the removal may take after a panic, which no promise bounds.
const AFTER_PANIC: Duration = Duration::from_secs(5);

/// Runs a drill, and records it. Whoever cancels it has it end within the promise of design §3.4: one that does not end
/// by itself is left behind, and what it left is said.
///
/// # Errors
/// No private directory or thread to be had: nothing was begun.
pub fn drill(
    request: &Arc<Request>,
    observer: &Arc<dyn Observer>,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<Outcome> {
    let draft = Arc::new(Mutex::new(begun(request)));
    let scratch = Arc::new(Scratch::create()?);
    let started = Instant::now();
    let (sender, receiver) = channel();
    // Whoever sets it ends the drill, and nobody else: what was given up is never recorded as something else later.
    let is_ended = Arc::new(AtomicBool::new(false));
    let thread = {
        let (request, observer, cancel) = (Arc::clone(request), Arc::clone(observer), cancel.clone());
        let (draft, scratch, runtime) = (Arc::clone(&draft), Arc::clone(&scratch), runtime.clone());
        let is_ended = Arc::clone(&is_ended);
        std::thread::Builder::new().name("drill".to_owned()).spawn(move || {
            let (observer, cancel, runtime) = (&*observer, &cancel, &runtime);
            Run { request: &request, started, observer, cancel, runtime, scratch: &scratch, draft: &draft }.perform();
            if is_ended.swap(true, Ordering::SeqCst) {
                return;
            }
            let drill = draft.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // Nobody listens any more if the store did not answer in time.
            let _ = sender.send(record(&request, drill));
        })
    };
    thread.map_err(|error| Error::new(ErrorCode::Internal, "cannot start a thread").caused_by(error))?;
    let mut cancelled_at = None;
    loop {
        match receiver.recv_timeout(POLL) {
            Ok(outcome) => return Ok(outcome),
            Err(RecvTimeoutError::Disconnected) => {
                let panicked = Finding::refusal(FindingCode::InternalError, "the drill panicked")
                    .hint("look for databases named holdpoint_drill_… on `drill_server`, and report this");
                let drill = ended(&draft, &scratch, started, [panicked], AFTER_PANIC);
                return Ok(record(request, drill));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let Some(reason) = cancel.reason() else { continue };
        let since = *cancelled_at.get_or_insert_with(Instant::now);
        if since.elapsed() <= patience(reason) {
            continue;
        }
        let Err(error) = cancel.check() else { continue };
        let left = promised(reason).saturating_sub(since.elapsed());
        let unrecorded = match is_ended.swap(true, Ordering::SeqCst) {
            false => "nothing is recorded",
            // It is being written; there is nothing else left to do.
            true => match receiver.recv_timeout(left) {
                Ok(outcome) => return Ok(outcome),
                Err(_) => "whether it is recorded is not known",
            },
        };
        let message =
            format!("the drill did not end in time: what it made on a server may be left there, and {unrecorded}");
        let left_behind = Finding::refusal(FindingCode::DrillLeftBehind, message)
            .hint("look for databases named holdpoint_drill_… on `drill_server`, and drop them");
        let left = promised(reason).saturating_sub(since.elapsed());
        let drill = ended(&draft, &scratch, started, [stopped(&error), left_behind], left);
        return Ok(Outcome { drill: judged(drill), record: None });
    }
}

/// Returns how long a cancelled drill may take to clean up and end, after its children were killed.
fn patience(reason: Reason) -> Duration {
    reason.grace() + Duration::from_secs(2)
}

/// Returns how soon a cancelled drill must have ended, whatever it waits for (design §3.4).
fn promised(reason: Reason) -> Duration {
    match reason {
        Reason::Interrupt | Reason::Terminate => Duration::from_secs(5),
        Reason::Deadline | Reason::LeaseLost | Reason::Abandoned => Duration::from_secs(10),
    }
}

/// Starts the record of a drill: nothing was come to yet.
fn begun(request: &Request) -> Drill {
    let manifest = &request.given.manifest;
    let now = Timestamp::now();
    // One whose age is not known may be older than all others.
    let began: Option<Vec<Timestamp>> = restorable(manifest).map(|source| source.captured_at()).collect();
    let oldest = began.and_then(|began| began.into_iter().min());
    let source = |source: &crate::model::manifest::SourceRecord| DrilledSource {
        name: source.name.clone(),
        kind: source.kind.clone(),
        snapshot: source.snapshot.as_ref().map(|snapshot| snapshot.id.clone()).unwrap_or_default(),
        place: String::new(),
        result: DrillResult::NotTried,
        bytes: source.bytes,
        seconds: 0.0,
        content: Content::new(),
    };
    Drill {
        application: manifest.application.clone(),
        environment: manifest.environment.name.clone(),
        release: manifest.id.clone(),
        manifest_digest: digest(&request.given.bytes),
        result: DrillResult::NotTried,
        key: request.key,
        by: request.by.clone(),
        started_at: now,
        seconds: 0.0,
        rto: request.settings.rto.map(|rto| rto.as_secs()),
        data_age_seconds: oldest.map(|oldest| now.duration_since(oldest).as_secs_f64().max(0.0)),
        rpo: request.settings.rpo.map(|rpo| rpo.as_secs()),
        sources: restorable(manifest).map(source).collect(),
        checks: checks(request).map(check::not_tried).collect(),
        findings: Vec::new(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// Ends a drill from outside: adds `why` to what was found so far, and what the removal of its directory came to, for
/// which there is no more time than `left`.
fn ended(
    draft: &Mutex<Drill>,
    scratch: &Arc<Scratch>,
    started: Instant,
    why: impl IntoIterator<Item = Finding>,
    left: Duration,
) -> Drill {
    let mut drill = draft.lock().unwrap_or_else(PoisonError::into_inner).clone();
    drill.seconds = started.elapsed().as_secs_f64();
    drill.findings.extend(why);
    let (sender, receiver) = channel();
    let thread = {
        let scratch = Arc::clone(scratch);
        std::thread::Builder::new().name("clean".to_owned()).spawn(move || {
            let _ = sender.send(clean(scratch.path()));
        })
    };
    let cleaned = thread.ok().and_then(|_| receiver.recv_timeout(left).ok());
    drill.findings.extend(cleaned.unwrap_or_else(|| vec![not_removed(scratch.path())]));
    drill
}

fn not_removed(scratch: &Path) -> Finding {
    let message = format!("{} could not be removed in time", scratch.display());
    Finding::refusal(FindingCode::DrillLeftBehind, message).hint("the next run on this machine removes it")
}
