//! Archiving: directory trees and streams become blobs in packs.
//!
//! Every worker does the whole way of a piece of work (read, hash, compress, seal, append to a pack), so that small
//! files cost no hand-over between threads; only packs go to other threads, which store them. Large files and streams
//! are cut by one worker into chunks that all workers take from a stack; a reader that is ahead of them takes a chunk
//! itself, so that memory is bounded by the number of workers and not by the data.

mod adopt;
mod directory;
mod encoder;
mod file;
mod metadata;
mod outcome;
mod roots;
mod schedule;
mod stream;
mod tree;
mod walk;
mod writer;

pub use adopt::adopt_orphans;
pub use outcome::{Archived, Issue, IssueKind};
pub use stream::{Store, archive_streams};
pub use tree::{TreeRequest, archive_tree};
pub(super) use writer::{MAX_BLOBS, PACK_SIZE};
pub use writer::{PackWriter, StoredPacks};

/// Returns how many workers archive one source.
pub(crate) fn workers() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16)
}
