//! What to run: a program, its arguments, and the little of the environment that it gets.

use crate::error::{Error, ErrorCode, Result};
use rustix::fs::{Access, access};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Variables that every program gets, if they are set. Nothing else of the environment reaches it: no password of the
/// store, no token of the CI system.
const PASSED_ON: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"];
const PASSED_ON_PREFIX: &str = "LC_";

/// Where programs are looked for without a `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program with its arguments, run directly, never by a shell.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// The program, found on `PATH` unless it holds a `/`, and its arguments.
    pub argv: Vec<String>,
    /// Variables that it gets beside the scrubbed environment.
    pub env: BTreeMap<String, String>,
    /// Variables of this process that it gets as they are, which need not be text; those of `env` come before them.
    pub inherited: Vec<(OsString, OsString)>,
    /// Its working directory; this process's if `None`.
    pub directory: Option<PathBuf>,
    /// Texts that must not be shown, such as values of `env`.
    pub secrets: Vec<String>,
    /// The numbers of the user and the group that it runs as; this process's if `None`. Only root may choose.
    pub user: Option<(u32, u32)>,
}

impl Program {
    /// Creates a program without variables of its own.
    pub fn new(argv: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Returns the name for messages: as it was given, without arguments.
    pub fn name(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    /// Returns the file that would be run.
    ///
    /// # Errors
    /// `process-failed`: nothing was given, there is no such program, it is not executable, or the working directory
    /// does not exist.
    pub fn locate(&self) -> Result<PathBuf> {
        let failed = |text: String| Error::new(ErrorCode::ProcessFailed, text);
        let name = self.name();
        if name.is_empty() {
            return Err(failed("no program was given".to_owned()).hint("give a list: the program, then its arguments"));
        }
        if let Some(directory) = &self.directory
            && !directory.is_dir()
        {
            return Err(failed(format!("the working directory {} of {name} does not exist", directory.display())));
        }
        if name.contains('/') {
            let path = self.directory.as_deref().unwrap_or(Path::new("")).join(name);
            if is_executable(&path) {
                return Ok(path);
            }
            return Err(match path.metadata() {
                Ok(_) => failed(format!("{} is not an executable file", path.display()))
                    .hint(format!("check its mode: chmod +x {}", path.display())),
                Err(error) => failed(format!("cannot find the program {}", path.display())).caused_by(error),
            });
        }
        let search = match self.env.get("PATH") {
            Some(path) => path.into(),
            None => std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into()),
        };
        self.locate_on(&search).ok_or_else(|| {
            failed(format!("cannot find the program {name}"))
                .hint(format!("install {name}, or add its directory to PATH ({})", search.display()))
        })
    }

    fn locate_on(&self, search: &OsStr) -> Option<PathBuf> {
        let base = self.directory.as_deref().unwrap_or(Path::new(""));
        // An empty entry of PATH is the working directory, where a pipeline must not find programs by chance.
        let directories = std::env::split_paths(search).filter(|directory| !directory.as_os_str().is_empty());
        directories.map(|directory| base.join(directory).join(self.name())).find(|path| is_executable(path))
    }

    /// Returns a command with the scrubbed environment, in a process group of its own.
    pub(super) fn command(&self) -> Result<Command> {
        let mut command = Command::new(std::path::absolute(self.locate()?).map_err(|error| {
            Error::new(ErrorCode::Io, "cannot tell the current directory".to_owned()).caused_by(error)
        })?);
        command.arg0(self.name()).args(self.argv.iter().skip(1)).env_clear().process_group(0);
        command.envs(std::env::vars_os().filter(|(name, _)| is_passed_on(name)));
        command.envs(self.inherited.iter().map(|(name, value)| (name, value))).envs(&self.env);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        Ok(command)
    }
}

fn is_passed_on(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| PASSED_ON.contains(&name) || name.starts_with(PASSED_ON_PREFIX))
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && access(path, Access::EXEC_OK).is_ok()
}
