//! Archiving a stream of unknown length, as one file.

use super::super::exclude::DirMatcher;
use super::super::mode;
use super::super::tree::{Node, NodeType};
use super::directory::Directory;
use super::file::{Content, ReadError};
use super::outcome::Archived;
use super::schedule::Schedule;
use super::writer::PackWriter;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::progress::Progress;
use jiff::Timestamp;
use std::ffi::OsStr;
use std::io::Read;
use std::sync::atomic::Ordering::Relaxed;

/// Archives a stream as the file `name` at the root of a tree, readable by its owner alone.
///
/// # Errors
/// `capture-failed` if the stream could not be read, a failure of the store, a cancellation.
pub fn archive_stream(
    writer: &PackWriter,
    name: &OsStr,
    stream: &mut (dyn Read + Send),
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Archived> {
    let schedule = Schedule::new(writer, progress, cancel);
    let (root, tally) = schedule.run(super::workers(), |worker| {
        let directory = Directory::new("/".into(), DirMatcher::default(), None, None, None);
        directory.expect(1, 0);
        worker.release(&directory)?;
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
        let content = Content::new(&directory, 0, node);
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
    })?;
    tally.into_archived(root)
}
