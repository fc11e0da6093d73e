//! Whether this user may restore something to where it came from.

use crate::error::{Error, ErrorCode, Result};
use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Makes sure that this user may write where `path` is restored to: into itself if it is a directory, and else into the
/// nearest directory above it. What is below is not looked at.
///
/// # Errors
/// `restore-failed`, naming the directory and what the system says.
pub fn check_in_place(path: &Path) -> Result<()> {
    let is_dir = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    let Some(dir) = path.ancestors().skip(usize::from(!is_dir)).find(|dir| dir.is_dir()) else { return Ok(()) };
    let access = rustix::fs::accessat(CWD, dir, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
    let owns = || dir.metadata().is_ok_and(|metadata| metadata.uid() == rustix::process::geteuid().as_raw());
    match access {
        Ok(()) => Ok(()),
        // Its owner may change the permissions, and a restore does.
        Err(Errno::ACCESS) if is_dir && owns() => Ok(()),
        Err(error) => {
            let message = format!("cannot write into {}, where {} belongs", dir.display(), path.display());
            Err(Error::new(ErrorCode::RestoreFailed, message)
                .caused_by(error)
                .hint("restore as a user who may, or into a directory (--target DIR)"))
        }
    }
}
