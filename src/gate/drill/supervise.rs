//! The end of a drill, also of one that does not end by itself.

use super::super::rollback::restorable;
use super::super::scratch::Scratch;
use super::record::{judged, record};
use super::run::{Run, checks, clean, stopped};
use super::{Outcome, Request, check};
use crate::cancel::{Cancel, Reason};
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::manifest::digest;
use crate::model::drill::{Drill, DrillResult, DrilledSource};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::Content;
use crate::model::progress::Observer;
use jiff::Timestamp;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often a drill that was cancelled is looked at.
const POLL: Duration = Duration::from_millis(50);

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
    let thread = {
        let (request, observer, cancel) = (Arc::clone(request), Arc::clone(observer), cancel.clone());
        let (draft, scratch, runtime) = (Arc::clone(&draft), Arc::clone(&scratch), runtime.clone());
        std::thread::Builder::new().name("drill".to_owned()).spawn(move || {
            let (observer, cancel, runtime) = (&*observer, &cancel, &runtime);
            Run { request: &request, started, observer, cancel, runtime, scratch: &scratch, draft: &draft }.perform();
            let drill = draft.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // Nobody listens any more if the drill was given up.
            let _ = sender.send(record(&request, drill));
        })
    };
    thread.map_err(|error| Error::new(ErrorCode::Internal, "cannot start a thread").caused_by(error))?;
    let mut cancelled_at = None;
    loop {
        match receiver.recv_timeout(POLL) {
            Ok(outcome) => return Ok(outcome),
            Err(RecvTimeoutError::Disconnected) => {
                let panicked = Finding::refusal(FindingCode::InternalError, "the drill panicked");
                return Ok(give_up(&draft, &scratch, started, panicked));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let Some(reason) = cancel.reason() else { continue };
        if cancelled_at.get_or_insert_with(Instant::now).elapsed() > patience(reason)
            && let Err(error) = cancel.check()
        {
            return Ok(give_up(&draft, &scratch, started, stopped(&error)));
        }
    }
}

/// Returns how long a cancelled drill may take to clean up and end, after its children were killed.
fn patience(reason: Reason) -> Duration {
    reason.grace() + Duration::from_secs(2)
}

/// Starts the record of a drill: nothing was come to yet.
fn begun(request: &Request) -> Drill {
    let manifest = &request.given.manifest;
    let now = Timestamp::now();
    let oldest = restorable(manifest).filter_map(|source| source.started_at).min();
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

/// Ends a drill that does not end: what can be cleaned up from here is, and nothing is recorded, since the store may be
/// what it waits for.
fn give_up(draft: &Mutex<Drill>, scratch: &Scratch, started: Instant, why: Finding) -> Outcome {
    let mut drill = draft.lock().unwrap_or_else(PoisonError::into_inner).clone();
    drill.seconds = started.elapsed().as_secs_f64();
    drill.findings.push(why);
    drill.findings.extend(clean(scratch.path()));
    let message = "the drill did not end in time: what it made on a server may be left there, and nothing is recorded";
    drill.findings.push(
        Finding::refusal(FindingCode::DrillLeftBehind, message)
            .hint("look for databases named holdpoint_drill_… on `drill_server`, and drop them"),
    );
    Outcome { drill: judged(drill), record: None }
}
