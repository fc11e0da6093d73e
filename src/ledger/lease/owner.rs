//! Who holds a lease, precisely enough to prove that they are dead.

use crate::error::{Error, ErrorCode, Result};
use crate::model::release_id::ReleaseId;
use crate::process::Identity;
use serde::{Deserialize, Serialize};

/// The process that holds a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The name of its host.
    pub host: String,
    /// Its process id, in its own namespace.
    pub pid: u32,
    /// When the process started, in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)): tells it from a
    /// later process with the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_started: Option<u64>,
    /// The boot of the host, from `/proc/sys/kernel/random/boot_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// The namespace in which `pid` counts: containers of one host share its boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_namespace: Option<String>,
    /// The release that it works for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseId>,
    /// The CI run, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_url: Option<String>,
    /// Whether it only removes what nobody needs: then others wait a while.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub yields: bool,
    /// Random digits that no other run has: tells our own lease, whatever else is equal.
    pub token: String,
}

impl Owner {
    /// Describes the running process. What the system does not tell is left out, and then nothing is proved by it.
    ///
    /// # Errors
    /// `internal` if the system gives no random bytes.
    pub fn current(release: Option<ReleaseId>, run_url: Option<String>) -> Result<Self> {
        let mut token = [0; 16];
        getrandom::fill(&mut token)
            .map_err(|error| Error::new(ErrorCode::Internal, "the system gives no random bytes").caused_by(error))?;
        let Identity { host, pid, started, boot_id, pid_namespace } = Identity::current();
        Ok(Self {
            host,
            pid,
            process_started: started,
            boot_id,
            pid_namespace,
            release,
            run_url,
            yields: false,
            token: hex::encode(token),
        })
    }

    /// Returns the same owner, for whom gates wait instead of refusing at once.
    #[must_use]
    pub fn yielding(self) -> Self {
        Self { yields: true, ..self }
    }

    /// Says whether this owner is proved dead as seen by `observer`: same host, boot and namespace, and no such process,
    /// or another one with its id. A process of an earlier boot of this host is dead too.
    pub fn is_proved_dead(&self, observer: &Self) -> bool {
        self.process().is_proved_dead(&observer.process())
    }

    fn process(&self) -> Identity {
        Identity {
            host: self.host.clone(),
            pid: self.pid,
            started: self.process_started,
            boot_id: self.boot_id.clone(),
            pid_namespace: self.pid_namespace.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_a_reused_pid_is_seen() {
        let me = Owner::current(None, None).unwrap();
        assert!(me.process_started.is_some() && me.boot_id.is_some() && me.pid_namespace.is_some());
        assert!(!me.is_proved_dead(&me));
        let reused = Owner { process_started: me.process_started.map(|tick| tick - 1), ..me.clone() };
        assert!(reused.is_proved_dead(&me));
        for other in [
            Owner { host: "elsewhere".into(), ..reused.clone() },
            Owner { boot_id: Some("another".into()), ..reused.clone() },
            Owner { boot_id: None, ..reused.clone() },
            Owner { pid_namespace: Some("pid:[1]".into()), ..reused.clone() },
            Owner { process_started: None, ..reused.clone() },
        ] {
            assert!(!other.is_proved_dead(&me), "{other:?}");
        }
    }

    #[test]
    fn a_reaped_child_is_dead() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let me = Owner::current(None, None).unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(Owner { pid, ..me.clone() }.is_proved_dead(&me));
    }
}
