//! The ignore rules of git: `.gitignore` files and `.git/info/exclude`, nested as git nests them (gitignore(5)).
//!
//! Only patterns count, not the index: a tracked file that a pattern matches is left out, since git has it. The user's
//! own `core.excludesFile` does not count, so that the same tree gives the same snapshot on every machine. Rules that
//! cannot be read exclude nothing, which is the safe side.

use super::open_regular;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most that is read of one file of rules.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The rules of one directory and of those above it, in one repository.
#[derive(Debug, Default)]
pub(super) struct GitRules {
    /// The rules of the directory itself; a deeper directory's win.
    own: Option<Gitignore>,
    above: Option<Arc<GitRules>>,
}

impl GitRules {
    /// Returns the rules that count for `root` because a repository begins above it. Without one there are none yet;
    /// `.gitignore` files below the root count all the same. `None` if the root lies in the repository's own `.git`.
    pub(super) fn above(root: &Path) -> Option<Arc<Self>> {
        if root.components().any(|component| component.as_os_str() == ".git") {
            return None;
        }
        let parents: Vec<&Path> = root.ancestors().skip(1).collect();
        let Some(top) = parents.iter().position(|parent| git_directory(parent).is_some()) else {
            return Some(Arc::default());
        };
        let mut from_top = parents.iter().take(top + 1).rev();
        from_top.try_fold(Arc::default(), |rules, directory| Self::enter(&rules, directory))
    }

    /// Returns the rules in `directory`, or `None` if it is a `.git`, whose content is not git's to ignore.
    pub(super) fn enter(rules: &Arc<Self>, directory: &Path) -> Option<Arc<Self>> {
        if directory.file_name().is_some_and(|name| name == ".git") {
            return None;
        }
        let ignore = open_regular(&directory.join(".gitignore"));
        let mut rules = Arc::clone(rules);
        if let Some(git) = git_directory(directory) {
            // A repository of its own: nothing from above counts inside.
            let exclude = open_regular(&git.join("info/exclude")).and_then(|file| compile(directory, file));
            rules = Arc::new(Self { own: exclude, above: None });
        }
        match ignore.and_then(|file| compile(directory, file)) {
            Some(own) => Some(Arc::new(Self { own: Some(own), above: Some(rules) })),
            None => Some(rules),
        }
    }

    /// Says whether git ignores an entry of the directory that was entered last.
    pub(super) fn is_ignored(&self, path: &Path, is_dir: bool) -> bool {
        let mut rules = Some(self);
        while let Some(current) = rules {
            if let Some(own) = &current.own {
                let matched = own.matched(path, is_dir);
                if !matched.is_none() {
                    // `.git` is never ignored, whatever the pattern.
                    return matched.is_ignore() && path.file_name().is_none_or(|name| name != ".git");
                }
            }
            rules = current.above.as_deref();
        }
        false
    }
}

/// Compiles a file of rules that count from `directory`; `None` if there are none. Lines that are no pattern match
/// nothing, as in git.
fn compile(directory: &Path, file: File) -> Option<Gitignore> {
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text).ok()?;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let mut builder = GitignoreBuilder::new(directory);
    builder.allow_unclosed_class(false);
    for line in text.split(|&byte| byte == b'\n') {
        // The library takes text only; a pattern that is not UTF-8 matches nothing here.
        if let Ok(line) = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)) {
            let _ = builder.add_line(None, line);
        }
    }
    builder.build().ok().filter(|rules| !rules.is_empty())
}

/// Returns the directory that holds `info/exclude` if a working tree begins at `directory`: its `.git`, or what the
/// file `.git` of a linked working tree or submodule names (gitrepository-layout(5)).
fn git_directory(directory: &Path) -> Option<PathBuf> {
    let git = directory.join(".git");
    let kind = git.symlink_metadata().ok()?;
    let own = if kind.is_file() {
        let text = std::fs::read_to_string(&git).ok()?;
        directory.join(text.strip_prefix("gitdir:")?.trim())
    } else {
        git
    };
    own.join("HEAD").symlink_metadata().ok()?;
    match std::fs::read_to_string(own.join("commondir")) {
        Ok(common) => Some(own.join(common.trim())),
        Err(_) => Some(own),
    }
}
