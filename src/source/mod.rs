//! One file per kind of source: preflight, capture, inspect, restore. Knows nothing of stores.
//!
//! A source describes what there is to capture; the gate connects it to the repository. What a source says of itself
//! ([`Facts`]) goes into the manifest.

mod address;
mod clients;
mod command;
pub mod discover;
mod files;
pub mod isolation;
mod migrations;
mod mongodb;
mod mysql;
mod output;
mod postgres;
mod redis;
#[cfg(test)]
mod sample;
mod sqlite;
pub mod throwaway;
mod tls;
mod write;

use crate::cancel::Cancel;
use crate::config::{SourceConfig, SourceKind};
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::Finding;
use crate::model::leaning::LeansOn;
use crate::model::manifest::{Consistency, Content};
use isolation::{Isolated, Isolation};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Handle;

/// How long [`Source::clean_up`] may take: a run that was cancelled has 5 s in all.
pub const CLEAN_UP_WITHIN: Duration = Duration::from_secs(2);

/// How long one question of [`Source::look`] may take, such as counting the rows of a table.
pub const LOOK_WITHIN: Duration = Duration::from_secs(600);

/// What every call of a source gets.
#[derive(Debug, Clone)]
pub struct Context {
    /// Ends the work at the deadline or on a signal.
    pub cancel: Cancel,
    /// A private directory for what must be on disk for a while; the caller deletes it.
    pub scratch: PathBuf,
    /// Runs what is asynchronous; calls of a source come from threads that may block.
    pub runtime: Handle,
    /// Names what this run does on a server, such as its sessions: `holdpoint-` and 16 hexadecimal digits.
    pub mark: String,
}

impl Context {
    /// Creates a context with a mark of its own.
    ///
    /// # Errors
    /// `io`: the system has no random numbers.
    pub fn new(cancel: Cancel, scratch: PathBuf, runtime: Handle) -> Result<Self> {
        let number = getrandom::u64()
            .map_err(|error| Error::new(ErrorCode::Io, "the system has no random numbers").caused_by(error))?;
        Ok(Self { cancel, scratch, runtime, mark: format!("holdpoint-{number:016x}") })
    }
}

/// Creates the source that a configuration describes; its relative paths count from `directory`, which is absolute.
pub fn build(config: &SourceConfig, directory: &Path) -> Box<dyn Source> {
    match &config.kind {
        SourceKind::Files(files) => Box::new(files::FilesSource::new(files, directory)),
        SourceKind::Command(command) => Box::new(command::CommandSource::new(&config.name, command, directory)),
        SourceKind::Sqlite(sqlite) => Box::new(sqlite::SqliteSource::new(sqlite, directory)),
        SourceKind::Postgres(postgres) => postgres::build(&config.name, postgres, directory),
        SourceKind::Mysql(mysql) => Box::new(mysql::MysqlSource::new(&config.name, mysql, directory)),
        SourceKind::Redis(redis) => Box::new(redis::RedisSource::new(&config.name, redis, directory)),
        SourceKind::Mongodb(mongodb) => Box::new(mongodb::MongodbSource::new(&config.name, mongodb, directory)),
    }
}

/// One thing that must be restorable.
pub trait Source: Send + Sync {
    /// Returns what is known of the source before it is captured; of its server, what the preflight found.
    fn facts(&self) -> Facts;

    /// Returns absolute paths that nothing else in this process may open while the source is captured, whether they
    /// exist or not; the gate leaves them out of every tree. Empty for most kinds.
    fn exclusive_paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Returns the earlier snapshot of another source without which one of this source is worth nothing, as far as the
    /// preflight found out what it must be like. The gate captures only if there is one.
    fn leans_on(&self) -> Option<LeansOn> {
        None
    }

    /// Looks for everything that a capture will need, changing nothing. No refusal among the findings: go on.
    fn preflight(&self, context: &Context) -> Vec<Finding>;

    /// Starts a capture and returns what is to be stored.
    ///
    /// # Errors
    /// Whatever kept the capture from starting; [`crate::error::Error::code`] says whether it was cancelled.
    fn capture(&self, context: &Context) -> Result<Capture>;

    /// Asks the server whether anything of this run is left there, such as a session or a lock; ends it, and asks again.
    /// Returns what had to be ended, in words for people. Called after every try, also after one that failed or was
    /// cancelled: so it does not look at [`Context::cancel`], and takes no longer than [`CLEAN_UP_WITHIN`].
    ///
    /// # Errors
    /// `capture-failed`: something is left there, or the server does not say.
    fn clean_up(&self, _context: &Context) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Says whether the bytes of its streams tell more than that they are those that were stored: then
    /// [`Source::inspect`] is called with them.
    fn inspects(&self) -> bool {
        false
    }

    /// Looks at a snapshot that was read back from the store: the streams that [`Capture::Streams`] were, byte for byte.
    /// Adds facts, or refuses what the bytes show to be wrong.
    ///
    /// # Errors
    /// A stream could not be read.
    fn inspect(&self, _context: &Context, _stored: &dyn Stored) -> Result<Inspection> {
        Ok(Inspection::default())
    }

    /// Says whether [`Source::restore`] has its own way of restoring into a directory: without one, the streams are put
    /// there as the files that they are in the snapshot.
    fn restores_directories(&self) -> bool {
        false
    }

    /// Puts streams back into `target`; not called for trees, which are restored as files.
    ///
    /// # Errors
    /// `restore-failed`, naming what is in the way; an existing target is overwritten only with `force`.
    fn restore(&self, context: &Context, stored: &dyn Stored, target: &Target, force: bool) -> Result<()>;

    /// Looks at what is there now, where the source is, changing nothing: the words of the manifest's `content` that can
    /// be told without a capture, such as `tables`, `rows` and `schema_version`. `None`: this kind cannot tell. Where it
    /// fails, it leaves nothing on the server, as far as that answers.
    ///
    /// # Errors
    /// `capture-failed`: it cannot be asked, or counting takes longer than [`LOOK_WITHIN`]; the reason of a cancellation.
    fn look(&self, _context: &Context) -> Result<Option<Content>> {
        Ok(None)
    }

    /// Makes a place to restore this source to that has nothing to do with where it came from.
    ///
    /// # Errors
    /// `restore-failed`: it cannot be made, and what to install or configure; `usage`: this kind needs a server that is
    /// named. What was begun is undone.
    fn isolate(&self, _context: &Context, _isolation: &Isolation) -> Result<Box<dyn Isolated>> {
        Err(Error::new(ErrorCode::Usage, "this kind of source cannot be restored into isolation"))
    }
}

/// The files of a snapshot of streams, read back from the store.
pub trait Stored {
    /// Returns their names, sorted.
    fn names(&self) -> &[String];

    /// Opens one of them for reading from its start.
    ///
    /// # Errors
    /// `not-found`; `damaged`; the store's own. What reading the stream fails with comes as an [`std::io::Error`] that
    /// holds the [`Error`].
    fn open(&self, name: &str) -> Result<Box<dyn Read + '_>>;

    /// Returns the snapshot that this one leans on, if its source does ([`Source::leans_on`]).
    fn base(&self) -> Option<&dyn Stored> {
        None
    }
}

impl dyn Stored + '_ {
    /// Opens the only file.
    ///
    /// # Errors
    /// `damaged`: there is not exactly one; as [`Stored::open`].
    pub fn open_only(&self) -> Result<Box<dyn Read + '_>> {
        match self.names() {
            [name] => self.open(name),
            names => Err(Error::new(
                ErrorCode::Damaged,
                format!("the snapshot should hold one stream, and holds {}", names.len()),
            )),
        }
    }
}

/// Returns the stream of a snapshot that is worth something by itself, if there is one and no more: what a program takes on
/// its standard input. `names` are those of the snapshot's files.
///
/// # Errors
/// `usage`: what was captured is no copy of the data.
pub fn only_stream<'n>(kind: &str, method: &str, names: &'n [String]) -> Result<Option<&'n str>> {
    if method == "restore-point" {
        return Err(Error::new(ErrorCode::Usage, "a restore point is a place in a log, and holds no data")
            .hint("recover the cluster to it in a new data directory (--target DIR)"));
    }
    if (kind, method) == ("postgres", "dump") {
        // Beside it are the roles of the server, which `pg_restore` does not take.
        return Ok(postgres::archive_of(names));
    }
    Ok(match names {
        [only] => Some(only),
        _ => None,
    })
}

/// Where a stream is restored to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Files below this directory, named as in the snapshot.
    Directory(PathBuf),
    /// Another database, by a URL of the kind that the source has.
    Url(String),
    /// Where the source's own restore program puts it.
    Origin,
}

/// What a source says of itself.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What tells it from another source of the same name, such as a path, or what a server says of itself.
    pub identity: Option<String>,
    /// Whether the identity is a server's own, so that another one means another server, whatever the address.
    pub is_bound: bool,
    /// The version of the program or library that captures it.
    pub tool_version: Option<String>,
    /// The version of the server it comes from.
    pub server_version: Option<String>,
    /// How it is captured, such as `walk`, `stream` or `online-backup`.
    pub method: &'static str,
    /// What its consistency rests on.
    pub consistency: Consistency,
    /// About how much there is to capture, in bytes, where that can be told.
    pub estimated_bytes: Option<u64>,
}

/// What is to be stored.
pub enum Capture {
    /// Files and directories, stored under their absolute paths.
    Tree(TreeCapture),
    /// Streams, each stored as one file.
    Streams(Streams),
}

/// Streams to store one after another: each is produced when the one before it was read to its end and finished.
pub type Streams = Box<dyn Iterator<Item = Result<Box<dyn StreamCapture>>> + Send>;

impl Capture {
    /// Returns the capture of a single stream.
    pub fn stream(stream: impl StreamCapture + 'static) -> Self {
        let stream: Box<dyn StreamCapture> = Box::new(stream);
        Self::Streams(Box::new(std::iter::once(Ok(stream))))
    }
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
