//! Lines of the audit on their way to others: a file of this machine, a receiver of syslog.

mod syslog;

use crate::config::AuditConfig;
use crate::error::innermost;
use crate::model::audit::AuditLine;
use crossbeam_channel::bounded;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// How long all of them may take together: whoever is told must not hold up whoever tells.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hands a line, whose bytes are those that the store holds, to everybody that the configuration names. Returns who did
/// not take it, and why, in words.
pub fn forward(config: &AuditConfig, line: &AuditLine, bytes: &[u8]) -> Vec<String> {
    if config.file.is_none() && config.syslog.is_none() {
        return Vec::new();
    }
    let (sender, receiver) = bounded(1);
    let (config, line, bytes) = (config.clone(), line.clone(), bytes.to_vec());
    // Never joined: a pipe that nobody reads, or a name server that hangs, has no time limit of its own.
    let started = std::thread::Builder::new().name("audit".to_owned()).spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = sender.send(hand_over(&config, &line, &bytes));
    });
    match started {
        Err(error) => vec![format!("anybody: cannot start a thread: {error}")],
        Ok(_) => receiver
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| vec![format!("everybody that [audit] names within {} s", PATIENCE.as_secs())]),
    }
}

fn hand_over(config: &AuditConfig, line: &AuditLine, bytes: &[u8]) -> Vec<String> {
    let mut failures = Vec::new();
    if let Some(path) = &config.file
        && let Err(error) = append(path, bytes)
    {
        failures.push(format!("the file {}: {error}", path.display()));
    }
    if let Some(receiver) = &config.syslog
        && let Err(error) = syslog::send(receiver, line, bytes)
    {
        failures.push(format!("syslog at {}: {}", syslog::name(receiver), innermost(&error)));
    }
    failures
}

/// Adds a line to a file by one write, so that lines of several processes do not mix, and makes it durable.
fn append(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    file.write_all(bytes)?;
    match file.sync_data() {
        // What is no file, such as a pipe to a collector, has nothing to sync.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}
