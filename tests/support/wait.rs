//! Waiting for what happens: the end of a process, what a server says, what is written, a moment of the clock.

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

/// Waits until a child, which was not waited for, has ended, at most `limit`; says whether it has.
pub fn for_end(child: u32, limit: Duration) -> bool {
    is_ready(&[PollFd::new(&process(child), PollFlags::IN)], Some(limit))
}

/// Waits until `happened`, which is looked at whenever something is written in one of `folders`; returns false if the child
/// ended without.
pub fn for_change(folders: &[&Path], child: u32, happened: impl Fn() -> bool) -> bool {
    let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).unwrap();
    for folder in folders {
        let written = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        inotify::add_watch(&changes, *folder, written).unwrap();
    }
    let process = process(child);
    while !happened() {
        if is_ready(&[PollFd::new(&process, PollFlags::IN)], Some(Duration::ZERO)) {
            return happened();
        }
        is_ready(&[PollFd::new(&process, PollFlags::IN), PollFd::new(&changes, PollFlags::IN)], None);
        // What exactly was written does not matter.
        while rustix::io::read(&changes, &mut [0; 4096]).is_ok_and(|read| read > 0) {}
    }
    true
}

/// Passes on to a file what a server says, and waits until that holds `text`; returns false if the server says no more.
pub fn for_words(said: impl Read + Send + 'static, log: &Path, text: &'static str) -> bool {
    let mut log = File::create(log).unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let (mut said, mut line) = (BufReader::new(said), Vec::new());
        // To its end: a server whose words nobody takes would stop.
        while said.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let _ = log.write_all(&line);
            if String::from_utf8_lossy(&line).contains(text) {
                // Only the first time is waited for.
                let _ = sender.send(());
            }
            line.clear();
        }
    });
    receiver.recv().is_ok()
}

/// Waits until the clock is past `moment`.
pub fn for_moment(moment: Timestamp) {
    while let Ok(left) = Duration::try_from(moment.duration_since(Timestamp::now())) {
        // A clock that is set back meanwhile is waited for, too.
        std::thread::sleep(left + Duration::from_millis(1));
    }
}

fn process(child: u32) -> OwnedFd {
    let pid = Pid::from_raw(i32::try_from(child).unwrap()).unwrap();
    pidfd_open(pid, PidfdFlags::empty()).unwrap()
}

fn is_ready(what: &[PollFd<'_>], limit: Option<Duration>) -> bool {
    let mut what = what.to_vec();
    let limit = limit.map(|limit| Timespec::try_from(limit).unwrap());
    loop {
        match poll(&mut what, limit.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result.unwrap() > 0,
        }
    }
}
