//! A file in memory that a child process reads its secrets from.

use crate::error::{IoContext, Result};
use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// A file that is in no directory and on no disk; only this user's processes can open it, while it is kept.
///
/// A child opens it as `/proc/PID/fd/N` of this process, so that no descriptor is inherited by any other child.
#[derive(Debug)]
pub struct SecretFile(File);

impl SecretFile {
    /// Writes the content.
    ///
    /// # Errors
    /// `io`: the system makes no such file.
    pub fn new(content: &str) -> Result<Self> {
        let cannot = || "cannot make a file in memory".to_owned();
        let fd = memfd_create("holdpoint", MemfdFlags::CLOEXEC).io_context(cannot)?;
        // Programs refuse to read options from a file that everyone may write, which it would be.
        fchmod(&fd, Mode::RUSR | Mode::WUSR).io_context(cannot)?;
        let mut file = File::from(fd);
        file.write_all(content.as_bytes()).io_context(cannot)?;
        Ok(Self(file))
    }

    /// Returns the path that a child can open.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancel;
    use crate::process::{Program, run_to_end};
    use std::time::Duration;

    #[test]
    fn a_child_reads_it_as_often_as_it_likes() {
        let file = SecretFile::new("password=hunter2\n").unwrap();
        let path = file.path().display().to_string();
        let program = Program::new(["sh", "-c", "cat \"$0\"; cat \"$0\"; stat -Lc %a \"$0\"", &path]);
        let output =
            run_to_end(&program, Duration::from_secs(10), &Cancel::new(), 1000).unwrap().into_stdout().unwrap();
        assert_eq!(String::from_utf8(output).unwrap(), "password=hunter2\npassword=hunter2\n600\n");
        drop(file);
        assert!(!std::path::Path::new(&path).exists());
    }
}
