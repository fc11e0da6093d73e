//! One file per kind of source: preflight, capture, inspect, restore. Knows nothing of stores.
//!
//! A source describes what there is to capture; the gate connects it to the repository. What a source says of itself
//! ([`Facts`]) goes into the manifest.

mod command;
mod files;
mod sqlite;
mod write;

use crate::cancel::Cancel;
use crate::config::{SourceConfig, SourceKind};
use crate::error::Result;
use crate::model::finding::Finding;
use crate::model::manifest::{Consistency, Content};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What every call of a source gets.
#[derive(Debug, Clone)]
pub struct Context {
    /// Ends the work at the deadline or on a signal.
    pub cancel: Cancel,
    /// A private directory for what must be on disk for a while; the caller deletes it.
    pub scratch: PathBuf,
}

/// Creates the source that a configuration describes; its relative paths count from `directory`, which is absolute.
pub fn build(config: &SourceConfig, directory: &Path) -> Box<dyn Source> {
    match &config.kind {
        SourceKind::Files(files) => Box::new(files::FilesSource::new(files, directory)),
        SourceKind::Command(command) => Box::new(command::CommandSource::new(&config.name, command, directory)),
        SourceKind::Sqlite(sqlite) => Box::new(sqlite::SqliteSource::new(sqlite, directory)),
    }
}

/// One thing that must be restorable.
pub trait Source: Send + Sync {
    /// Returns what is known of the source before it is captured.
    fn facts(&self) -> Facts;

    /// Returns absolute paths that nothing else in this process may open while the source is captured, whether they
    /// exist or not; the gate leaves them out of every tree. Empty for most kinds.
    fn exclusive_paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Looks for everything that a capture will need, changing nothing. No refusal among the findings: go on.
    fn preflight(&self, context: &Context) -> Vec<Finding>;

    /// Starts a capture and returns what is to be stored.
    ///
    /// # Errors
    /// Whatever kept the capture from starting; [`crate::error::Error::code`] says whether it was cancelled.
    fn capture(&self, context: &Context) -> Result<Capture>;

    /// Says whether the bytes of a stream tell more than that they are those that were stored: then
    /// [`Source::inspect`] is called with them.
    fn inspects(&self) -> bool {
        false
    }

    /// Looks at a snapshot that was read back from the store: the stream that [`Capture::Stream`] was, byte for byte.
    /// Adds facts, or refuses what the bytes show to be wrong.
    ///
    /// # Errors
    /// The stream could not be read.
    fn inspect(&self, _context: &Context, _stream: &mut dyn Read) -> Result<Inspection> {
        Ok(Inspection::default())
    }

    /// Puts a stream back into `target`; not called for trees, which are restored as files.
    ///
    /// # Errors
    /// `restore-failed`, naming what is in the way; an existing target is overwritten only with `force`.
    fn restore(&self, context: &Context, stream: &mut dyn Read, target: &Target, force: bool) -> Result<()>;
}

/// Where a stream is restored to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file below this directory, named as in the snapshot.
    Directory(PathBuf),
    /// Where the source's own restore program puts it.
    Origin,
}

/// What a source says of itself.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What tells it from another source of the same name, such as a path.
    pub identity: Option<String>,
    /// The version of the program or library that captures it.
    pub tool_version: Option<String>,
    /// The version of the server it comes from.
    pub server_version: Option<String>,
    /// How it is captured, such as `walk`, `stream` or `online-backup`.
    pub method: &'static str,
    /// What its consistency rests on.
    pub consistency: Consistency,
}

/// What is to be stored.
pub enum Capture {
    /// Files and directories, stored under their absolute paths.
    Tree(TreeCapture),
    /// A stream, stored as one file.
    Stream(Box<dyn StreamCapture>),
}

/// Files and directories to store.
#[derive(Debug, Clone, Default)]
pub struct TreeCapture {
    /// Absolute paths, without `.` or `..` components.
    pub roots: Vec<PathBuf>,
    /// What to leave out.
    pub exclude: crate::model::exclude::Exclude,
}

/// A stream to store; reading it to its end is the first half, [`StreamCapture::finish`] the second.
pub trait StreamCapture: Read + Send {
    /// Returns the name of the file that holds the stream in the snapshot: one path component.
    fn file_name(&self) -> &Path;

    /// Waits for whatever produced the stream, and says whether it was complete. Called once, after the end of the
    /// stream was read; dropping a capture without finishing it stops and removes everything it started.
    ///
    /// # Errors
    /// A non-zero exit status, a kill, or anything else that makes the stream worthless.
    fn finish(self: Box<Self>) -> Result<Content>;
}

/// What [`Source::inspect`] found.
#[derive(Debug, Default)]
pub struct Inspection {
    /// Facts to add to the manifest.
    pub content: Content,
    /// What speaks against the snapshot.
    pub findings: Vec<Finding>,
}
