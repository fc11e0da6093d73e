//! Processes that are proved to be a server's, and are ended by descriptor: no later process of the same number is hit.

use crate::process::{Identity, Seen};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeMap;
use std::fs::{read_dir, read_link, read_to_string};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A process, held by a descriptor.
#[derive(Debug)]
pub(super) struct Held {
    pid: u32,
    descriptor: OwnedFd,
}

impl Held {
    /// Takes hold of a process if `is_it` says so once it is held.
    fn new(pid: u32, is_it: impl Fn() -> bool) -> Option<Self> {
        let descriptor = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
        is_it().then_some(Self { pid, descriptor })
    }
}

/// Returns the process that was recorded, if it still runs.
pub(super) fn recorded(process: &Identity) -> Option<Held> {
    let observer = Identity::current();
    Held::new(process.pid, || process.is_proved_running(&observer))
}

/// Returns the processes that run one of `programs` in a directory or below it; those that the system tells of.
pub(super) fn inside(directory: &Path, programs: &[PathBuf]) -> Vec<Held> {
    let is_one = |pid: u32| {
        let link = |name: &str| read_link(format!("/proc/{pid}/{name}")).ok();
        link("cwd").is_some_and(|working| working.starts_with(directory))
            && link("exe").is_some_and(|program| programs.contains(&program))
    };
    all().into_iter().filter_map(|pid| Held::new(pid, || is_one(pid))).collect()
}

/// Returns the processes that a process has started, and theirs, as far as they have not lost their parents.
pub(super) fn descendants(of: u32) -> Vec<Held> {
    let parents: BTreeMap<u32, u32> = all().into_iter().filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let descends = |mut pid: u32| {
        // No chain is longer than there are processes.
        for _ in 0..parents.len() {
            match parents.get(&pid) {
                Some(&parent) if parent == of => return true,
                Some(&parent) => pid = parent,
                None => return false,
            }
        }
        false
    };
    let below = parents.keys().copied().filter(|&pid| descends(pid));
    below.filter_map(|pid| Held::new(pid, || parent(pid) == parents.get(&pid).copied())).collect()
}

/// Kills processes, and returns those that are still there after `within`.
pub(super) fn kill(processes: &[Held], within: Duration) -> Vec<u32> {
    let until = Instant::now() + within;
    for process in processes {
        // One that has ended meanwhile takes no signal.
        let _ = pidfd_send_signal(&process.descriptor, Signal::KILL);
    }
    processes.iter().filter(|process| !ends(process, until)).map(|process| process.pid).collect()
}

fn ends(process: &Held, until: Instant) -> bool {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 0, tv_nsec: 0 });
        match poll(&mut [PollFd::new(&process.descriptor, PollFlags::IN)], Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            // One that nobody waits for yet has ended all the same.
            Ok(0) | Err(_) => return Seen::of(process.pid) == Seen::Gone,
            Ok(_) => return true,
        }
    }
}

fn all() -> Vec<u32> {
    let entries = read_dir("/proc").ok().into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Reads `pid (name) state ppid …` (proc_pid_stat(5)).
fn parent(pid: u32) -> Option<u32> {
    let stat = read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}
