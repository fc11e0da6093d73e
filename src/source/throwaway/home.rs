//! The directory of a throw-away server, and the account that it runs as.

use super::places::{own_prefix, scratch_places};
use crate::error::Result;
use crate::process::Program;
use crate::source::write::failed;
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The longest path that a Unix socket can have, in bytes (`sun_path` in unix(7), without the zero at its end).
const LONGEST_SOCKET: usize = 107;
/// Where a server makes its own temporary files.
const TMP: &str = "tmp";
/// The accounts that servers run as if this process is root's, after those of their own; every system has the last.
const ANYBODY: &str = "nobody";

/// A private directory with what a server needs.
#[derive(Debug)]
pub(in crate::source) struct Home {
    directory: PathBuf,
    /// The account, and the directory if it is one of its own.
    account: Option<(Account, TempDir)>,
}

/// A user that is not root.
#[derive(Debug, Clone)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Home {
    /// Takes a private directory for a server.
    ///
    /// As root, a server runs as the first of `accounts` that there is, or else `nobody`, who cannot come to what is
    /// private to root. So it gets a directory of its own beside those of runs: all may pass through that one, and what is
    /// in it belongs to the account alone.
    ///
    /// # Errors
    /// `restore-failed`: there is no such account, or no place that it can come to.
    pub(in crate::source) fn new(directory: &Path, accounts: &[&str]) -> Result<Self> {
        let account = match rustix::process::geteuid().is_root() {
            true => Some(Account::first_of(accounts)?.with_directory()?),
            false => None,
        };
        let directory = account.as_ref().map_or(directory, |(_, own)| own.path());
        let cannot = |error| failed(format!("cannot use {}", directory.display())).caused_by(error);
        let home = Self { directory: directory.canonicalize().map_err(cannot)?, account };
        home.folder(TMP)?;
        Ok(home)
    }

    /// Returns the directory.
    pub(in crate::source) fn path(&self) -> &Path {
        &self.directory
    }

    /// Makes a directory below that only the server may read, and root.
    ///
    /// # Errors
    /// `restore-failed`: it cannot be made.
    pub(in crate::source) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        DirBuilder::new().mode(0o700).create(&path).and_then(|()| self.give(&path)).map_err(|error| {
            failed(format!("cannot make {} for a throw-away server", path.display())).caused_by(error)
        })?;
        Ok(path)
    }

    /// Gives something to the account of the server.
    pub(in crate::source) fn give(&self, path: &Path) -> std::io::Result<()> {
        self.account.as_ref().map_or(Ok(()), |(account, _)| chown(path, Some(account.uid), Some(account.gid)))
    }

    /// Returns the path of a socket in a directory of the server.
    ///
    /// # Errors
    /// `restore-failed`: it is longer than the system allows.
    pub(in crate::source) fn socket(&self, folder: &Path, name: &str) -> Result<PathBuf> {
        let path = folder.join(name);
        let length = path.as_os_str().len();
        if length > LONGEST_SOCKET {
            let text = format!(
                "the socket of a throw-away server would have a path of {length} bytes, and the system allows \
                 {LONGEST_SOCKET}: {}",
                path.display()
            );
            return Err(failed(text).hint("set TMPDIR to a directory with a shorter path, such as /tmp"));
        }
        Ok(path)
    }

    /// Has a program run as the account of the server.
    pub(in crate::source) fn run_as_account(&self, mut program: Program) -> Program {
        if let Some((account, _)) = &self.account {
            program.user = Some((account.uid, account.gid));
            // Its own are root's: they are not for this account.
            program.env.insert("HOME".to_owned(), self.directory.display().to_string());
            program.env.insert("USER".to_owned(), account.name.clone());
            program.env.insert("LOGNAME".to_owned(), account.name.clone());
        }
        // Nothing that it makes lies anywhere else.
        program.env.entry("TMPDIR".to_owned()).or_insert_with(|| self.directory.join(TMP).display().to_string());
        program
    }

    /// Returns the name of the account, if it is not this process's.
    pub(in crate::source) fn account(&self) -> Option<&str> {
        self.account.as_ref().map(|(account, _)| account.name.as_str())
    }

    /// Removes what the server has left in its directory, which is kept if it is not one of its own.
    ///
    /// # Errors
    /// `restore-failed`: something is left.
    pub(in crate::source) fn remove(self) -> Result<()> {
        let cannot = |error| failed(format!("cannot remove {}", self.directory.display())).caused_by(error);
        if let Some((_, own)) = self.account {
            return own.close().map_err(cannot);
        }
        for entry in self.directory.read_dir().map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            let is_directory = path.symlink_metadata().map_err(cannot)?.is_dir();
            if is_directory { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }.map_err(cannot)?;
        }
        Ok(())
    }
}

impl Account {
    fn first_of(names: &[&str]) -> Result<Self> {
        let find = |name: &&str| {
            let user = nix::unistd::User::from_name(name).ok()??;
            let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
            (uid != 0).then_some(Self { name: user.name, uid, gid })
        };
        names.iter().chain([&ANYBODY]).find_map(find).ok_or_else(|| {
            failed("a database server does not run as root, and there is no other account for it".to_owned()).hint(
                format!("add one of these users: {}, {ANYBODY}; or run as another user than root", names.join(", ")),
            )
        })
    }

    /// Makes a directory that the account can come to.
    fn with_directory(self) -> Result<(Self, TempDir)> {
        let prefix = own_prefix();
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix(&prefix).permissions(Permissions::from_mode(0o700));
        let mut failure = None;
        for place in scratch_places().filter(|place| self.may_enter(place)) {
            match builder.tempdir_in(&place) {
                Ok(directory) => {
                    // Whatever the umask says.
                    let passable = Permissions::from_mode(0o711);
                    std::fs::set_permissions(directory.path(), passable).map_err(|error| {
                        failed(format!("cannot let {} pass through {}", self.name, directory.path().display()))
                            .caused_by(error)
                    })?;
                    return Ok((self, directory));
                }
                Err(error) => failure = failure.or(Some((place, error))),
            }
        }
        let error = failed(format!("there is no directory for temporary files that {} may enter", self.name))
            .hint("set TMPDIR to a directory that everybody may enter, such as /tmp");
        Err(match failure {
            Some((place, cause)) => error.caused_by(format!("{}: {cause}", place.display())),
            None => error,
        })
    }

    fn may_enter(&self, directory: &Path) -> bool {
        let Ok(directory) = directory.canonicalize() else { return false };
        directory.ancestors().all(|directory| {
            directory.metadata().is_ok_and(|metadata| {
                let bit = if metadata.uid() == self.uid { 0o100 } else { 0o001 };
                metadata.is_dir() && metadata.mode() & bit != 0
            })
        })
    }
}
