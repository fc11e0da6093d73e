//! Archiving streams of unknown length, each as one file.

use super::super::exclude::DirMatcher;
use super::super::mode;
use super::super::tree::{Node, NodeType};
use super::directory::Directory;
use super::file::{Content, ReadError};
use super::outcome::Archived;
use super::schedule::{Schedule, Worker};
use super::writer::PackWriter;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::progress::Progress;
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Archives one stream, read to its end, as a file of this name.
pub type Store<'a> = dyn FnMut(&OsStr, &mut dyn Read) -> Result<()> + 'a;

/// Archives streams as files at the root of a tree, readable by their owner alone. `produce` hands them over one after
/// another; what it returns ends the archive.
///
/// # Errors
/// `capture-failed` if a stream could not be read, an error of `produce`, a failure of the store, a cancellation.
pub fn archive_streams(
    writer: &PackWriter,
    progress: &Progress,
    cancel: &Cancel,
    produce: impl FnOnce(&mut Store<'_>) -> Result<()> + Send,
) -> Result<Archived> {
    let schedule = Schedule::new(writer, progress, cancel);
    let (root, tally) = schedule.run(super::workers(), |worker| {
        let directory = Directory::new("/".into(), DirMatcher::default(), None, None, None);
        directory.expect(0, 0);
        let mut names = BTreeSet::new();
        produce(&mut |name, stream| {
            if !names.insert(name.to_owned()) {
                return Err(Error::new(ErrorCode::Internal, format!("two streams are named {}", name.display())));
            }
            archive_one(worker, &directory, name, stream)
        })?;
        worker.release(&directory)
    })?;
    tally.into_archived(root)
}

fn archive_one(
    worker: &mut Worker<'_, '_>,
    directory: &Arc<Directory>,
    name: &OsStr,
    stream: &mut dyn Read,
) -> Result<()> {
    let now = Timestamp::now();
    let node = Node {
        mode: mode::to_go(NodeType::File, 0o600),
        mtime: now,
        atime: now,
        ctime: now,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        links: 1,
        ..Node::new(name, NodeType::File)
    };
    let content = Content::new(directory, directory.announce(), node);
    let bytes = worker.read_chunks(&content, stream, 0, true).map_err(|error| match error {
        ReadError::Run(error) => error,
        ReadError::Source(error) => {
            // What ended the stream may be the end of the run: that is no failure of the source.
            let own = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
            if let Some(cancelled) = own.filter(|error| error.is_cancelled()) {
                return cancelled.replica();
            }
            Error::new(ErrorCode::CaptureFailed, "the stream could not be read").caused_by(error)
        }
    })?;
    worker.schedule.tally.files.fetch_add(1, Relaxed);
    worker.schedule.tally.files_read.fetch_add(1, Relaxed);
    worker.count_item();
    worker.finish_content(&content, bytes)
}
