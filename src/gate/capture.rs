//! Capturing sources, side by side, with retries.

use super::request::Request;
use super::survey::Ready;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{Attempt, Content};
use crate::model::progress::{Observer, Phase, Progress};
use crate::repository::Id;
use crate::repository::archive::{Archived, PackWriter, TreeRequest, archive_streams, archive_tree};
use crate::source::{Capture, Streams};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The longest pause between two tries.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// What is known of a source from earlier runs.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The snapshot that unchanged files are compared with, and the root of its tree.
    pub parent: Option<(Id, Id)>,
    /// Its size in the last release that passed, in bytes.
    pub bytes: Option<u64>,
}

/// What became of one source.
#[derive(Debug)]
pub struct SourceRun {
    /// When the first try began.
    pub started_at: Timestamp,
    /// When the last try ended.
    pub finished_at: Timestamp,
    /// Every try.
    pub attempts: Vec<Attempt>,
    /// The capture, or why the last try failed.
    pub result: Result<Captured>,
    /// What was left on a server, ended or not.
    pub left: Vec<Finding>,
}

/// A source whose bytes are in the repository; nothing of it is visible yet.
#[derive(Debug)]
pub struct Captured {
    /// What the archiver found and added.
    pub archived: Archived,
    /// What the source says of the capture.
    pub content: Content,
    /// The paths that the snapshot names.
    pub paths: Vec<String>,
    /// What was left out.
    pub excludes: Vec<String>,
    /// Whether it is streams, each of them one file, and not a tree.
    pub is_stream: bool,
}

/// Returns what no source may capture: what one holds open or is about to copy, no other may touch, even if it is not captured in
/// this run; nor may any of them store the store.
pub fn never_captured(request: &Request, all: &[Ready<'_>]) -> Vec<PathBuf> {
    let mut never: Vec<PathBuf> = request.place.never_captured();
    never.extend(request.copies.iter().flat_map(|copy| copy.place.never_captured()));
    never.extend(all.iter().flat_map(|ready| ready.source.exclusive_paths()));
    never.push(request.manifest_out.clone());
    never
}

/// Captures every source, each on a thread of its own, without the paths `never`; returns in the order of `ready`.
pub fn capture_all(
    request: &Request,
    ready: &[Ready<'_>],
    never: &[PathBuf],
    known: &BTreeMap<String, Known>,
    writer: &PackWriter,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Vec<SourceRun> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = ready
            .iter()
            .map(|ready| {
                let known = known.get(&ready.config.name).cloned().unwrap_or_default();
                scope.spawn(move || capture_one(request, ready, &known, never, writer, observer, cancel))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect()
    })
}

fn panicked() -> SourceRun {
    let now = Timestamp::now();
    let result = Err(Error::new(ErrorCode::Internal, "the capture panicked"));
    SourceRun { started_at: now, finished_at: now, attempts: Vec::new(), result, left: Vec::new() }
}

fn capture_one(
    request: &Request,
    ready: &Ready<'_>,
    known: &Known,
    never: &[PathBuf],
    writer: &PackWriter,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> SourceRun {
    let name = &ready.config.name;
    let retry = request.config.gate.retry;
    let started_at = Timestamp::now();
    let mut attempts = Vec::new();
    let mut left = Vec::new();
    let mut backoff = retry.backoff;
    loop {
        let progress = Progress::new();
        observer.started(Phase::Capture, name, &progress, known.bytes.or(ready.source.facts().estimated_bytes));
        let (began, clock) = (Timestamp::now(), Instant::now());
        let result = capture_once(ready, known, never, writer, &progress, cancel);
        left.extend(clean_up(ready));
        let error = result.as_ref().err().map(Error::chain);
        observer.finished(Phase::Capture, name, if error.is_none() { "captured" } else { "failed" });
        attempts.push(Attempt { started_at: began, seconds: clock.elapsed().as_secs_f64(), error });
        let again = match &result {
            Ok(_) => false,
            Err(error) => is_transient(error) && attempts.len() < retry.attempts as usize && !cancel.is_cancelled(),
        };
        if !again {
            return SourceRun { started_at, finished_at: Timestamp::now(), attempts, result, left };
        }
        observer.note(&format!("{name}: try {} failed, the next begins in {backoff:?}", attempts.len()));
        if let Err(error) = cancel.sleep(backoff) {
            return SourceRun { started_at, finished_at: Timestamp::now(), attempts, result: Err(error), left };
        }
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}

/// Has the source look for what a try left on its server: a session of ours would hold up the deploy.
fn clean_up(ready: &Ready<'_>) -> Option<Finding> {
    let finding = match ready.source.clean_up(&ready.context) {
        Ok(ended) if ended.is_empty() => return None,
        Ok(ended) => Finding::info(FindingCode::SessionEnded, format!("had to be ended: {}", ended.join("; "))),
        Err(error) => Finding::from_error(&error, FindingCode::SessionLeft),
    };
    Some(finding.of_source(&ready.config.name))
}

/// Says whether another try may help: a program or a busy database may do better, a missing path will not.
fn is_transient(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::CaptureFailed | ErrorCode::ProcessFailed | ErrorCode::Io)
}

fn capture_once(
    ready: &Ready<'_>,
    known: &Known,
    never: &[PathBuf],
    writer: &PackWriter,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Captured> {
    cancel.check()?;
    match ready.source.capture(&ready.context)? {
        Capture::Tree(mut tree) => {
            let paths = tree.roots.iter().map(|path| path.display().to_string()).collect();
            let excludes = tree.exclude.globs.clone();
            tree.exclude.paths.extend_from_slice(never);
            let parent = known.parent.map(|(_, tree)| tree);
            let request = TreeRequest { roots: tree.roots, exclude: tree.exclude, parent };
            let archived = archive_tree(writer, &request, progress, cancel)?;
            Ok(Captured { archived, content: Content::new(), paths, excludes, is_stream: false })
        }
        Capture::Streams(streams) => capture_streams(streams, writer, progress, cancel),
    }
}

fn capture_streams(streams: Streams, writer: &PackWriter, progress: &Progress, cancel: &Cancel) -> Result<Captured> {
    let mut content = Content::new();
    let mut paths = Vec::new();
    let archived = archive_streams(writer, progress, cancel, |store| {
        for stream in streams {
            let mut stream = stream?;
            let name = stream.file_name().to_owned();
            store(name.as_os_str(), &mut stream)?;
            // Only now is it known whether the stream was complete.
            content.extend(stream.finish()?);
            paths.push(PathBuf::from("/").join(name).display().to_string());
        }
        Ok(())
    })?;
    Ok(Captured { archived, content, paths, excludes: Vec::new(), is_stream: true })
}
