//! Restoring a tree, a part of it, or one file into a directory: plan, then perform.
//!
//! What is there already is looked at first, by every byte, and only what differs is touched; the same look, alone,
//! compares. Every blob is compared with its id before its bytes are written. Files are written in the order of the
//! packs, on several threads; many are not synced one by one, but the whole file system once at the end; then what was
//! written is read again and compared. A marker file in the target tells a restore that did not end from one that did.

mod access;
mod chosen;
mod compare;
mod content;
mod differences;
mod existing;
mod folders;
mod links;
mod look;
mod looker;
mod metadata;
mod names;
mod perform;
mod plan;
mod prove;
mod remove;
mod target;
#[cfg(test)]
mod tests;

pub use access::check_in_place;
pub(super) use chosen::choose;
pub use chosen::{chosen_paths, plan_paths};
pub use differences::{Aspects, Difference, Differences};
pub use metadata::Note;
pub use plan::{Plan, plan, plan_itself};
pub use target::MARKER;

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// Files, hard links among them.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// The sizes of the files, added up, in bytes.
    pub bytes: u64,
    /// Of the files, those that were written, linked, or given other metadata; the others were right and not touched.
    pub changed_files: u64,
    /// Of the directories, those that were made, or given other metadata.
    pub changed_dirs: u64,
    /// Bytes that were written, those that came from the old file among them.
    pub written_bytes: u64,
    /// What is otherwise than it was stored; at most a thousand.
    pub notes: Vec<Note>,
}

impl Restored {
    /// Adds what another restore did.
    pub fn add(&mut self, other: Self) {
        self.files += other.files;
        self.dirs += other.dirs;
        self.bytes += other.bytes;
        self.changed_files += other.changed_files;
        self.changed_dirs += other.changed_dirs;
        self.written_bytes += other.written_bytes;
        self.notes.extend(other.notes);
    }

    /// Says that everything was written: nothing was there before.
    #[must_use]
    pub fn anew(self) -> Self {
        Self { changed_files: self.files, changed_dirs: self.dirs, written_bytes: self.bytes, ..self }
    }
}
