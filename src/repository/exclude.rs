//! What a walk leaves out: [`Exclude`], compiled and followed from directory to directory.
//!
//! The walk asks a [`DirMatcher`] about every entry of its directory and enters those directories that it keeps, as git
//! does: what lies below an excluded directory is never asked about. Where nothing is configured, no call allocates or
//! touches the disk.

mod git;

use crate::error::{Error, ErrorCode, Result};
use crate::model::exclude::Exclude;
use git::GitRules;
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The file that marks a cache directory, and how it must begin (<https://bford.info/cachedir/>).
const CACHE_TAG: &str = "CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// The compiled exclusions of one capture.
#[derive(Debug)]
pub struct Matcher {
    roots: Vec<(PathBuf, DirMatcher)>,
    /// For paths that are no root: excludes nothing.
    none: DirMatcher,
}

/// The exclusions as they count in one directory; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct DirMatcher {
    /// What counts in every directory of the root; `None` if nothing is configured.
    rules: Option<Arc<Rules>>,
    /// The rules of git in this directory; `None` if they do not count here.
    git: Option<Arc<GitRules>>,
    /// The directory is a cache: only its tag is kept.
    only_cache_tag: bool,
}

/// What counts in every directory of one root.
#[derive(Debug)]
struct Rules {
    globs: Gitignore,
    caches: bool,
    larger_than: u64,
    /// Paths to leave out, spelled as the walk from this root spells them.
    paths: Vec<PathBuf>,
    /// The root itself lies in one of the paths to leave out.
    all: bool,
}

impl Matcher {
    /// Compiles what to leave out below `roots`, which are absolute and without `.` or `..`.
    ///
    /// # Errors
    /// `config`: a glob that cannot be read, by name.
    pub fn new(exclude: &Exclude, roots: &[PathBuf]) -> Result<Self> {
        let nothing = *exclude == Exclude::default();
        let compile = |root: &PathBuf| match nothing {
            true => Ok((root.clone(), DirMatcher::default())),
            false => Ok((root.clone(), DirMatcher::compile(exclude, root)?)),
        };
        Ok(Self { roots: roots.iter().map(compile).collect::<Result<_>>()?, none: DirMatcher::default() })
    }

    /// Returns the matcher for the entries of a root, as if the root had been entered. Roots are never excluded
    /// themselves: they were named.
    pub fn root(&self, root: &Path) -> &DirMatcher {
        self.roots.iter().find(|(path, _)| path == root).map_or(&self.none, |(_, matcher)| matcher)
    }
}

impl DirMatcher {
    fn compile(exclude: &Exclude, root: &Path) -> Result<Self> {
        let (paths, all) = excluded_below(root, &exclude.paths);
        let rules = Rules {
            globs: compile_globs(&exclude.globs, root)?,
            caches: exclude.caches,
            larger_than: exclude.larger_than.unwrap_or(u64::MAX),
            paths,
            all,
        };
        let git = exclude.git_ignore.then(|| GitRules::above(root)).flatten();
        let above = Self { rules: Some(Arc::new(rules)), git, only_cache_tag: false };
        Ok(above.enter(root))
    }

    /// Says whether an entry of this directory is left out. `size` counts for regular files; pass 0 for all else.
    pub fn is_excluded(&self, path: &Path, is_dir: bool, size: u64) -> bool {
        let Some(rules) = &self.rules else { return false };
        (!is_dir && size > rules.larger_than)
            || rules.all
            || (self.only_cache_tag && path.file_name().is_none_or(|name| name != CACHE_TAG))
            || rules.paths.iter().any(|excluded| excluded.as_os_str() == path.as_os_str())
            || rules.globs.matched(path, is_dir).is_ignore()
            || self.git.as_ref().is_some_and(|git| git.is_ignored(path, is_dir))
    }

    /// Returns the matcher for the entries of `directory`, an entry of this directory that is not excluded.
    #[must_use]
    pub fn enter(&self, directory: &Path) -> Self {
        if self.rules.is_none() {
            return Self::default();
        }
        let git = self.git.as_ref().and_then(|git| GitRules::enter(git, directory));
        Self { rules: self.rules.clone(), git, only_cache_tag: self.is_cache_dir(directory) }
    }

    /// Says whether only the tag of `directory` is kept, because it is a cache and caches are left out.
    /// [`DirMatcher::enter`] knows.
    pub fn is_cache_dir(&self, directory: &Path) -> bool {
        self.rules.as_ref().is_some_and(|rules| rules.caches) && has_cache_tag(directory)
    }
}

/// Compiles globs with the meaning of `.gitignore` lines in `root`.
fn compile_globs(globs: &[String], root: &Path) -> Result<Gitignore> {
    let invalid = |glob: &str, error: ignore::Error| {
        Error::new(ErrorCode::Config, format!("`{glob}` is not a glob")).caused_by(error)
    };
    let mut builder = GitignoreBuilder::new(root);
    builder.allow_unclosed_class(false);
    for glob in globs {
        builder.add_line(None, glob).map_err(|error| invalid(glob, error))?;
    }
    builder.build().map_err(|error| invalid(&globs.join(" "), error))
}

/// Returns those of the `excluded` paths that lie below `root`, spelled as a walk from `root` spells them, and whether
/// `root` itself lies in one. Symbolic links on the way to either do not hide that they are the same.
fn excluded_below(root: &Path, excluded: &[PathBuf]) -> (Vec<PathBuf>, bool) {
    let roots = spellings(root);
    let mut below = Vec::new();
    let mut all = false;
    for path in excluded.iter().flat_map(|path| spellings(path)) {
        for spelled in &roots {
            all |= spelled.starts_with(&path);
            if let Ok(rest) = path.strip_prefix(spelled) {
                below.push(root.join(rest));
            }
        }
    }
    below.sort_unstable();
    below.dedup();
    (below, all)
}

/// Returns the path as given, with its parents resolved, and fully resolved; the parts that exist are.
fn spellings(path: &Path) -> Vec<PathBuf> {
    let parents_resolved = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolve(parent).join(name),
        _ => path.to_owned(),
    };
    let mut all = vec![path.to_owned(), parents_resolved, resolve(path)];
    all.dedup();
    all
}

/// Resolves the links of the longest part of the path that exists, such as of a store that is yet to be made.
fn resolve(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = ancestor.canonicalize() {
            // `join("")` would add a slash.
            return match path.strip_prefix(ancestor) {
                Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
                _ => real,
            };
        }
    }
    path.to_owned()
}

/// A tag that cannot be read marks nothing: leaving out too little is the safe side.
fn has_cache_tag(directory: &Path) -> bool {
    let Some(file) = open_regular(&directory.join(CACHE_TAG)) else { return false };
    let mut head = Vec::with_capacity(CACHE_SIGNATURE.len());
    let length = CACHE_SIGNATURE.len() as u64;
    file.take(length).read_to_end(&mut head).is_ok() && head == CACHE_SIGNATURE
}

/// Opens a file if it is a regular one: a FIFO of that name would block the walk, a link may lead out of the tree.
fn open_regular(path: &Path) -> Option<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits() as i32).open(path).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

#[cfg(test)]
mod tests;
