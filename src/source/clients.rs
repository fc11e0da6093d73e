//! Client programs of database servers: where they are, and which version.

use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::process::{Program, run_to_end};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most that it may say, in bytes.
const MOST: u64 = 64 * 1024;

/// Where client programs are looked for.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    directory: Option<PathBuf>,
}

impl Clients {
    /// Looks in `programs`, which counts from `directory`; on `PATH` without it.
    pub(super) fn new(programs: Option<&Path>, directory: &Path) -> Self {
        Self { directory: programs.map(|programs| super::write::absolute(directory, programs)) }
    }

    /// Returns the directory that is looked in, if it is not `PATH`.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
    }

    /// Returns a program with its arguments, none of which is a secret: every user of the machine can see them.
    pub(super) fn program(&self, name: &str, arguments: impl IntoIterator<Item = impl Into<String>>) -> Program {
        let first = match &self.directory {
            Some(directory) => directory.join(name).display().to_string(),
            None => name.to_owned(),
        };
        Program::new(std::iter::once(first).chain(arguments.into_iter().map(Into::into)))
    }

    /// Returns the first of several programs that is there: some go by an old and a new name.
    ///
    /// # Errors
    /// `process-failed`: none is there; the message is about the first.
    pub(super) fn first_of<'n>(&self, names: &[&'n str]) -> Result<&'n str> {
        let mut failure = None;
        for name in names {
            match self.program(name, [""; 0]).locate() {
                Ok(_) => return Ok(name),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| Error::new(ErrorCode::Internal, "no program was named")))
    }

    /// Returns what a program says of its version (`--version`), in one line.
    ///
    /// # Errors
    /// `process-failed`: it is not there or fails; the reason of a cancellation.
    pub(super) fn version(&self, name: &str, cancel: &Cancel) -> Result<String> {
        let output = run_to_end(&self.program(name, ["--version"]), PATIENCE, cancel, MOST)?.into_stdout()?;
        Ok(String::from_utf8_lossy(&output).lines().next().unwrap_or_default().trim().to_owned())
    }
}

/// Returns the first version number in a text, as its first two parts: `pg_dump (PostgreSQL) 15.18 (Debian)` is 15.18.
/// What is attached to a word, such as the 2 in `v2`, is none.
pub(super) fn version_number(text: &str) -> Option<(u32, u32)> {
    text.split(|c: char| c.is_whitespace() || c == ',' || c == '(').find_map(|word| {
        let mut parts = word.split('.');
        let major = parts.next()?.parse().ok()?;
        // `17beta1` and `16rc1` have no second part.
        let minor: String = parts.next()?.chars().take_while(char::is_ascii_digit).collect();
        Some((major, minor.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_numbers_are_found() {
        for (text, number) in [
            ("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", Some((15, 18))),
            ("mysqldump  Ver 10.19 Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)", Some((10, 19))),
            ("mariadb-dump from 11.4.2-MariaDB, client 10.19", Some((11, 4))),
            ("mongodump version: 100.9.4", Some((100, 9))),
            ("nothing 2 see", None),
        ] {
            assert_eq!(version_number(text), number, "{text}");
        }
    }

    #[test]
    fn a_program_is_found_by_its_new_name_or_its_old_one() {
        let clients = Clients::new(None, Path::new("/"));
        assert_eq!(clients.first_of(&["no-such-program", "sh"]).unwrap(), "sh");
        let error = clients.first_of(&["no-such-program", "nor-this"]).unwrap_err();
        assert!(error.message().contains("no-such-program"));
        let elsewhere = Clients::new(Some(Path::new("bin")), Path::new("/srv"));
        assert_eq!(elsewhere.program("pg_dump", ["-V"]).argv, ["/srv/bin/pg_dump", "-V"]);
    }
}
