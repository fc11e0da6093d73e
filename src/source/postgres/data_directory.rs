//! A data directory that is being restored: put in place whole, or not there at all.

use crate::error::Result;
use crate::source::write::failed;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory beside the place that it is for; dropping it removes it.
#[derive(Debug)]
pub(super) struct Staging {
    directory: TempDir,
    target: PathBuf,
    replace: bool,
    owner: Option<Owner>,
}

/// Whom the files belong to, if not to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    /// The number of the user.
    pub uid: u32,
    /// The number of the group.
    pub gid: u32,
}

impl Staging {
    /// Makes the directory beside `target`, which must be absent or empty; with `force` it may hold a server's data that
    /// does not run. As root, what is restored belongs to the owner of `target`, else to that of the directory above,
    /// else to the user `postgres`: a server does not run as root.
    ///
    /// # Errors
    /// `restore-failed`: something is in the way, or the directory cannot be made.
    pub fn beside(target: &Path, force: bool) -> Result<Self> {
        let target = std::path::absolute(target)
            .map_err(|error| failed(format!("cannot resolve {}", target.display())).caused_by(error))?;
        let exists = check_target(&target, force)?;
        let Some(parent) = target.parent().map(Path::to_owned) else {
            return Err(failed("the root of the file system cannot be a data directory".to_owned())
                .hint("name a directory below it by --target DIR"));
        };
        let cannot = |error| failed(format!("cannot make a directory in {}", parent.display())).caused_by(error);
        std::fs::create_dir_all(&parent).map_err(cannot)?;
        let mut builder = tempfile::Builder::new();
        let private = std::fs::Permissions::from_mode(0o700);
        let builder = builder.prefix(".holdpoint-restore-").permissions(private);
        let directory = builder.tempdir_in(&parent).map_err(cannot)?;
        let owner = owner_for([Some(target.as_path()).filter(|_| exists), Some(parent.as_path())]);
        let staging = Self { directory, target, replace: force, owner };
        staging.give_away(&File::open(staging.path()).map_err(cannot)?).map_err(cannot)?;
        Ok(staging)
    }

    /// Returns where the directory is until it is put in place.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns whom the files belong to; `None`: to this process.
    pub fn owner(&self) -> Option<Owner> {
        self.owner
    }

    /// Makes a directory below, and those above it.
    pub fn directory(&self, path: &Path) -> Result<()> {
        let mut made = self.path().to_owned();
        for part in path {
            made.push(part);
            let cannot = |error| failed(format!("cannot make {}", made.display())).caused_by(error);
            match DirBuilder::new().mode(0o700).create(&made) {
                Ok(()) => File::open(&made).and_then(|file| self.give_away(&file)).map_err(cannot)?,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot(error)),
            }
        }
        Ok(())
    }

    /// Creates a file below that is not there yet.
    pub fn file(&self, path: &Path) -> Result<File> {
        if let Some(parent) = path.parent() {
            self.directory(parent)?;
        }
        let path = self.path().join(path);
        let cannot = |error| failed(format!("cannot write {}", path.display())).caused_by(error);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(cannot)?;
        self.give_away(&file).map_err(cannot)?;
        Ok(file)
    }

    /// Puts the directory in place and returns once that is durable.
    ///
    /// # Errors
    /// `restore-failed`: something is in the way, or the directory cannot be moved.
    pub fn publish(self) -> Result<()> {
        let exists = check_target(&self.target, self.replace)?;
        let target = &self.target;
        let cannot = |error| {
            failed(format!("cannot put a directory in the place of {}", target.display()))
                .caused_by(error)
                .hint("a mount point cannot be replaced: name a directory below it")
        };
        let parent = target.parent().unwrap_or(Path::new("/"));
        sync_directories(self.directory.path()).map_err(cannot)?;
        // What is replaced goes aside first, so that the new one comes into its place in one step.
        let aside = match exists {
            true => Some(Aside::put(target, parent).map_err(cannot)?),
            false => None,
        };
        std::fs::rename(self.directory.path(), target).map_err(cannot)?;
        let _ = self.directory.keep();
        File::open(parent).and_then(|parent| parent.sync_all()).map_err(cannot)?;
        aside.map_or(Ok(()), Aside::remove).map_err(cannot)
    }

    /// Gives something elsewhere to whom the files belong.
    pub fn own(&self, path: &Path) -> std::io::Result<()> {
        File::open(path).and_then(|file| self.give_away(&file))
    }

    fn give_away(&self, file: &File) -> std::io::Result<()> {
        self.owner.map_or(Ok(()), |owner| fchown(file, Some(owner.uid), Some(owner.gid)))
    }
}

/// What is being replaced; it comes back into its place unless it is removed.
struct Aside<'a> {
    place: &'a Path,
    /// Holds it; nothing but [`Aside::remove`] deletes it.
    directory: PathBuf,
}

impl<'a> Aside<'a> {
    fn put(place: &'a Path, parent: &Path) -> std::io::Result<Self> {
        let directory = tempfile::Builder::new().prefix(".holdpoint-replaced-").tempdir_in(parent)?;
        std::fs::rename(place, directory.path().join("data"))?;
        Ok(Self { place, directory: directory.keep() })
    }

    fn remove(self) -> std::io::Result<()> {
        std::fs::remove_dir_all(&self.directory)
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        // All of these fail once it was removed, or if something else has come into its place.
        if std::fs::rename(self.directory.join("data"), self.place).is_ok() {
            let _ = std::fs::remove_dir(&self.directory);
        }
    }
}

/// Says whether there is anything at `target`, which may be in nobody's way.
fn check_target(target: &Path, force: bool) -> Result<bool> {
    let cannot = |error| failed(format!("cannot look at {}", target.display())).caused_by(error);
    let mut entries = match std::fs::read_dir(target) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(failed(format!("{} is not a directory", target.display())));
        }
        Err(error) => return Err(cannot(error)),
    };
    if entries.next().is_none() {
        return Ok(true);
    }
    if let Some(pid) = running_server(target) {
        return Err(failed(format!("a server runs in {} (process {pid})", target.display()))
            .hint("stop it (pg_ctl stop), or restore into another directory"));
    }
    if !force {
        return Err(failed(format!("{} is not empty", target.display()))
            .hint("restore into an empty directory, or replace it with --force"));
    }
    if !target.join("PG_VERSION").exists() {
        return Err(failed(format!("{} is not a data directory, so it is not replaced", target.display()))
            .hint("name the data directory itself, or an empty directory"));
    }
    Ok(true)
}

/// Returns the process of the server that runs in a data directory, by its `postmaster.pid`.
fn running_server(directory: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(directory.join("postmaster.pid")).ok()?;
    let pid = text.lines().next()?.trim().parse().ok()?;
    let running = rustix::process::test_kill_process(rustix::process::Pid::from_raw(pid)?);
    (running != Err(rustix::io::Errno::SRCH)).then_some(pid)
}

/// Returns whom to give files to: nobody, unless this is root.
fn owner_for(directories: [Option<&Path>; 2]) -> Option<Owner> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let of = |directory: &Path| {
        let metadata = directory.metadata().ok()?;
        (metadata.uid() != 0).then(|| Owner { uid: metadata.uid(), gid: metadata.gid() })
    };
    let postgres = || {
        let user = nix::unistd::User::from_name("postgres").ok()??;
        Some(Owner { uid: user.uid.as_raw(), gid: user.gid.as_raw() })
    };
    directories.into_iter().flatten().find_map(of).or_else(postgres)
}

fn sync_directories(directory: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_directories(&entry.path())?;
        }
    }
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn only_what_is_whole_comes_into_place() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("a/data");
        let write = |staging: &Staging| {
            staging.directory(Path::new("base/1")).unwrap();
            staging.file(Path::new("PG_VERSION")).unwrap();
        };
        let staging = Staging::beside(&target, false).unwrap();
        write(&staging);
        drop(staging);
        assert_eq!(parent.path().join("a").read_dir().unwrap().count(), 0);
        let staging = Staging::beside(&target, false).unwrap();
        write(&staging);
        staging.publish().unwrap();
        assert!(target.join("base/1").is_dir());
        assert_eq!(target.metadata().unwrap().mode() & 0o777, 0o700);
        let error = Staging::beside(&target, false).unwrap_err();
        assert!(error.message().contains("is not empty") && error.code() == ErrorCode::RestoreFailed);
        let staging = Staging::beside(&target, true).unwrap();
        staging.file(Path::new("PG_VERSION")).unwrap();
        staging.publish().unwrap();
        assert_eq!(target.read_dir().unwrap().count(), 1);
        assert_eq!(parent.path().join("a").read_dir().unwrap().count(), 1);
        // What is replaced is there again if nothing takes its place.
        drop(Aside::put(&target, target.parent().unwrap()).unwrap());
        assert!(target.join("PG_VERSION").exists());
        assert_eq!(parent.path().join("a").read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_running_server_and_foreign_files_are_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("data");
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("letters.txt"), "").unwrap();
        assert!(Staging::beside(&target, true).unwrap_err().message().contains("is not a data directory"));
        std::fs::write(target.join("PG_VERSION"), "15\n").unwrap();
        std::fs::write(target.join("postmaster.pid"), format!("{}\n", std::process::id())).unwrap();
        assert!(Staging::beside(&target, true).unwrap_err().message().contains("a server runs"));
        std::fs::remove_file(target.join("postmaster.pid")).unwrap();
        Staging::beside(&target, true).unwrap();
        assert_eq!(parent.path().read_dir().unwrap().count(), 1);
    }
}
