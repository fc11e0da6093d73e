//! Which process one is, precisely enough to prove later that it is dead.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;

/// The namespace of process ids that every other one is in (`PROC_PID_INIT_INO` of Linux).
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// A process of some host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The name of its host.
    pub host: String,
    /// Its process id, in its own namespace.
    pub pid: u32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`, proc(5)): tells it from a later process
    /// with the same id.
    pub started: Option<u64>,
    /// The boot of the host, from `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Option<String>,
    /// The namespace in which `pid` counts: containers of one host share its boot.
    pub pid_namespace: Option<String>,
}

/// What `/proc` tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It runs, since this tick.
    Runs {
        /// The tick, counted since boot.
        started: u64,
    },
    /// There is none, or it has ended and only waits for its parent.
    Gone,
    /// Nothing can be said.
    Untold,
}

impl Identity {
    /// Describes the running process. What the system does not tell is left out, and then nothing is proved by it.
    pub fn current() -> Self {
        Self::of(std::process::id())
    }

    /// Describes a process of this host and namespace.
    pub fn of(pid: u32) -> Self {
        Self {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid,
            started: match Seen::of(pid) {
                Seen::Runs { started } => Some(started),
                Seen::Gone | Seen::Untold => None,
            },
            boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned()),
            pid_namespace: own_namespace(),
        }
    }

    /// Says whether this process is proved dead as seen by `observer`: same host, boot and namespace, and no such process,
    /// or another one with its id.
    pub fn is_proved_dead(&self, observer: &Self) -> bool {
        self.is_seen_by(observer)
            && match Seen::of(self.pid) {
                Seen::Gone => true,
                Seen::Runs { started } => self.started.is_some_and(|before| before != started),
                Seen::Untold => false,
            }
    }

    /// Says whether this process is proved to run, as seen by `observer`.
    pub fn is_proved_running(&self, observer: &Self) -> bool {
        self.is_seen_by(observer)
            && matches!(Seen::of(self.pid), Seen::Runs { started } if self.started == Some(started))
    }

    /// Hosts can share a name, so another boot proves nothing.
    fn is_seen_by(&self, observer: &Self) -> bool {
        let both = |one: &Option<String>, two: &Option<String>| one.is_some() && one == two;
        self.host == observer.host
            && both(&self.boot_id, &observer.boot_id)
            && both(&self.pid_namespace, &observer.pid_namespace)
    }
}

impl Seen {
    /// Looks at a process of this namespace.
    pub fn of(pid: u32) -> Self {
        match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => parse_stat(&stat),
            // No `/proc` at all proves nothing about one process.
            Err(error) if error.kind() == ErrorKind::NotFound && fs::exists("/proc/self/stat").unwrap_or(false) => {
                Self::Gone
            }
            Err(_) => Self::Untold,
        }
    }
}

fn own_namespace() -> Option<String> {
    fs::read_link("/proc/self/ns/pid").ok().map(|link| link.display().to_string())
}

/// Says whether no process of this machine has an id, in whatever namespace it may count. Only who sees them all can
/// tell: inside a container the answer is always no.
pub fn is_nowhere(pid: u32) -> bool {
    // Where the processes of others are hidden (`hidepid`), the first one is, too.
    let sees_all =
        own_namespace().as_deref() == Some(FIRST_PID_NAMESPACE) && fs::exists("/proc/1/status").is_ok_and(|is| is);
    let Some(entries) = fs::read_dir("/proc").ok().filter(|_| sees_all) else { return false };
    for entry in entries {
        let Ok(entry) = entry else { return false };
        if entry.file_name().to_str().is_none_or(|name| name.parse::<u32>().is_err()) {
            continue;
        }
        match fs::read_to_string(entry.path().join("status")) {
            Ok(status) if !runs_under(&status, pid) => {}
            // One that ended while we looked.
            Err(error)
                if error.kind() == ErrorKind::NotFound
                    || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
            _ => return false,
        }
    }
    true
}

/// Says whether `/proc/PID/status` is that of a process which knows itself under this id: the last of `NSpid` (proc(5)).
/// Without that line nothing is known, so it may be.
fn runs_under(status: &str, pid: u32) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let own = field("NSpid:").and_then(|ids| ids.split_ascii_whitespace().next_back()?.parse::<u32>().ok());
    own.is_none_or(|own| own == pid) && !field("State:").is_some_and(|state| state.trim_start().starts_with(['Z', 'X']))
}

/// Reads state (field 3) and start time (field 22) of `/proc/PID/stat`; the name in field 2 may hold anything.
fn parse_stat(stat: &str) -> Seen {
    let Some((_, rest)) = stat.rsplit_once(") ") else { return Seen::Untold };
    let mut fields = rest.split_ascii_whitespace();
    match fields.next() {
        Some("Z" | "X" | "x") => Seen::Gone,
        Some(_) => match fields.nth(18).and_then(|text| text.parse().ok()) {
            Some(started) => Seen::Runs { started },
            None => Seen::Untold,
        },
        None => Seen::Untold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_runs_until_it_is_dead() {
        let me = Identity::current();
        assert!(me.is_proved_running(&me) && !me.is_proved_dead(&me));
        let reused = Identity { started: me.started.map(|tick| tick - 1), ..me.clone() };
        assert!(reused.is_proved_dead(&me) && !reused.is_proved_running(&me));
        let elsewhere = Identity { boot_id: Some("another".to_owned()), ..me.clone() };
        assert!(!elsewhere.is_proved_dead(&me) && !elsewhere.is_proved_running(&me));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended = Identity::of(child.id());
        child.wait().unwrap();
        assert!(ended.is_proved_dead(&me) && !ended.is_proved_running(&me));
    }

    #[test]
    fn only_a_process_that_is_nowhere_is() {
        assert!(!is_nowhere(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        // Another container may have it, for all that is seen from inside of one.
        assert_eq!(is_nowhere(pid), own_namespace().as_deref() == Some(FIRST_PID_NAMESPACE));
        let status = |state: &str, ids: &str| format!("Name:\ta\nState:\t{state}\nPid:\t4711\nNSpid:\t{ids}\n");
        assert!(runs_under(&status("S (sleeping)", "4711"), 4711));
        assert!(runs_under(&status("S (sleeping)", "4711\t7"), 7));
        assert!(!runs_under(&status("S (sleeping)", "4711\t7"), 4711));
        assert!(!runs_under(&status("Z (zombie)", "7"), 7));
        assert!(runs_under("Pid:\t8\n", 7));
    }

    #[test]
    fn a_hostile_process_name_does_not_confuse() {
        let stat = "7 (a) S 1 (x) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse_stat(stat), Seen::Runs { started: 4711 });
        assert_eq!(parse_stat("7 (a) Z 1"), Seen::Gone);
        assert_eq!(parse_stat("rubbish"), Seen::Untold);
        assert_eq!(parse_stat("7 (a) S 1"), Seen::Untold);
    }
}
