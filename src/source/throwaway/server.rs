//! A server that is started, waited for, and stopped.

use super::abandoned::{Record, end};
use super::home::Home;
use crate::error::{Error, Result};
use crate::process::{Program, Service};
use crate::source::Context;
use crate::source::write::failed;
use rustix::process::Signal;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long to wait before looking at a server again.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a server that breaks its connections may take to end.
const ENDING: Duration = Duration::from_millis(300);
/// How long a server may take until it lets somebody in, unless the run ends before: recoveries take their time.
const READY_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);

/// How a server is started and stopped.
pub(in crate::source) struct Launch<'a> {
    /// What it is, for messages: `the throw-away PostgreSQL server`.
    pub what: String,
    /// The program with its arguments; it stays in the foreground.
    pub program: Program,
    /// Where it listens.
    pub socket: PathBuf,
    /// The signals that stop it, gentlest first, and how long each may take. What is left is killed.
    pub stop: &'static [(Signal, Duration)],
    /// Asked again and again: whether the server lets somebody in.
    pub is_ready: &'a dyn Fn() -> Result<bool>,
}

/// A server of this run's own. Dropping it stops it.
#[derive(Debug)]
pub(in crate::source) struct OwnServer {
    what: String,
    /// Until it has ended.
    service: Option<Service>,
    directory: PathBuf,
    record: Record,
    socket: PathBuf,
    stop: &'static [(Signal, Duration)],
}

impl OwnServer {
    /// Starts a server in its home, and waits until it lets somebody in.
    ///
    /// # Errors
    /// `restore-failed`: it cannot be started, or ends; with its last lines. The reason of a cancellation.
    pub(in crate::source) fn start(home: &Home, launch: Launch<'_>, context: &Context) -> Result<Self> {
        let Launch { what, program, socket, stop, is_ready } = launch;
        let cannot =
            |error: Error| error.under(crate::error::ErrorCode::RestoreFailed, format!("{what} cannot be started"));
        context.cancel.check()?;
        let program = home.run_as_account(program);
        let directory = home.path().to_owned();
        let record = Record::begin(&directory, &program.locate().map_err(cannot)?)?;
        let service = Service::start(&program).map_err(cannot)?;
        let pid = service.pid();
        let mut server = Self { what, service: Some(service), directory, record, socket, stop };
        server.record.runs(&server.directory, pid)?;
        let until = Instant::now() + READY_WITHIN;
        while !is_ready()? {
            server.must_run("ended before it let anybody in")?;
            if Instant::now() >= until {
                return Err(failed(format!("{} lets nobody in", server.what)));
            }
            context.cancel.sleep(PAUSE)?;
        }
        Ok(server)
    }

    /// Fails if the server has ended by itself.
    ///
    /// # Errors
    /// `restore-failed`, with its last lines.
    pub(in crate::source) fn must_run(&mut self, how: &str) -> Result<()> {
        match &self.service {
            Some(service) if !service.has_exited()? => Ok(()),
            Some(_) => {
                let said = self.service.take().map(Service::end).unwrap_or_default();
                Err(failed(format!("{} {how}", self.what)).caused_by(said))
            }
            None => Err(failed(format!("{} has ended", self.what))),
        }
    }

    /// Says why something failed, if that is because the server has ended.
    pub(in crate::source) fn explain(&mut self, error: Error) -> Error {
        // Its connections may break a moment before it has ended.
        let _ = self.service.as_ref().map(|service| service.ends_within(ENDING));
        match self.must_run("ended by itself") {
            Err(ended) if !error.is_cancelled() => ended,
            _ => error,
        }
    }

    /// Stops the server, and makes sure that nothing of it is left.
    ///
    /// # Errors
    /// `restore-failed`: what is left.
    pub(in crate::source) fn stop(mut self) -> Result<()> {
        let left = self.end();
        if !left.is_empty() {
            let pids = left.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            return Err(failed(format!("{} still runs: process {pids}", self.what))
                .hint(format!("end it: kill -KILL {}", pids.replace(", ", " "))));
        }
        match std::fs::remove_file(&self.socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed(format!("the socket of {} is left: {}", self.what, self.socket.display())).caused_by(error))
            }
            _ => Ok(()),
        }
    }

    fn end(&mut self) -> Vec<u32> {
        if let Some(service) = self.service.take() {
            let by = |(signal, within): &(Signal, Duration)| service.stop_by(*signal, *within).unwrap_or(false);
            if !self.stop.iter().any(by) {
                // With its children, who would lose their parent otherwise.
                let _ = end(&self.record, &self.directory);
            }
            let _ = service.end();
        }
        end(&self.record, &self.directory)
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        if self.service.is_some() {
            let _ = self.end();
        }
    }
}
