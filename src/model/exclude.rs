//! What a tree of files leaves out.

use std::path::PathBuf;

/// What a capture of files leaves out; the default leaves out nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exclude {
    /// Globs with the meaning of a `.gitignore` line, counted from each root.
    pub globs: Vec<String>,
    /// Leave out the content of directories with a valid `CACHEDIR.TAG` (bford.info/cachedir), but for the tag itself.
    pub caches: bool,
    /// Leave out regular files larger than this many bytes.
    pub larger_than: Option<u64>,
    /// Leave out what `.gitignore` files and `.git/info/exclude` leave out.
    pub git_ignore: bool,
    /// Absolute paths to leave out whatever they hold, such as the store itself and its key.
    pub paths: Vec<PathBuf>,
}
