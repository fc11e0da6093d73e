//! A program that is run in somebody's stead: with the environment of the job, its output where ours goes, and the
//! signals that reach us passed on to it.

use crate::cancel::Reason;
use crate::error::{Error, ErrorCode, IoContext, Result};
use crossbeam_channel::{Receiver, at, bounded, never, select};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// How long a program may take to end after the first signal: CI systems kill ten seconds after it.
const GRACE: Duration = Duration::from_secs(8);
/// How long after the second one.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// How a program ended.
#[derive(Debug)]
pub struct Attended {
    /// Its exit status.
    pub status: ExitStatus,
    /// The signal that was passed on to it, if one came while it ran.
    pub cancelled: Option<Reason>,
}

/// Runs a program to its end, and passes on what arrives in `signals`. One that does not end then is killed, with all
/// that it started.
///
/// # Errors
/// `process-failed` if it cannot be started.
pub fn attend(mut command: Command, signals: &Receiver<Reason>) -> Result<Attended> {
    // A terminal sends its signals to the whole foreground group, and lets no other group read from it.
    let has_group = !std::io::stdin().is_terminal();
    if has_group {
        command.process_group(0);
    }
    let name = command.get_program().to_string_lossy().into_owned();
    let (ended, end) = bounded(1);
    let (hand_over, taken) = bounded::<Child>(1);
    let wait = move || {
        let Ok(mut child) = taken.recv() else { return };
        // Nobody listens any more once we are gone.
        let _ = ended.send(child.wait());
    };
    // Before the program: one that nobody waits for must not be started.
    std::thread::Builder::new()
        .name("attend".to_owned())
        .spawn(wait)
        .map_err(|error| Error::new(ErrorCode::Internal, "cannot start a thread").caused_by(error))?;
    let child = command.spawn().map_err(|error| {
        Error::new(ErrorCode::ProcessFailed, format!("cannot start {name}"))
            .caused_by(error)
            .hint("check that it is there and may be run, and that a script names its interpreter")
    })?;
    let pid = Pid::from_child(&child);
    let send = |signal| {
        // It may have ended meanwhile.
        let _ = if has_group { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
    };
    // It waits for nothing else.
    let _ = hand_over.send(child);
    let mut cancelled = None;
    let mut kill_at: Option<Instant> = None;
    let status = loop {
        let timer = kill_at.map_or_else(never, at);
        select! {
            recv(end) -> status => break status.map_err(|_| gone(&name))?.io_context(|| format!("cannot wait for {name}"))?,
            recv(signals) -> reason => {
                let Ok(reason) = reason else { continue };
                match reason {
                    // The terminal sent that to the program, too: a second one is an order to drop everything.
                    Reason::Interrupt if !has_group => {}
                    Reason::Interrupt => send(Signal::INT),
                    _ => send(Signal::TERM),
                }
                let grace = if cancelled.is_none() { GRACE } else { LAST_GRACE };
                let deadline = Instant::now() + grace;
                kill_at = Some(kill_at.map_or(deadline, |before| before.min(deadline)));
                cancelled.get_or_insert(reason);
            }
            recv(timer) -> _ => {
                send(Signal::KILL);
                kill_at = None;
            }
        }
    };
    // One that came as the program ended was for it as well.
    cancelled = cancelled.or_else(|| signals.try_recv().ok());
    if cancelled.is_some() && has_group {
        // What it left behind was to end, too.
        let _ = kill_process_group(pid, Signal::KILL);
    }
    Ok(Attended { status, cancelled })
}

fn gone(name: &str) -> Error {
    // Not as one that could not be started: it may have done all it should.
    Error::new(ErrorCode::Internal, format!("cannot learn how {name} ended"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::unbounded;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{PidfdFlags, pidfd_open};

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(std::process::Stdio::null());
        command
    }

    #[test]
    fn the_status_of_a_program_is_told_as_it_is() {
        let (_sender, signals) = unbounded();
        assert_eq!(attend(shell("exit 7"), &signals).unwrap().status.code(), Some(7));
        let attended = attend(shell("kill -9 $$"), &signals).unwrap();
        assert!(attended.status.code().is_none() && attended.cancelled.is_none());
        let error = attend(Command::new("/nowhere/program"), &signals).unwrap_err();
        assert!(error.chain().contains("cannot start /nowhere/program"), "{}", error.chain());
    }

    #[test]
    fn signals_are_passed_on_and_what_a_program_leaves_behind_ends() {
        let directory = tempfile::tempdir().unwrap();
        let (ready, left) = (directory.path().join("ready"), directory.path().join("left"));
        rustix::fs::mkfifoat(rustix::fs::CWD, &ready, rustix::fs::Mode::RWXU).unwrap();
        let script = format!(
            "trap 'exit 3' INT; sleep 600 & echo $! >{}; echo ready >{}; wait",
            left.display(),
            ready.display()
        );
        let (sender, signals) = unbounded();
        let running = std::thread::spawn(move || attend(shell(&script), &signals).unwrap());
        // Returns when the program has written to it.
        assert_eq!(std::fs::read_to_string(&ready).unwrap(), "ready\n");
        let left: i32 = std::fs::read_to_string(left).unwrap().trim().parse().unwrap();
        let left = pidfd_open(Pid::from_raw(left).unwrap(), PidfdFlags::empty()).unwrap();
        sender.send(Reason::Interrupt).unwrap();
        let attended = running.join().unwrap();
        assert_eq!((attended.status.code(), attended.cancelled), (Some(3), Some(Reason::Interrupt)));
        let soon = Timespec { tv_sec: 30, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&left, PollFlags::IN)], Some(&soon)).unwrap();
        assert_eq!(ended, 1, "what it left behind runs on");
    }
}
