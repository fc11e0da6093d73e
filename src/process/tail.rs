//! The last of what a program says on standard error: bounded, counted, without secrets.

use super::limit::SLICE;
use crate::error::{IoContext, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io::{PipeReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// How many bytes are kept.
const KEPT: usize = 64 * 1024;
/// How many more reads a pipe gets after the program's end, if a process that escaped goes on writing to it.
const LAST_READS: u32 = 16;
/// How much of the end goes into an error.
const SHOWN_LINES: usize = 10;
/// What stands for a secret.
const REDACTED: &[u8] = b"***";

/// Reads a pipe on a thread of its own, so that the program never blocks on it.
#[derive(Debug)]
pub(super) struct TailReader {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Kept>>,
}

/// The end of what was read, as it was written.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    total: u64,
}

/// The end of what a program said, without secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tail {
    /// The text, at most 64 KiB of it.
    pub text: String,
    /// How many bytes there were in all.
    pub total: u64,
}

impl TailReader {
    /// Starts to read; `longest_secret` bytes more are kept, so that none can hide across the cut.
    pub(super) fn start(pipe: PipeReader, longest_secret: usize) -> Result<Self> {
        let ended = Arc::<AtomicBool>::default();
        let seen = Arc::clone(&ended);
        let thread = std::thread::Builder::new()
            .name("stderr".to_owned())
            .spawn(move || read(pipe, KEPT + longest_secret, &seen))
            .io_context(|| "cannot start a thread".to_owned())?;
        Ok(Self { ended, thread: Some(thread) })
    }

    /// Returns what was read until the program's end, which the caller has seen; `secrets` are taken out.
    pub(super) fn finish(&mut self, secrets: &[String]) -> Tail {
        self.ended.store(true, Ordering::Release);
        // The reader cannot panic; were it to, only the explanation of a failure would be lost.
        let kept = self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Tail { text: redact(&kept, secrets), total: kept.total }
    }
}

impl Tail {
    /// Returns the last lines for an error; `None` if nothing was said.
    pub fn last_lines(&self) -> Option<String> {
        let lines: Vec<&str> = self.text.lines().filter(|line| !line.trim().is_empty()).collect();
        let shown = lines.get(lines.len().saturating_sub(SHOWN_LINES)..)?;
        if shown.is_empty() { None } else { Some(shown.join("\n")) }
    }
}

fn read(mut pipe: PipeReader, keep: usize, ended: &AtomicBool) -> Kept {
    let mut kept = Kept::default();
    let mut buffer = vec![0; 16 * 1024];
    let mut reads_left = LAST_READS;
    while reads_left > 0 {
        if ended.load(Ordering::Acquire) {
            reads_left -= 1;
        }
        match poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&SLICE)) {
            Ok(0) if ended.load(Ordering::Acquire) => break,
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(_) => break,
        }
        let Ok(count @ 1..) = pipe.read(&mut buffer) else { break };
        kept.total += count as u64;
        kept.bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
        // Cut rarely, so that each byte is moved once.
        if kept.bytes.len() > 2 * keep {
            kept.bytes.drain(..kept.bytes.len() - keep);
        }
    }
    kept.bytes.drain(..kept.bytes.len().saturating_sub(keep));
    kept
}

/// Returns the texts to look for: secrets, and the lines of those that have several, longest first.
fn needles(secrets: &[String]) -> Vec<&[u8]> {
    let lines = secrets.iter().flat_map(|secret| secret.lines()).map(str::trim);
    let mut needles: Vec<&[u8]> =
        secrets.iter().map(String::as_str).chain(lines).map(str::as_bytes).filter(|text| !text.is_empty()).collect();
    needles.sort_unstable_by_key(|needle| std::cmp::Reverse(needle.len()));
    needles.dedup();
    needles
}

fn redact(kept: &Kept, secrets: &[String]) -> String {
    let needles = needles(secrets);
    let mut clean = Vec::with_capacity(kept.bytes.len());
    // Matches may overlap, so every position is looked at, also inside of one.
    let mut secret_until = 0;
    for (at, &byte) in kept.bytes.iter().enumerate() {
        let rest = kept.bytes.get(at..).unwrap_or_default();
        if let Some(needle) = needles.iter().find(|needle| rest.starts_with(needle)) {
            if at >= secret_until {
                clean.extend_from_slice(REDACTED);
            }
            secret_until = secret_until.max(at + needle.len());
        }
        if at >= secret_until {
            clean.push(byte);
        }
    }
    if kept.total > kept.bytes.len() as u64 {
        // The kept bytes may begin inside a secret: drop as many as its rest can be long.
        let doubtful = needles.first().map_or(0, |longest| longest.len());
        clean.drain(..doubtful.min(clean.len()));
    }
    clean.drain(..clean.len().saturating_sub(KEPT));
    String::from_utf8_lossy(&clean).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn tail_of(text: &[u8], secrets: &[String]) -> Tail {
        let (pipe, mut writer) = std::io::pipe().unwrap();
        let longest = secrets.iter().map(String::len).max().unwrap_or(0);
        let mut reader = TailReader::start(pipe, longest).unwrap();
        writer.write_all(text).unwrap();
        drop(writer);
        reader.finish(secrets)
    }

    #[test]
    fn only_the_end_is_kept_and_all_is_counted() {
        let mut text = b"begin".to_vec();
        text.resize(1_000_000, b'x');
        text.extend_from_slice(b"\nthe end\n");
        let tail = tail_of(&text, &[]);
        assert_eq!((tail.text.len(), tail.total), (KEPT, text.len() as u64));
        assert_eq!(tail_of(b"a\n\nb\n", &[]).last_lines().unwrap(), "a\nb");
        assert_eq!(tail_of(b"", &[]).last_lines(), None);
    }

    #[test]
    fn secrets_do_not_show_even_across_the_cut() {
        let secrets = ["hunter2hunter2".to_owned(), "first line\nsecond line".to_owned()];
        assert_eq!(tail_of(b"password hunter2hunter2, key second line!", &secrets).text, "password ***, key ***!");
        for shift in 0..40 {
            let mut text = b"hunter2hunter2".repeat(10_000);
            text.extend_from_slice(&b"x".repeat(shift));
            let tail = tail_of(&text, &secrets);
            assert!(!tail.text.contains("hunter") && !tail.text.contains("ter2"), "{shift}");
            assert!(tail.text.trim_start_matches('*').chars().all(|c| c == 'x' || c == '*'), "{shift}");
        }
    }
}
