//! The content of a lock file.

use super::LockKind;
use crate::error::{Error, ErrorCode, Result};
use jiff::{SignedDuration, Timestamp};
use nix::unistd::User;
use rustix::io::Errno;
use rustix::process::{Pid, getegid, geteuid, getpid, test_kill_process};
use serde::{Deserialize, Serialize};

/// How old a lock may grow without being refreshed.
const STALE: SignedDuration = SignedDuration::from_mins(30);

/// A lock as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockFile {
    /// When it was taken or last refreshed.
    pub time: Timestamp,
    /// Whether it keeps everybody else out.
    pub exclusive: bool,
    /// The machine of its owner.
    #[serde(default)]
    pub hostname: String,
    /// The user's name.
    #[serde(default)]
    pub username: String,
    /// The process.
    #[serde(default)]
    pub pid: i32,
    /// The user's number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// The user's group.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl LockFile {
    /// Describes a lock that this process takes now.
    pub fn own(kind: LockKind) -> Self {
        let uid = geteuid().as_raw();
        // The name is for people only; containers often run under a number without one.
        let user = User::from_uid(uid.into()).ok().flatten();
        Self {
            time: Timestamp::now(),
            exclusive: kind == LockKind::Exclusive,
            hostname: hostname(),
            username: user.map_or_else(|| uid.to_string(), |user| user.name),
            pid: getpid().as_raw_nonzero().get(),
            uid,
            gid: getegid().as_raw(),
        }
    }

    /// Says whether the owner is gone: the lock is thirty minutes old, or its process ran here and runs no more.
    ///
    /// # Errors
    /// `io`: the system does not say whether the process runs.
    pub fn is_stale(&self) -> Result<bool> {
        if Timestamp::now().duration_since(self.time) > STALE {
            return Ok(true);
        }
        if self.hostname != hostname() {
            return Ok(false);
        }
        let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.pid > 0) else { return Ok(false) };
        match test_kill_process(pid) {
            // A process that has ended and was not waited for still has its number, as in a container without an init.
            Ok(()) | Err(Errno::PERM) => Ok(is_zombie(self.pid)),
            Err(Errno::SRCH) => Ok(true),
            Err(error) => {
                let message = format!("cannot tell whether the process {} still runs", self.pid);
                Err(Error::new(ErrorCode::Io, message).caused_by(error))
            }
        }
    }
}

/// Says whether a process has ended and was not waited for (field 3 of `/proc/PID/stat`, proc(5)).
fn is_zombie(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['Z', 'X'])))
}

fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_stale_when_its_process_is_gone_or_it_is_old() {
        let own = LockFile::own(LockKind::Shared);
        assert!(!own.is_stale().unwrap());
        let old = LockFile { time: own.time - SignedDuration::from_mins(31), ..own.clone() };
        assert!(old.is_stale().unwrap());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        child.wait().unwrap();
        let dead = LockFile { pid, ..own.clone() };
        assert!(dead.is_stale().unwrap());
        let elsewhere = LockFile { hostname: "elsewhere.invalid".to_owned(), ..dead };
        assert!(!elsewhere.is_stale().unwrap());
    }
}
