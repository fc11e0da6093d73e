//! Files that a restore writes: whole and durable, or not there at all.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, IoContext, Result};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use tempfile::NamedTempFile;

/// How much is read at once.
const CHUNK: usize = 256 * 1024;

/// Joins a path to a directory and takes out `.` and `..` by name alone: no link is followed.
pub(super) fn absolute(directory: &Path, path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in directory.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

/// Reads a stream to its end in chunks, which `each` gets; stops when the run is cancelled.
pub(super) fn read_all(
    stream: &mut dyn Read,
    cancel: &Cancel,
    mut each: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        cancel.check()?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => each(buffer.get(..count).unwrap_or_default())?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).io_context(|| "cannot read the snapshot".to_owned()),
        }
    }
}

/// A restored file that is not in place yet; dropping it removes it.
#[derive(Debug)]
pub(super) struct Staged {
    file: NamedTempFile,
    path: PathBuf,
}

impl Staged {
    /// Writes the whole stream to a private file beside `path`, whose directory is made if need be.
    pub(super) fn write(stream: &mut dyn Read, path: &Path, cancel: &Cancel) -> Result<Self> {
        let failed = |error| failed(format!("cannot write {}", path.display())).caused_by(error);
        let directory = parent(path);
        std::fs::create_dir_all(directory).map_err(failed)?;
        let mut file = tempfile::Builder::new().prefix(".holdpoint-restore-").tempfile_in(directory).map_err(failed)?;
        read_all(stream, cancel, |data| file.write_all(data).map_err(failed))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Returns where the file is until it is put in place.
    pub(super) fn temporary_path(&self) -> &Path {
        self.file.path()
    }

    /// Puts the file in place in one step and returns once that is durable. It gets mode and owner of the file that it
    /// replaces, else mode 0600. Without `replace` an existing file is left alone.
    ///
    /// # Errors
    /// `restore-failed`, naming the file.
    pub(super) fn publish(self, replace: bool) -> Result<()> {
        self.prepare(replace)?.persist()
    }

    /// Does everything of [`Self::publish`] that comes before the last step: what is there is left as it is.
    ///
    /// # Errors
    /// As those.
    pub(super) fn prepare(self, replace: bool) -> Result<Prepared> {
        let path = &self.path;
        let cannot = |error| failed(format!("cannot write {}", path.display())).caused_by(error);
        match path.symlink_metadata() {
            Ok(_) if !replace => return Err(exists(path)),
            Ok(old) if old.is_file() => keep_access(self.file.as_file(), &old).map_err(|error| {
                failed(format!("cannot keep the owner and mode of {}", path.display()))
                    .caused_by(error)
                    .hint("restore as its owner or as root, or remove the file first")
            })?,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(cannot(error)),
        }
        self.file.as_file().sync_all().map_err(cannot)?;
        Ok(Prepared { file: self.file, path: self.path, replace })
    }
}

/// A restored file that lacks only its place; dropping it removes it.
#[derive(Debug)]
pub(super) struct Prepared {
    file: NamedTempFile,
    path: PathBuf,
    replace: bool,
}

impl Prepared {
    /// Returns where it is to be.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the file in place in one step and returns once that is durable.
    ///
    /// # Errors
    /// `restore-failed`, naming the file.
    pub(super) fn persist(self) -> Result<()> {
        let path = &self.path;
        let cannot = |error| failed(format!("cannot write {}", path.display())).caused_by(error);
        let persisted = if self.replace { self.file.persist(path) } else { self.file.persist_noclobber(path) };
        persisted.map_err(|error| match error.error.kind() {
            ErrorKind::AlreadyExists => exists(path),
            _ => cannot(error.error),
        })?;
        File::open(parent(path)).and_then(|directory| directory.sync_all()).map_err(cannot)
    }
}

fn keep_access(file: &File, old: &std::fs::Metadata) -> std::io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()))?;
    }
    // After the owner, whose change may clear bits.
    file.set_permissions(old.permissions())
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn exists(path: &Path) -> Error {
    failed(format!("{} exists already", path.display())).hint("restore elsewhere, or replace it with --force")
}

pub(super) fn failed(message: String) -> Error {
    Error::new(ErrorCode::RestoreFailed, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Reason;
    use std::os::unix::fs::PermissionsExt;

    fn write(text: &str, path: &Path, replace: bool) -> Result<()> {
        Staged::write(&mut text.as_bytes(), path, &Cancel::new())?.publish(replace)
    }

    #[test]
    fn a_file_is_replaced_only_when_asked_and_keeps_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/file");
        write("one", &path, false).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = write("two", &path, false).unwrap_err();
        assert_eq!((error.code(), std::fs::read_to_string(&path).unwrap()), (ErrorCode::RestoreFailed, "one".into()));
        write("two", &path, true).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn what_is_not_complete_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let cancel = Cancel::new();
        cancel.cancel(Reason::Interrupt);
        let path = directory.path().join("file");
        let error = Staged::write(&mut std::io::repeat(0), &path, &cancel).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Interrupted);
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn paths_are_normalised_by_name() {
        let absolute = |path: &str| absolute(Path::new("/srv/app"), Path::new(path));
        assert_eq!(absolute("./a/../b/"), Path::new("/srv/app/b"));
        assert_eq!(absolute("../.."), Path::new("/"));
        assert_eq!(absolute("/x/./y"), Path::new("/x/y"));
    }
}
