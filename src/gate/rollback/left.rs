//! Programs that an earlier try of a step left running: whoever kills a rollback leaves its program to itself, and two of
//! them side by side do what neither would do alone.

use super::hooks::STEP;
use crate::error::{Error, ErrorCode, Result};
use std::path::Path;

/// How many are named.
const NAMED: usize = 5;

/// Returns the value of the variable by which the programs of a step, and all that they start, are known.
pub(super) fn mark(release: &str, step: &str) -> String {
    format!("{release} {step}")
}

/// Refuses while a program of an earlier try of a step still runs on this machine.
///
/// # Errors
/// `restore-failed`, naming them.
pub(super) fn refuse_if_running(mark: &str) -> Result<()> {
    let running = running(Path::new("/proc"), mark);
    if running.is_empty() {
        return Ok(());
    }
    let named = running.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = if running.len() > NAMED { ", …" } else { "" };
    let message = format!("the step was interrupted, and its program still runs: {named}{more}");
    Err(Error::new(ErrorCode::RestoreFailed, message)
        .hint("wait until it has ended, or end it (kill PID); then go on with the rollback"))
}

/// Returns the processes that carry a mark, such as `412 (sh)`. Those of other users cannot be seen, nor those of
/// other machines.
fn running(processes: &Path, mark: &str) -> Vec<String> {
    let variable = [STEP.as_bytes(), b"=", mark.as_bytes()].concat();
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    // Where there is no such directory, nothing can be told.
    for entry in std::fs::read_dir(processes).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|one| one == variable) {
            // Not its arguments: they may hold what is secret.
            let program = std::fs::read(entry.path().join("comm")).unwrap_or_default();
            found.push(format!("{name} ({})", String::from_utf8_lossy(&program).trim()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_known_by_the_mark_of_their_step() {
        let folder = tempfile::tempdir().unwrap();
        for (pid, value) in
            [("17", "R1 before 1"), ("18", "R1 before 10"), ("19", "R2 before 1"), ("self", "R1 before 1")]
        {
            let process = folder.path().join(pid);
            std::fs::create_dir(&process).unwrap();
            std::fs::write(process.join("environ"), format!("A=b\0{STEP}={value}\0C=d")).unwrap();
            std::fs::write(process.join("comm"), "sh\n").unwrap();
            std::fs::write(process.join("cmdline"), "sh\0deploy.sh\0--token=s3cret\0").unwrap();
        }
        std::fs::create_dir(folder.path().join("20")).unwrap();
        assert_eq!(running(folder.path(), &mark("R1", "before 1")), ["17 (sh)"]);
        assert_eq!(running(folder.path(), &mark("R3", "before 1")), [""; 0]);
        assert_eq!(running(&folder.path().join("nowhere"), "x"), [""; 0]);
    }
}
