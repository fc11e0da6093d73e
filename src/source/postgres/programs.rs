//! PostgreSQL's client programs: what they get of the endpoint, and whether they can talk to the server.

use super::endpoint::Endpoint;
use crate::cancel::Cancel;
use crate::error::Result;
use crate::model::finding::{Finding, FindingCode};
use crate::process::{Program, run_to_end};
use crate::source::clients::Clients;
use crate::source::write::failed;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where installations of several versions are, each in `NUMBER/bin` (Debian) or `pgsql-NUMBER/bin` (Red Hat).
const INSTALLATIONS: [(&str, &str); 2] = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")];

/// How long a program may take to say its version.
const VERSION_WITHIN: Duration = Duration::from_secs(10);

/// A major version: `15`, or two numbers up to `9.6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Major(u32, u32);

impl Major {
    /// Takes it from what a server says of its `server_version_num`, such as 150018 or 90624.
    pub(super) fn of_number(number: u32) -> Self {
        if number >= 100_000 { Self(number / 10_000, 0) } else { Self(number / 10_000, number / 100 % 100) }
    }

    /// Takes it from a text that holds a version, such as `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` or
    /// `17beta1`.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let word = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
        let mut numbers = word.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        let first = numbers.next()?.ok()?;
        let second = if first >= 10 { 0 } else { numbers.next()?.ok()? };
        Some(Self(first, second))
    }
}

impl fmt::Display for Major {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 10 { write!(f, "{}", self.0) } else { write!(f, "{}.{}", self.0, self.1) }
    }
}

/// Returns a client program that talks to `endpoint`, with what it needs in its environment and no secret in its
/// arguments. `mark` names its sessions.
pub(super) fn program(
    clients: &Clients,
    name: &str,
    arguments: impl IntoIterator<Item = impl Into<String>>,
    endpoint: &Endpoint,
    mark: &str,
) -> Program {
    let mut program = clients.program(name, arguments);
    let mut set = |name: &str, value: String| program.env.insert(name.to_owned(), value);
    set("PGHOST", endpoint.host.clone());
    set("PGPORT", endpoint.port.to_string());
    set("PGUSER", endpoint.user.clone());
    set("PGDATABASE", endpoint.database.clone());
    set("PGSSLMODE", endpoint.tls.as_str().to_owned());
    set("PGAPPNAME", mark.to_owned());
    // libpq counts whole seconds, and takes 1 for 2.
    let patience = endpoint.patience.as_secs_f64().ceil().max(2.0);
    set("PGCONNECT_TIMEOUT", format!("{patience:.0}"));
    if let Some(roots) = &endpoint.roots {
        set("PGSSLROOTCERT", roots.display().to_string());
    }
    if let Some(options) = &endpoint.options {
        set("PGOPTIONS", options.clone());
    }
    if let Some(password) = &endpoint.password {
        set("PGPASSWORD", password.clone());
        program.secrets.push(password.clone());
    }
    program
}

/// Returns what a client program says of its version, and the major version in it.
///
/// # Errors
/// `process-failed`: it is not there, or fails; the reason of a cancellation.
pub(super) fn version(clients: &Clients, name: &str, cancel: &Cancel) -> Result<(String, Option<Major>)> {
    let text = clients.version(name, cancel)?;
    let major = Major::of_text(&text);
    Ok((text, major))
}

/// Looks for client programs and compares their versions with the server's, which none of them may be older than.
/// `server` is what the server says of itself, if it answered. Returns what the first program says of its version, too.
pub(super) fn preflight(
    clients: &Clients,
    names: &[&str],
    server: Option<(&str, Major)>,
    cancel: &Cancel,
) -> (Option<String>, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut first = None;
    for name in names {
        match version(clients, name, cancel) {
            Ok((text, major)) => {
                findings.extend(server.and_then(|server| older(name, &text, major, server)));
                first.get_or_insert(text);
            }
            Err(error) => {
                let mut finding = Finding::from_error(&error, FindingCode::PreflightFailed);
                if let Some(directory) = installation(names, server.map(|(_, major)| major)) {
                    finding = finding.hint(programs_hint(&directory));
                }
                findings.push(finding);
            }
        }
    }
    (first, findings)
}

fn older(name: &str, text: &str, major: Option<Major>, (server, needed): (&str, Major)) -> Option<Finding> {
    let message = match major {
        Some(major) if major >= needed => return None,
        Some(_) => format!("{name} is older than the server: {text}, and the server is {server}"),
        None => format!("{name} does not say its version: {text}"),
    };
    let hint = match installation(&[name], Some(needed)) {
        Some(directory) => programs_hint(&directory),
        None => format!("install the client programs of PostgreSQL {needed}, and name their directory in `programs`"),
    };
    Some(Finding::refusal(FindingCode::VersionMismatch, message).hint(hint))
}

fn programs_hint(directory: &Path) -> String {
    format!("set programs = \"{}\" in the source", directory.display())
}

/// Finds a directory of this machine that has the programs in a version not older than `needed`: the oldest of them.
pub(super) fn installation(names: &[&str], needed: Option<Major>) -> Option<PathBuf> {
    let found = installations(names).into_iter().filter(|(version, _)| needed.is_none_or(|needed| *version >= needed));
    found.min().map(|(_, bin)| bin)
}

/// Finds the newest directory of this machine that has the programs in a version that `fits`.
pub(super) fn installation_of(names: &[&str], fits: impl Fn(Major) -> bool) -> Option<PathBuf> {
    installations(names).into_iter().filter(|(version, _)| fits(*version)).max().map(|(_, bin)| bin)
}

fn installations(names: &[&str]) -> Vec<(Major, PathBuf)> {
    let mut found: Vec<(Major, PathBuf)> = Vec::new();
    for (parent, prefix) in INSTALLATIONS {
        for entry in std::fs::read_dir(parent).ok().into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(Major::of_text);
            let bin = entry.path().join("bin");
            if let Some(version) = version
                && names.iter().all(|name| bin.join(name).is_file())
            {
                found.push((version, bin));
            }
        }
    }
    found
}

/// Finds the server's program in the version of a data directory.
///
/// # Errors
/// `restore-failed`: it is not on this machine.
pub(super) fn server_program(clients: &Clients, data: &Path, cancel: &Cancel) -> Result<Program> {
    let version = std::fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
    let needed = Major::of_text(&version);
    let is_it = |program: &Program| {
        let output = run_to_end(
            &Program { argv: vec![program.name().to_owned(), "--version".to_owned()], ..program.clone() },
            VERSION_WITHIN,
            cancel,
            4096,
        );
        let text = output.and_then(|output| output.into_stdout()).unwrap_or_default();
        needed.is_some() && Major::of_text(&String::from_utf8_lossy(&text)) == needed
    };
    let given = clients.program("postgres", [""; 0]);
    let found = installation(&["postgres"], needed);
    let found = found.map(|directory| Program::new([directory.join("postgres").display().to_string()]));
    [Some(given), found].into_iter().flatten().find(is_it).ok_or_else(|| {
        let version = version.trim();
        failed(format!("there is no server program (postgres) of version {version} on this machine"))
            .hint(format!("install PostgreSQL {version}, and name the directory of its programs in `programs`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn major_versions_are_compared_as_such() {
        let of = |text| Major::of_text(text).unwrap();
        assert_eq!(of("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Major::of_number(150_018));
        assert_eq!(of("pg_dump (PostgreSQL) 17beta1"), Major::of_number(170_000));
        assert_eq!((of("9.6.24"), Major::of_number(90_624)), (Major(9, 6), Major(9, 6)));
        assert!(of("9.6.24") < of("10.1") && of("15.2") < of("16.0") && of("15.2") == of("15.18"));
        assert_eq!((Major(9, 6).to_string(), Major(16, 0).to_string()), ("9.6".to_owned(), "16".to_owned()));
        assert_eq!(Major::of_text("no version here"), None);
        let old = older("pg_dump", "pg_dump (PostgreSQL) 15.18", Some(Major(15, 0)), ("99.1", Major(99, 0))).unwrap();
        assert_eq!(old.code, FindingCode::VersionMismatch);
        assert!(old.message.contains("15.18") && old.message.contains("99.1"), "{}", old.message);
    }

    #[test]
    fn the_password_is_in_the_environment_alone() {
        let clients = Clients::new(None, Path::new("/"));
        let endpoint = Endpoint::parse("postgres://shop:hunter2@db/orders", Duration::from_millis(100)).unwrap();
        let program = program(&clients, "pg_dump", ["--no-password"], &endpoint, "holdpoint-1");
        assert!(!program.argv.iter().any(|argument| argument.contains("hunter2")));
        assert_eq!(
            (program.env["PGPASSWORD"].as_str(), program.secrets.as_slice()),
            ("hunter2", &["hunter2".to_owned()][..])
        );
        assert_eq!(
            (program.env["PGAPPNAME"].as_str(), program.env["PGCONNECT_TIMEOUT"].as_str()),
            ("holdpoint-1", "2")
        );
    }
}
