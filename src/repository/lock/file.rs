//! The content of a lock file.

use super::LockKind;
use crate::process::{Identity, is_nowhere};
use jiff::{SignedDuration, Timestamp};
use nix::unistd::User;
use rustix::process::{getegid, geteuid, getpid};
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
    /// When the process started, in clock ticks since boot. This and what follows are ours: restic passes over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_started: Option<u64>,
    /// The boot of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The namespace in which `pid` counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_namespace: Option<String>,
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
        let Identity { host, started, boot_id, pid_namespace, .. } = Identity::current();
        Self {
            time: Timestamp::now(),
            exclusive: kind == LockKind::Exclusive,
            hostname: host,
            username: user.map_or_else(|| uid.to_string(), |user| user.name),
            pid: getpid().as_raw_nonzero().get(),
            uid,
            gid: getegid().as_raw(),
            process_started: started,
            boot_id,
            pid_namespace,
        }
    }

    /// Says whether the owner is gone: the lock is thirty minutes old, or its process is proved dead. A host and a process
    /// id alone prove nothing, for containers that share a name count their processes each for itself: our own locks say
    /// where the id counts, and for those of other clients it must be the id of no process of this whole machine.
    pub fn is_stale(&self) -> bool {
        if Timestamp::now().duration_since(self.time) > STALE {
            return true;
        }
        let me = Identity::current();
        let Some(owner) = self.owner() else { return false };
        if owner.started.is_some() || owner.boot_id.is_some() || owner.pid_namespace.is_some() {
            owner.is_proved_dead(&me)
        } else {
            owner.host == me.host && is_nowhere(owner.pid)
        }
    }

    /// Returns the process that holds it, if it names one.
    fn owner(&self) -> Option<Identity> {
        Some(Identity {
            host: self.hostname.clone(),
            pid: u32::try_from(self.pid).ok().filter(|pid| *pid > 0)?,
            started: self.process_started,
            boot_id: self.boot_id.clone(),
            pid_namespace: self.pid_namespace.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_stale_when_its_process_is_gone_or_it_is_old() {
        let own = LockFile::own(LockKind::Shared);
        assert!(own.process_started.is_some() && own.boot_id.is_some() && own.pid_namespace.is_some());
        assert!(!own.is_stale());
        let old = LockFile { time: own.time - SignedDuration::from_mins(31), ..own.clone() };
        assert!(old.is_stale());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        child.wait().unwrap();
        let dead = LockFile { pid, ..own.clone() };
        assert!(dead.is_stale());
        let reused = LockFile { process_started: own.process_started.map(|tick| tick - 1), ..own };
        assert!(reused.is_stale());
        for other in [
            LockFile { hostname: "elsewhere.invalid".to_owned(), ..dead.clone() },
            LockFile { pid_namespace: Some("pid:[1]".to_owned()), ..dead.clone() },
            LockFile { boot_id: Some("another".to_owned()), ..dead.clone() },
            LockFile { pid_namespace: None, ..dead.clone() },
            LockFile { pid: 0, ..dead.clone() },
        ] {
            assert!(!other.is_stale(), "{other:?}");
            assert!(LockFile { time: old.time, ..other }.is_stale());
        }
    }

    #[test]
    fn the_lock_of_another_client_is_judged_by_its_process_only_where_all_are_seen() {
        let foreign = |pid: u32| LockFile {
            pid: i32::try_from(pid).unwrap(),
            process_started: None,
            boot_id: None,
            pid_namespace: None,
            ..LockFile::own(LockKind::Exclusive)
        };
        assert!(!foreign(std::process::id()).is_stale());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert_eq!(foreign(pid).is_stale(), is_nowhere(pid));
        assert!(!LockFile { hostname: "elsewhere.invalid".to_owned(), ..foreign(pid) }.is_stale());
    }

    #[test]
    fn what_restic_writes_is_read_and_what_we_add_is_left_out_where_unknown() {
        let restic = r#"{"time":"2026-01-02T03:04:05.678+01:00","exclusive":false,"hostname":"h","username":"u","pid":7,"new":1}"#;
        let lock: LockFile = serde_json::from_str(restic).unwrap();
        assert_eq!((lock.pid, &lock.boot_id, lock.process_started), (7, &None, None));
        let json = serde_json::to_string(&lock).unwrap();
        assert!(
            !json.contains("boot_id") && !json.contains("process_started") && !json.contains("pid_namespace"),
            "{json}"
        );
    }
}
