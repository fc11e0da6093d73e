//! A program that is fed must not take our death for the end of its input: a process of our own holds the other end of its
//! pipe, and kills it when we are gone.
//!
//! That process is this same program, started with [`FLAG`]; it holds the pipe as its standard input, from which it never
//! reads, and hears from us on its standard output. A `SIGKILL` for us alone is what it is there for: all else we
//! see coming.

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::OsString;
use std::fs::File;
use std::io::{PipeWriter, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What the program is started with to watch; no command of its own.
const FLAG: &str = "--watch-over-a-program";
/// This program, even if its file was replaced since.
const OWN: &str = "/proc/self/exe";
/// What says that the input came to its end, or that its reader is gone.
const DONE: u8 = b'.';

/// Whether this process knows [`FLAG`]: not a test, nor another program that uses this library.
static IS_ABLE: AtomicBool = AtomicBool::new(false);

/// Does the work of a watcher if this process was started as one, and returns true; else lets programs be watched from now
/// on. To be called before anything else.
pub fn watch_if_asked(mut arguments: impl Iterator<Item = OsString>) -> bool {
    if arguments.nth(1).is_none_or(|first| first != FLAG) {
        IS_ABLE.store(true, Relaxed);
        return false;
    }
    // Nobody is told of an error: whoever started this looks after the program as long as it lives.
    if let Ok(heard) = rustix::io::dup(std::io::stdout()) {
        watch(File::from(heard));
    }
    true
}

/// Hears which group it is, and waits for the word that it may go; without one, the group is killed.
fn watch(mut heard: impl Read) {
    let mut group = [0; 4];
    if heard.read_exact(&mut group).is_err() {
        return;
    }
    let mut word = [0];
    if heard.read_exact(&mut word).is_ok() && word == [DONE] {
        return;
    }
    if let Some(group) = Pid::from_raw(i32::from_ne_bytes(group)) {
        while kill_process_group(group, Signal::KILL) == Err(Errno::INTR) {}
    }
}

/// A watcher; dropping it lets the program's input end.
#[derive(Debug)]
pub(super) struct Watcher {
    child: Child,
    to: PipeWriter,
}

impl Watcher {
    /// Starts a watcher that holds the other end of a program's input open, if it has one; `None` where that cannot be
    /// done.
    pub(super) fn start(input: Option<&PipeWriter>) -> Option<Self> {
        if !IS_ABLE.load(Relaxed) {
            return None;
        }
        let held = match input {
            Some(input) => Stdio::from(input.try_clone().ok()?),
            None => Stdio::null(),
        };
        let (heard, to) = std::io::pipe().ok()?;
        let mut command = Command::new(OWN);
        command.arg(FLAG).env_clear().stdin(held).stdout(heard).stderr(Stdio::null());
        // In a group of its own, it is not met by what is meant for ours.
        command.process_group(0).current_dir("/");
        Some(Self { child: command.spawn().ok()?, to })
    }

    /// Says which group it is.
    pub(super) fn over(&mut self, group: Pid) {
        // A watcher that is gone watches nothing.
        let _ = self.to.write_all(&group.as_raw_nonzero().get().to_ne_bytes());
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.to.write_all(&[DONE]);
        // It ends at once; until then the program's input does not.
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    /// Starts a program in a group of its own and lets `watch` hear `word` after that.
    fn ended_by(word: &[u8]) -> Option<i32> {
        let mut program = Command::new("sleep").arg("600").process_group(0).spawn().unwrap();
        let group = Pid::from_child(&program).as_raw_nonzero().get().to_ne_bytes();
        watch([&group, word].concat().as_slice());
        // In vain if it was killed already.
        let _ = kill_process_group(Pid::from_child(&program), Signal::TERM);
        program.wait().unwrap().signal()
    }

    #[test]
    fn whoever_falls_silent_without_the_word_is_dead() {
        assert_eq!(ended_by(b""), Some(9));
        assert_eq!(ended_by(b"?"), Some(9));
        assert_eq!(ended_by(&[DONE]), Some(15));
        watch(&b"\x01"[..]);
    }

    #[test]
    fn only_the_flag_makes_a_watcher() {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>().into_iter();
        assert!(!watch_if_asked(words(&["holdpoint", "gate", FLAG])));
        IS_ABLE.store(false, Relaxed);
    }
}
