//! Where the private directories of runs are, and what their names tell: which process each belongs to.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use std::path::PathBuf;

/// How the names begin; the process id follows, and the namespace in which that counts.
const BEGIN: &str = "holdpoint-scratch-";
/// Where directories for temporary things are on every system, beside the one that the environment names.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];
/// Stands for a namespace that this system does not tell.
const UNTOLD: &str = "x";

/// Returns where directories of runs may be: the environment's place for temporary ones first.
pub fn scratch_places() -> impl Iterator<Item = PathBuf> {
    std::iter::once(std::env::temp_dir()).chain(TEMPORARY.map(PathBuf::from))
}

/// Returns how the names of this process's directories begin.
pub fn own_prefix() -> String {
    prefix(std::process::id())
}

/// Returns how the names of the directories begin of a process in this namespace.
pub fn prefix(pid: u32) -> String {
    format!("{BEGIN}{pid}-{}-", namespace().unwrap_or_else(|| UNTOLD.to_owned()))
}

/// Says whether a name is that of a directory whose process is gone. Of a process in another namespace, such as another
/// container with the same `/tmp`, nobody here knows that.
pub fn is_abandoned(name: &str) -> bool {
    let mut parts = name.strip_prefix(BEGIN).unwrap_or_default().split('-');
    let pid = parts.next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
    let is_ours = namespace().is_some_and(|own| parts.next() == Some(&*own));
    is_ours && pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
}

/// Returns the number of the namespace of this process's id (namespaces(7)).
fn namespace() -> Option<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let number: String = link.to_str()?.chars().filter(char::is_ascii_digit).collect();
    (!number.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_of_this_namespace_is_known_to_be_gone() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let gone = prefix(child.id());
        assert!(is_abandoned(&format!("{gone}Ab1")), "{gone}");
        assert!(!is_abandoned(&format!("{}Ab1", own_prefix())));
        let elsewhere = gone.replace(&namespace().unwrap(), "1");
        for name in [elsewhere.as_str(), "holdpoint-scratch-x-1-", "holdpoint-scratch-", "other"] {
            assert!(!is_abandoned(name), "{name}");
        }
        assert!(!is_abandoned(&format!("{BEGIN}{}-Ab1", child.id())), "one that does not tell its namespace");
    }
}
