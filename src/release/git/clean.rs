//! Whether the working tree is what a commit is.

use super::WorkTree;
use crate::error::Result;
use git2::{Status, StatusOptions};
use std::path::{Path, PathBuf};

impl WorkTree {
    /// Returns the paths that differ from HEAD, sorted: changed, staged, conflicted, and not known to git; what git ignores
    /// is left out, and so is what lies at or below one of `except`.
    ///
    /// # Errors
    /// `commit-unknown`: git cannot be read.
    pub fn differing(&self, except: &[PathBuf]) -> Result<Vec<String>> {
        let mut options = StatusOptions::new();
        options.include_untracked(true).recurse_untracked_dirs(true).include_ignored(false);
        let failed = |error| self.failed("compare the working tree with HEAD", error);
        let statuses = self.repository.statuses(Some(&mut options)).map_err(failed)?;
        let top = self.directory.canonicalize().unwrap_or_else(|_| self.directory.clone());
        let is_ours = |path: &Path| {
            let both = [self.directory.join(path), top.join(path)];
            both.iter().any(|path| except.iter().any(|except| path.starts_with(except)))
        };
        let mut paths = Vec::new();
        for entry in statuses.iter().filter(|entry| !matches!(entry.status(), Status::CURRENT | Status::IGNORED)) {
            let path = String::from_utf8_lossy(entry.path_bytes()).into_owned();
            if !is_ours(Path::new(&path)) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }
}
