//! Who holds a lease, precisely enough to prove that they are dead.

use crate::error::{Error, ErrorCode, Result};
use crate::model::release_id::ReleaseId;
use serde::{Deserialize, Serialize};
use std::fs;

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
        let pid = std::process::id();
        Ok(Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid,
            process_started: match process(pid) {
                Process::Runs { started } => Some(started),
                Process::Gone | Process::Untold => None,
            },
            boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned()),
            pid_namespace: fs::read_link("/proc/self/ns/pid").ok().map(|link| link.display().to_string()),
            release,
            run_url,
            token: hex::encode(token),
        })
    }

    /// Says whether this owner is proved dead as seen by `observer`: same host, boot and namespace, and no such process,
    /// or another one with its id. A process of an earlier boot of this host is dead too.
    pub fn is_proved_dead(&self, observer: &Self) -> bool {
        if self.host != observer.host {
            return false;
        }
        let both = |one: &Option<String>, two: &Option<String>| one.is_some() && one == two;
        if !both(&self.boot_id, &observer.boot_id) || !both(&self.pid_namespace, &observer.pid_namespace) {
            // Hosts can share a name, so another boot proves nothing.
            return false;
        }
        match process(self.pid) {
            Process::Gone => true,
            Process::Runs { started } => self.process_started.is_some_and(|before| before != started),
            Process::Untold => false,
        }
    }
}

/// What `/proc` tells of a process.
enum Process {
    /// It runs, since this tick.
    Runs { started: u64 },
    /// There is none, or it has ended and only waits for its parent.
    Gone,
    /// Nothing can be said.
    Untold,
}

fn process(pid: u32) -> Process {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => parse_stat(&stat),
        // No `/proc` at all proves nothing about one process.
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound && fs::exists("/proc/self/stat").unwrap_or(false) =>
        {
            Process::Gone
        }
        Err(_) => Process::Untold,
    }
}

/// Reads state (field 3) and start time (field 22) of `/proc/PID/stat`; the name in field 2 may hold anything.
fn parse_stat(stat: &str) -> Process {
    let Some((_, rest)) = stat.rsplit_once(") ") else { return Process::Untold };
    let mut fields = rest.split_ascii_whitespace();
    match fields.next() {
        Some("Z" | "X" | "x") => Process::Gone,
        Some(_) => match fields.nth(18).and_then(|text| text.parse().ok()) {
            Some(started) => Process::Runs { started },
            None => Process::Untold,
        },
        None => Process::Untold,
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

    #[test]
    fn a_hostile_process_name_does_not_confuse() {
        let stat = "7 (a) S 1 (x) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert!(matches!(parse_stat(stat), Process::Runs { started: 4711 }));
        assert!(matches!(parse_stat("7 (a) Z 1"), Process::Gone));
        assert!(matches!(parse_stat("rubbish"), Process::Untold));
        assert!(matches!(parse_stat("7 (a) S 1"), Process::Untold));
    }
}
