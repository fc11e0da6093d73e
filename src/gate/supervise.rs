//! The deadline over a run, and the record of a run that does not end by itself.

use super::manifest::Draft;
use super::record;
use super::request::Request;
use super::run::{Outcome, Run, new_id};
use crate::cancel::{Cancel, Reason};
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::lease::Lease;
use crate::model::finding::{Finding, FindingCode};
use crate::model::progress::Observer;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often a run that was cancelled is looked at.
const POLL: Duration = Duration::from_millis(50);

/// Runs the gate under its deadline.
///
/// A run that was cancelled has a few seconds to end its children, index what it stored and write its record. One that
/// does not (a read that hangs in the kernel, a store that does not answer) is left behind: its record is written from
/// here, and the process ends.
///
/// # Errors
/// `internal`: no thread or no random numbers to be had.
pub fn supervise(
    request: &Arc<Request>,
    observer: &Arc<dyn Observer>,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<Outcome> {
    supervise_under(None, request, observer, cancel, runtime)
}

/// [`supervise`] under a lease that the caller has already, and that goes back to it as that of any other run does
/// ([`Request::keeps_lease`]).
///
/// # Errors
/// As [`supervise`].
pub fn supervise_under(
    lease: Option<Lease>,
    request: &Arc<Request>,
    observer: &Arc<dyn Observer>,
    cancel: &Cancel,
    runtime: &Handle,
) -> Result<Outcome> {
    let draft = Arc::new(Mutex::new(Draft::new(request, new_id(request)?)));
    let started = Instant::now();
    let (sender, receiver) = channel();
    let deadline = {
        let (cancel, timeout) = (cancel.clone(), request.timeout);
        runtime.spawn(async move {
            tokio::time::sleep(timeout).await;
            cancel.cancel(Reason::Deadline);
        })
    };
    let thread = {
        let (request, observer, cancel) = (Arc::clone(request), Arc::clone(observer), cancel.clone());
        let (draft, runtime) = (Arc::clone(&draft), runtime.clone());
        std::thread::Builder::new().name("gate".to_owned()).spawn(move || {
            let observer = &*observer;
            let run = Run { request: &request, started, observer, cancel: &cancel, runtime: &runtime, draft: &draft };
            // Nobody listens any more if the run was given up.
            let _ = sender.send(run.perform(lease));
        })
    };
    thread.map_err(|error| Error::new(ErrorCode::Internal, "cannot start a thread").caused_by(error))?;
    let mut cancelled_at = None;
    loop {
        match receiver.recv_timeout(POLL) {
            Ok(outcome) => {
                deadline.abort();
                return Ok(outcome);
            }
            Err(RecvTimeoutError::Disconnected) => {
                let panicked = Finding::refusal(FindingCode::InternalError, "the run panicked");
                return Ok(give_up(request, &draft, &**observer, panicked));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let Some(reason) = cancel.reason() else { continue };
        if cancelled_at.get_or_insert_with(Instant::now).elapsed() > patience(reason)
            && let Err(error) = cancel.check()
        {
            let finding = Finding::from_error(&error, FindingCode::InternalError);
            return Ok(give_up(request, &draft, &**observer, finding));
        }
    }
}

/// Returns how long a cancelled run may take to end: within the promise of design §3.4, after its children were killed.
fn patience(reason: Reason) -> Duration {
    reason.grace() + Duration::from_secs(2)
}

/// Writes the record of a run that does not end, as far as it had come.
fn give_up(request: &Request, draft: &Mutex<Draft>, observer: &dyn Observer, finding: Finding) -> Outcome {
    let mut draft = draft.lock().unwrap_or_else(PoisonError::into_inner).clone();
    draft.findings.push(finding);
    let (manifest, exit) = draft.finish(request);
    if let Err(error) = record::write_local(request, &manifest) {
        observer.note(&error.chain());
    }
    Outcome { manifest, exit, in_ledger: false, copies: Vec::new(), lease: None, unrecorded: Vec::new() }
}
