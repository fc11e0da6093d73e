//! The only door to standard output and standard error.

use super::options::{Color, Format};
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::report::ci::github;
use crate::report::closing::{Closing, closing};
use crate::report::text::Style;
use crate::report::verdict::VerdictDocument;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Whether what is printed must hold no workflow command of GitHub.
static INERT: AtomicBool = AtomicBool::new(false);

/// Lets no text from outside pass for a workflow command of GitHub in anything that is printed from now on.
pub fn keep_inert(wanted: bool) {
    INERT.store(wanted, Relaxed);
}

/// Returns a text for people as it is printed.
pub fn inert(text: &str) -> Cow<'_, str> {
    if INERT.load(Relaxed) { github::inert(text) } else { Cow::Borrowed(text) }
}

/// Prints a line on standard error for the CI system.
pub fn command(line: &str) {
    let _ = std::io::stderr().lock().write_all(format!("{line}\n").as_bytes());
}

/// Says whether a CI system may read standard error as it is written: not from a terminal, nor from a file, which is
/// kept and must not hold what is to be masked.
pub fn error_is_read() -> bool {
    use rustix::fs::{FileType, fstat};
    let stderr = std::io::stderr();
    !stderr.is_terminal()
        && fstat(&stderr).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile)
}

/// Prints a result on standard output. A reader that has seen enough is no error.
///
/// # Errors
/// `io`: standard output cannot be written.
pub fn print(text: &str) -> Result<()> {
    write_out(&inert(text))
}

fn write_out(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::new(ErrorCode::Io, "cannot write to standard output").caused_by(error))
        }
        _ => Ok(()),
    }
}

/// Prints a document as JSON.
///
/// # Errors
/// As [`print`].
pub fn print_json(document: &impl Serialize) -> Result<()> {
    let mut json = serde_json::to_string_pretty(document)
        .map_err(|error| Error::new(ErrorCode::Internal, "cannot write JSON").caused_by(error))?;
    json.push('\n');
    if INERT.load(Relaxed) {
        json = github::inert_json(&json);
    }
    write_out(&json)
}

/// Prints a line on standard error, for people.
pub fn note(text: &str) {
    // Nobody is left to be told that standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{}", inert(text));
}

/// Prints what kept a command from its result: message, causes, hints.
pub fn error(error: &Error) {
    note(&format!("error: {}", error.chain()));
    for hint in error.hints() {
        note(&format!("hint: {hint}"));
    }
}

/// Prints the failure of a command in the format that was asked for.
pub fn failure(words: Closing<'_>, format: Format, failed: &Error) -> ExitCode {
    let exit = failed.code().exit();
    if format == Format::Json
        && let Err(unprinted) = print_json(&VerdictDocument::of_error(program_or(words.command), failed))
    {
        error(&unprinted);
    }
    error(failed);
    close(exit, words);
    exit
}

/// Returns the command, or the program where the command line names none.
fn program_or(command: &str) -> &str {
    if command.is_empty() { "holdpoint" } else { command }
}

/// Prints the last two lines of every exit but 0.
pub fn close(exit: ExitCode, words: Closing<'_>) {
    if let Some(lines) = closing(exit, words) {
        for line in lines {
            note(&line);
        }
    }
}

/// Decides whether standard output is coloured.
pub fn style(color: Color) -> Style {
    let color = match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    };
    Style { color }
}
