//! `kind = "command"`: the standard output of a program, captured as a stream.

use super::isolation::{Isolated, Isolation};
use super::output::ProgramOutput;
use super::write::{Staged, absolute, failed};
use super::{Capture, Context, Facts, Source, Stored, Target};
use crate::config::{CommandConfig, Text};
use crate::error::{Error, ErrorCode, Result};
use crate::model::finding::{Finding, FindingCode};
use crate::model::manifest::{Consistency, Content};
use crate::model::release_id::path_component;
use crate::process::{Program, Stream, feed};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The output of a program.
#[derive(Debug)]
pub(super) struct CommandSource {
    name: String,
    /// The name of the source as one path component.
    file_name: PathBuf,
    command: Vec<String>,
    restore: Option<Vec<String>>,
    env: BTreeMap<String, Text>,
    directory: PathBuf,
}

impl CommandSource {
    /// Creates the source named `name`; relative paths count from `directory`.
    pub(super) fn new(name: &str, config: &CommandConfig, directory: &Path) -> Self {
        Self {
            name: name.to_owned(),
            file_name: path_component(name).into(),
            command: config.command.clone(),
            restore: config.restore.clone(),
            env: config.env.clone(),
            directory: absolute(directory, config.directory.as_deref().unwrap_or(Path::new(""))),
        }
    }

    /// Returns a program with its variables, whose secret values it will not show.
    fn program(&self, argv: &[String]) -> Result<Program> {
        let mut program = Program { directory: Some(self.directory.clone()), ..Program::new(argv) };
        for (name, text) in &self.env {
            let value = text.resolve()?;
            if text.is_secret() {
                program.secrets.push(value.clone());
            }
            program.env.insert(name.clone(), value);
        }
        Ok(program)
    }

    /// Gives the failure of the restore program the code of a failed restore; a cancellation stays one.
    fn restore_failed(&self, error: Error) -> Error {
        if error.code() != ErrorCode::ProcessFailed {
            return error;
        }
        error.under(ErrorCode::RestoreFailed, format!("{} could not be restored", self.name))
    }
}

impl Source for CommandSource {
    fn facts(&self) -> Facts {
        Facts {
            // The arguments may say more than a manifest should.
            identity: self.command.first().cloned(),
            is_bound: false,
            tool_version: None,
            server_version: None,
            method: "stream",
            consistency: Consistency::Program,
            estimated_bytes: None,
        }
    }

    fn preflight(&self, _: &Context) -> Vec<Finding> {
        let refusal = |error: Error| Finding::from_error(&error, FindingCode::PreflightFailed);
        let programs = std::iter::once(&self.command).chain(&self.restore);
        let mut findings: Vec<Finding> = programs
            .filter_map(|argv| self.program(argv).and_then(|program| program.locate()).err())
            .map(refusal)
            .collect();
        // A missing variable or directory is told once.
        findings.dedup_by(|one, other| one.message == other.message);
        findings
    }

    fn capture(&self, context: &Context) -> Result<Capture> {
        let stream = Stream::start(&self.program(&self.command)?, &context.cancel)?;
        Ok(Capture::stream(ProgramOutput::new(stream, self.file_name.clone(), None)))
    }

    fn restore(&self, context: &Context, stored: &dyn Stored, target: &Target, force: bool) -> Result<()> {
        let mut stream = stored.open_only()?;
        match target {
            Target::Directory(directory) => {
                Staged::write(&mut stream, &directory.join(&self.file_name), &context.cancel)?.publish(force)
            }
            Target::Url(_) => Err(failed(format!("{} is a program's output, which no URL can take", self.name))
                .hint("restore it into a directory (--target DIR), or leave --target out for its `restore` program")),
            Target::Origin => {
                let Some(restore) = &self.restore else {
                    let name = &self.name;
                    return Err(failed(format!("{name} has no program that restores it")).hint(format!(
                        "give the source {name} a `restore` list, or restore it into a directory with --target DIR"
                    )));
                };
                feed(&self.program(restore)?, &mut stream, &context.cancel).map_err(|error| self.restore_failed(error))
            }
        }
    }

    /// The stream as a file: its `restore` program leads to where the source is, which a drill has nothing to do with.
    fn isolate(&self, _: &Context, isolation: &Isolation) -> Result<Box<dyn Isolated>> {
        let Isolation { directory, .. } = isolation.clone();
        Ok(Box::new(StreamFile { path: directory.join(&self.file_name), directory }))
    }
}

/// The output of a program, restored as a file for a drill.
#[derive(Debug)]
struct StreamFile {
    directory: PathBuf,
    path: PathBuf,
}

impl Isolated for StreamFile {
    fn target(&self) -> Target {
        Target::Directory(self.directory.clone())
    }

    fn description(&self) -> String {
        "a file in a private directory".to_owned()
    }

    fn identity(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }

    fn variables(&self) -> Vec<(String, String)> {
        let variable = |name: &str, path: &Path| (name.to_owned(), path.display().to_string());
        vec![variable("HOLDPOINT_DRILL_DIRECTORY", &self.directory), variable("HOLDPOINT_DRILL_FILE", &self.path)]
    }

    fn look(&self, _: &Context) -> Result<Content> {
        let meta = self.path.metadata();
        meta.map_err(|error| failed(format!("cannot look at {}", self.path.display())).caused_by(error))?;
        Ok(Content::new())
    }

    fn remove(self: Box<Self>, _: &Context) -> Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed(format!("cannot remove {}", self.path.display())).caused_by(error))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, Kept};
    use super::*;

    fn source(command: &[&str], restore: Option<&[&str]>, directory: &Path) -> CommandSource {
        let owned = |argv: &[&str]| argv.iter().map(|&argument| argument.to_owned()).collect();
        let config = CommandConfig {
            command: owned(command),
            restore: restore.map(owned),
            env: BTreeMap::new(),
            directory: None,
        };
        CommandSource::new("shop/db", &config, directory)
    }

    fn context() -> Context {
        sample::context("")
    }

    #[test]
    fn a_program_is_captured_looked_at_and_restored() {
        let directory = tempfile::tempdir().unwrap();
        let restore = ["sh", "-c", "cat > restored"];
        let source = source(&["printf", "hello"], Some(&restore), directory.path());
        assert_eq!(source.preflight(&context()), []);
        let (kept, _) = sample::capture(&source, &context()).unwrap();
        assert_eq!(kept, Kept::one("shop%2Fdb", "hello"));

        let restore = |target: &Target, force| source.restore(&context(), &kept, target, force);
        restore(&Target::Origin, false).unwrap();
        assert_eq!(std::fs::read(directory.path().join("restored")).unwrap(), b"hello");
        let target = Target::Directory(directory.path().join("into"));
        restore(&target, false).unwrap();
        assert_eq!(std::fs::read(directory.path().join("into/shop%2Fdb")).unwrap(), b"hello");
        assert_eq!(restore(&target, false).unwrap_err().code(), ErrorCode::RestoreFailed);
        restore(&target, true).unwrap();
    }

    #[test]
    fn a_program_that_fails_after_its_output_is_no_snapshot() {
        let source = source(&["sh", "-c", "echo data; echo oops >&2; exit 1"], None, Path::new("/"));
        let error = sample::capture(&source, &context()).unwrap_err();
        assert_eq!((error.code(), error.chain()), (ErrorCode::ProcessFailed, "sh exited 1: oops".to_owned()));
        let error = source.restore(&context(), &Kept::one("shop%2Fdb", ""), &Target::Origin, false).unwrap_err();
        assert!(error.message().contains("no program that restores it") && error.hints()[0].contains("`restore`"));
    }

    #[test]
    fn what_is_missing_is_found_before_the_capture() {
        let restore = ["no-such-restore"];
        let messages = |source: &CommandSource| -> Vec<String> {
            source.preflight(&context()).into_iter().map(|finding| finding.message).collect()
        };
        let both = messages(&source(&["no-such-program"], Some(&restore), Path::new("/")));
        assert_eq!(both, ["cannot find the program no-such-program", "cannot find the program no-such-restore"]);
        let nowhere = messages(&source(&["true"], None, Path::new("/no/such/place")));
        assert_eq!(nowhere, ["the working directory /no/such/place of true does not exist"]);
        let mut unset = source(&["true"], Some(&["true"]), Path::new("/"));
        unset.env.insert("X".to_owned(), Text::Env("HOLDPOINT_TEST_IS_NOT_SET".to_owned()));
        assert_eq!(messages(&unset), ["the environment variable HOLDPOINT_TEST_IS_NOT_SET is not set"]);
    }
}
