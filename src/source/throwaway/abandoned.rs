//! What a run that was killed has left: its servers run on, in a private directory that is to be removed.
//!
//! Before a server is started, a record of it is written into the directory: the program, and, once it runs, the process.
//! A process is ended only if it is proved to be the server: by its number and the tick of its start, as one that descends
//! from that, or as one that runs the recorded program inside of the directory.

use super::processes::{Held, descendants, inside, kill, recorded};
use crate::error::Result;
use crate::process::Identity;
use crate::source::write::failed;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the record.
const RECORD: &str = "holdpoint-server.json";
/// How deep below a scratch directory records lie.
const DEPTH: usize = 3;
/// How long killed processes may take to be gone.
const KILLED_WITHIN: Duration = Duration::from_secs(5);

/// A server that was started in a directory.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// The files of the programs, as `/proc/PID/exe` shows them.
    programs: Vec<PathBuf>,
    /// The process, once it was started.
    process: Option<Identity>,
}

impl Record {
    /// Notes in a directory that `program` is about to run there.
    ///
    /// # Errors
    /// `restore-failed`: the record cannot be written.
    pub(super) fn begin(directory: &Path, program: &Path) -> Result<Self> {
        let mut record = read(&directory.join(RECORD)).unwrap_or_default();
        record.programs.push(program.canonicalize().unwrap_or_else(|_| program.to_owned()));
        record.process = None;
        record.write(directory)?;
        Ok(record)
    }

    /// Notes which process it is.
    ///
    /// # Errors
    /// As [`Record::begin`].
    pub(super) fn runs(&mut self, directory: &Path, pid: u32) -> Result<()> {
        self.process = Some(Identity::of(pid));
        self.write(directory)
    }

    /// Returns every process of the server that still runs.
    pub(super) fn processes(&self, directory: &Path) -> Vec<Held> {
        let main = self.process.as_ref().and_then(recorded);
        let below = match (&main, &self.process) {
            (Some(_), Some(process)) => descendants(process.pid),
            _ => Vec::new(),
        };
        // The first stops those that follow from being started anew.
        main.into_iter().chain(below).chain(inside(directory, &self.programs)).collect()
    }

    fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(RECORD);
        let cannot = |error: std::io::Error| failed(format!("cannot write {}", path.display())).caused_by(error);
        let bytes = serde_json::to_vec(self).map_err(|error| cannot(error.into()))?;
        // In one step: a record that is cut off would not be read.
        let file = tempfile::NamedTempFile::new_in(directory).map_err(cannot)?;
        std::fs::write(file.path(), bytes).map_err(cannot)?;
        file.persist(&path).map_err(|error| cannot(error.error))?;
        Ok(())
    }
}

/// Ends the servers that were started in a scratch directory whose run is dead. Says whether none is left.
pub fn end_abandoned(scratch: &Path) -> bool {
    let mut records = Vec::new();
    find(scratch, DEPTH, &mut records);
    records.into_iter().all(|(directory, record)| end(&record, &directory).is_empty())
}

/// Kills every process of a server, and those that came while it did; returns which are left.
pub(super) fn end(record: &Record, directory: &Path) -> Vec<u32> {
    let mut left = Vec::new();
    // What one of them started meanwhile is found by the second look.
    for _ in 0..2 {
        left = kill(&record.processes(directory), KILLED_WITHIN);
    }
    left
}

/// Finds records in directories of ours; nobody else can have written them.
fn find(directory: &Path, depth: usize, found: &mut Vec<(PathBuf, Record)>) {
    let own = rustix::process::geteuid().as_raw();
    let is_ours = directory.symlink_metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == own);
    let Some(depth) = depth.checked_sub(1).filter(|_| is_ours) else { return };
    let Ok(directory) = directory.canonicalize() else { return };
    found.extend(read(&directory.join(RECORD)).map(|record| (directory.clone(), record)));
    for entry in directory.read_dir().ok().into_iter().flatten().flatten() {
        find(&entry.path(), depth, found);
    }
}

fn read(path: &Path) -> Option<Record> {
    let own = rustix::process::geteuid().as_raw();
    let metadata = path.symlink_metadata().ok()?;
    let is_ours = metadata.is_file() && metadata.uid() == own;
    serde_json::from_slice(&std::fs::read(path).ok().filter(|_| is_ours)?).ok()
}
