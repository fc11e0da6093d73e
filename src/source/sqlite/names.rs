//! Which files a source means, and what each is called in a snapshot.

use crate::error::{Error, ErrorCode, IoContext, Result};
use crate::model::release_id::path_component;
use crate::source::write::absolute;
use globset::{GlobBuilder, GlobMatcher};
use percent_encoding::percent_decode_str;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

/// What a path of the configuration means.
#[derive(Debug)]
pub(super) enum Files {
    /// One file.
    One(PathBuf),
    /// Every database below a directory that a glob matches.
    Glob {
        /// The part of the glob that is no pattern; absolute.
        base: PathBuf,
        /// What is matched, relative to the base.
        pattern: String,
    },
}

impl Files {
    /// Reads a path, which counts from `directory`. One that is there is itself, whatever its name looks like.
    pub(super) fn new(path: &Path, directory: &Path) -> Self {
        let whole = absolute(directory, path);
        let is_pattern =
            |component: &Component<'_>| component.as_os_str().to_string_lossy().contains(['*', '?', '[', '{']);
        if whole.exists() || !whole.components().any(|component| is_pattern(&component)) {
            return Self::One(whole);
        }
        let base: PathBuf = whole.components().take_while(|component| !is_pattern(component)).collect();
        let pattern = whole.strip_prefix(&base).unwrap_or(&whole).display().to_string();
        Self::Glob { base, pattern }
    }

    /// Returns the path or glob for messages.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::One(path) => path.display().to_string(),
            Self::Glob { base, pattern } => base.join(pattern).display().to_string(),
        }
    }

    /// Returns the files there are now, sorted; the log files of databases are none. A file that is named is among them
    /// even if it is not there.
    ///
    /// # Errors
    /// `config`: the glob is none. `io`: a directory cannot be listed; databases in it would be missed.
    pub(super) fn list(&self) -> Result<Vec<PathBuf>> {
        match self {
            Self::One(path) => Ok(vec![path.clone()]),
            Self::Glob { base, pattern } => {
                let glob = GlobBuilder::new(pattern).literal_separator(true).build().map_err(|error| {
                    Error::new(ErrorCode::Config, format!("`path` is not a glob: {pattern}")).caused_by(error)
                })?;
                let depth = if pattern.contains("**") { usize::MAX } else { Path::new(pattern).components().count() };
                let mut found = Vec::new();
                look(base, Path::new(""), depth, &glob.compile_matcher(), &mut found)?;
                found.sort();
                Ok(found)
            }
        }
    }

    /// Returns the name of a file's stream: the file's own, or the way to it from where the pattern begins.
    pub(super) fn stream_name(&self, path: &Path) -> PathBuf {
        match self {
            Self::One(path) => path.file_name().map_or_else(|| "database".into(), PathBuf::from),
            Self::Glob { base, .. } => {
                path_component(&path.strip_prefix(base).unwrap_or(path).display().to_string()).into()
            }
        }
    }

    /// Returns the file that a stream of this name came from.
    ///
    /// # Errors
    /// `damaged`: the name leads out of the directory, or is not what this path can have captured.
    pub(super) fn path_of(&self, stream: &str) -> Result<PathBuf> {
        match self {
            Self::One(path) => Ok(path.clone()),
            Self::Glob { base, .. } => {
                let relative = percent_decode_str(stream).decode_utf8_lossy().into_owned();
                let plain = |component| matches!(component, Component::Normal(_));
                if !Path::new(&relative).components().all(plain) {
                    let text = format!(
                        "the snapshot holds a stream named {stream:?}, which is no file below {}",
                        base.display()
                    );
                    return Err(Error::new(ErrorCode::Damaged, text));
                }
                Ok(base.join(relative))
            }
        }
    }
}

/// Adds the files below a directory that the pattern matches; none if the base does not exist.
///
/// # Errors
/// `io`: a directory or an entry cannot be read, so that nobody knows what was missed.
fn look(base: &Path, below: &Path, depth: usize, glob: &GlobMatcher, found: &mut Vec<PathBuf>) -> Result<()> {
    // Joined to nothing it would end in a slash.
    let is_base = below.as_os_str().is_empty();
    let directory = if is_base { base.to_owned() } else { base.join(below) };
    let cannot = || format!("cannot list {}", directory.display());
    let entries = match directory.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound && is_base => return Ok(()),
        entries => entries.io_context(cannot)?,
    };
    for entry in entries {
        let entry = entry.io_context(cannot)?;
        let relative = below.join(entry.file_name());
        let is_directory = entry.file_type().io_context(cannot)?.is_dir();
        if is_directory && depth > 1 {
            look(base, &relative, depth - 1, glob, found)?;
        } else if !is_directory && glob.is_match(&relative) && !is_sidecar(&base.join(&relative)) {
            found.push(base.join(relative));
        }
    }
    Ok(())
}

/// Says whether a file is the log of a database beside it.
fn is_sidecar(path: &Path) -> bool {
    let text = path.as_os_str().to_string_lossy();
    ["-wal", "-shm", "-journal"]
        .iter()
        .any(|suffix| text.strip_suffix(suffix).is_some_and(|main| Path::new(main).exists()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_finds_databases_and_names_them() {
        let top = tempfile::tempdir().unwrap();
        for path in ["data/a.db", "data/a.db-wal", "data/b.db", "data/deep/c.db", "data/x.txt", "odd[1].db"] {
            let path = top.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let list = |pattern: &str| -> Vec<String> {
            let files = Files::new(Path::new(pattern), top.path());
            let names = files.list().unwrap().into_iter().map(|path| {
                let name = files.stream_name(&path).display().to_string();
                assert_eq!(files.path_of(&name).unwrap(), path);
                name
            });
            names.collect()
        };
        assert_eq!(list("data/*.db"), ["a.db", "b.db"]);
        assert_eq!(list("data/**/*.db"), ["a.db", "b.db", "deep%2Fc.db"]);
        assert_eq!(list("*/a.*"), ["data%2Fa.db"]);
        assert_eq!(list("data/*.sqlite"), [""; 0]);
        // What is there is meant, and what is no pattern is named even if it is not.
        assert_eq!(list("odd[1].db"), ["odd[1].db"]);
        assert_eq!(list("missing.db"), ["missing.db"]);
        let files = Files::new(Path::new("data/*"), top.path());
        for name in ["..%2Fx", "%2Fetc%2Fpasswd", "a%2F..%2F..%2Fb"] {
            assert_eq!(files.path_of(name).unwrap_err().code(), ErrorCode::Damaged, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_listed_is_an_error() {
        let top = tempfile::tempdir().unwrap();
        std::fs::write(top.path().join("file"), "x").unwrap();
        let list = |pattern: &str| Files::new(Path::new(pattern), top.path()).list();
        assert_eq!(list("file/*.db").unwrap_err().message(), format!("cannot list {}/file", top.path().display()));
        assert!(list("missing/*.db").unwrap().is_empty());
        // A directory that is gone once it is come to.
        let glob = globset::Glob::new("*").unwrap().compile_matcher();
        let mut found = Vec::new();
        assert_eq!(look(top.path(), Path::new("gone"), 1, &glob, &mut found).unwrap_err().code(), ErrorCode::Io);
    }
}
