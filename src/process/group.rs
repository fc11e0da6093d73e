//! A running program and its process group: waited for, or ended as one.

use super::limit::Limit;
use super::program::Program;
use super::status::in_words;
use super::tail::{Tail, TailReader};
use crate::error::{Error, ErrorCode, IoContext, Result};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use std::io::PipeWriter;
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The pauses between two looks at a program: short at first, since most end right after their output does.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// How long a killed process may take to be gone; only one stuck in the kernel takes longer.
const KILLED_WITHIN: Duration = Duration::from_secs(1);

/// Where the standard output of a program goes.
pub(super) enum Stdout {
    /// Into a pipe of the caller.
    Pipe(PipeWriter),
    /// Into the tail, beside standard error.
    Tail,
    /// Onto this process's standard error, as is standard error: people watch it, and nothing of it is kept.
    Shown,
}

/// A running program. Dropping it ends its group: SIGTERM, a grace, SIGKILL.
#[derive(Debug)]
pub(super) struct Running {
    name: String,
    secrets: Vec<String>,
    child: Child,
    /// The id of the process group, which is the program's own. The program is reaped last, so that the id stays taken
    /// for as long as signals are sent to it.
    group: Pid,
    tail: TailReader,
    limit: Limit,
    reaped: bool,
}

impl Running {
    /// Starts a program.
    pub(super) fn start(program: &Program, stdin: Stdio, stdout: Stdout, limit: Limit) -> Result<Self> {
        let name = program.name().to_owned();
        limit.check(&name)?;
        let mut command = program.command()?;
        let (reader, writer) = std::io::pipe().io_context(|| "cannot make a pipe".to_owned())?;
        let longest_secret = program.secrets.iter().map(String::len).max().unwrap_or(0);
        let tail = TailReader::start(reader, longest_secret)?;
        command.stdin(stdin);
        let stdout_is_shown = matches!(stdout, Stdout::Shown);
        match stdout {
            Stdout::Pipe(pipe) => command.stdout(pipe),
            Stdout::Tail => command.stdout(writer.try_clone().io_context(|| "cannot share a pipe".to_owned())?),
            Stdout::Shown => command.stdout(std::io::stderr()),
        };
        match stdout_is_shown {
            true => command.stderr(std::io::stderr()),
            false => command.stderr(writer),
        };
        let spawned = command.spawn();
        // The command holds our copies of the pipes' ends; without them gone, no pipe would ever end.
        drop(command);
        let child = spawned.map_err(|error| {
            Error::new(ErrorCode::ProcessFailed, format!("cannot start {name}"))
                .caused_by(error)
                .hint("check that it is a program for this machine, and that a script names its interpreter")
        })?;
        let group = Pid::from_child(&child);
        Ok(Self { name, secrets: program.secrets.clone(), child, group, tail, limit, reaped: false })
    }

    /// Returns the name of the program.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Returns its process group.
    pub(super) fn group(&self) -> Pid {
        self.group
    }

    /// Returns what ends the patience with it.
    pub(super) fn limit(&self) -> &Limit {
        &self.limit
    }

    /// Waits for the program and ends what is left of its group. Returns how it exited and what it said.
    pub(super) fn wait(mut self) -> Result<Ended> {
        let mut pause = FIRST_PAUSE;
        while !self.has_exited().io_context(|| format!("cannot wait for {}", self.name))? {
            self.limit.check(&self.name)?;
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        let status = self
            .end_group()
            .ok_or_else(|| Error::new(ErrorCode::ProcessFailed, format!("cannot learn how {} ended", self.name)))?;
        Ok(self.ended(status))
    }

    /// Says how the program ended, after all of its output was read.
    pub(super) fn ended(&mut self, status: ExitStatus) -> Ended {
        let tail = self.tail.finish(&self.secrets);
        Ended { name: std::mem::take(&mut self.name), status, tail }
    }

    /// Returns the process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the program alone. It is reaped last, so its id is not another's.
    pub(super) fn signal_itself(&self, signal: Signal) {
        let _ = kill_process(self.group, signal);
    }

    /// Says whether the program itself has exited, leaving it to be reaped.
    pub(super) fn has_exited(&self) -> std::io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        loop {
            match waitid(WaitId::Pid(self.group), options) {
                Ok(status) => return Ok(status.is_some()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Says whether anything of the group still runs.
    fn is_alive(&self) -> bool {
        !matches!(self.has_exited(), Ok(true)) || group_has_members(self.group)
    }

    /// Ends whatever of the group still runs, reaps the program and returns its status. At once if nothing runs.
    pub(super) fn end_group(&mut self) -> Option<ExitStatus> {
        self.reaped = true;
        if self.is_alive() {
            self.signal(Signal::TERM);
            // A stopped process sees SIGTERM only once it goes on.
            self.signal(Signal::CONT);
            self.wait_until_dead(self.limit.grace());
        }
        // Also when all seem dead: one that was forked during the look would be missed otherwise.
        self.signal(Signal::KILL);
        self.wait_until_dead(KILLED_WITHIN);
        match self.has_exited() {
            Ok(true) => self.child.wait().ok(),
            _ => self.child.try_wait().ok().flatten(),
        }
    }

    /// Sends a signal to the group. Fails only if nobody is left to get it, or may not get it from us.
    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(self.group, signal);
    }

    fn wait_until_dead(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        let mut pause = FIRST_PAUSE;
        while self.is_alive() && Instant::now() < until {
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            self.end_group();
        }
        self.tail.finish(&[]);
    }
}

/// How a program ended, and what it said last.
#[derive(Debug)]
pub(super) struct Ended {
    name: String,
    pub(super) status: ExitStatus,
    pub(super) tail: Tail,
}

impl Ended {
    /// Fails unless the program exited 0.
    pub(super) fn success(&self) -> Result<()> {
        if self.status.success() {
            return Ok(());
        }
        let error = Error::new(ErrorCode::ProcessFailed, format!("{} {}", self.name, in_words(self.status)));
        Err(match self.tail.last_lines() {
            Some(lines) => error.caused_by(lines),
            None => error,
        })
    }
}

/// Says whether a process of the group runs that is not merely waiting to be reaped. Where there is no `/proc`, only
/// the program itself counts.
fn group_has_members(group: Pid) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else { return false };
    processes.flatten().any(|process| {
        let is_process = process.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
        is_process && is_member(&process.path().join("stat"), group)
    })
}

/// Reads `pid (name) state ppid pgrp …` (proc_pid_stat(5)); the name may hold anything, so the last `)` counts.
fn is_member(stat: &std::path::Path, group: Pid) -> bool {
    let Ok(stat) = std::fs::read(stat) else { return false };
    let stat = String::from_utf8_lossy(&stat);
    let Some((_, fields)) = stat.rsplit_once(')') else { return false };
    let mut fields = fields.split_ascii_whitespace();
    let (state, pgrp) = (fields.next(), fields.nth(1));
    !matches!(state, Some("Z" | "X")) && pgrp.and_then(|pgrp| pgrp.parse().ok()) == Some(group.as_raw_nonzero().get())
}
