//! Words → request → room → exit code; the only user of clap.
//!
//! One small file a command; [`options`] lists them, [`session`] is what they share, [`output`] the door to the user.

mod check;
mod completions;
mod gate;
mod init;
mod ls;
mod options;
mod output;
mod reconcile;
mod releases;
mod repository;
mod restore;
mod schema;
mod session;

pub use options::Cli;

use crate::error::{Error, ErrorCode, ExitCode};
use clap::Parser;
use clap::error::ErrorKind;
use options::{Command, Format};
use session::Session;

/// Runs the program: parses the command line, runs the command, and returns the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let (command, format) = (cli.command.name(), cli.global.format);
    match run(cli) {
        Ok(exit) => exit,
        Err(error) => output::failure(command, format, &as_error(error)),
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let Cli { global, command } = cli;
    // These tell what the program is, and need nothing of where it is.
    match &command {
        Command::Schema(options) => return schema::run(options),
        Command::Completions(options) => return completions::run(options),
        Command::Man => return completions::man(),
        _ => {}
    }
    let session = Session::open(global)?;
    let result = match command {
        Command::Init(options) => init::run(&session, &options),
        Command::Doctor(options) => gate::doctor(&session, options),
        Command::Plan(options) => gate::plan(&session, options),
        Command::Gate(options) => gate::gate(&session, options),
        Command::Snapshot(options) => gate::snapshot(&session, options),
        Command::Reconcile(options) => reconcile::run(&session, &options),
        Command::Restore(options) => restore::run(&session, &options),
        Command::Releases(options) => releases::list(&session, &options),
        Command::Show(options) => releases::show(&session, &options),
        Command::Check(options) => check::run(&session, &options),
        Command::Ls(options) => ls::run(&session, &options),
        Command::Schema(_) | Command::Completions(_) | Command::Man => Ok(ExitCode::Pass),
    };
    // A probe that hangs in the kernel must not keep the process alive.
    session.runtime.shutdown_background();
    result
}

/// Prints what clap minds, or the help that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return match error.print() {
            Ok(()) => ExitCode::Pass,
            Err(_) => ExitCode::Internal,
        };
    }
    // The command line did not parse, so its format has to be looked for.
    let words: Vec<_> = std::env::args().collect();
    let json =
        words.windows(2).any(|pair| pair == ["--format", "json"]) || words.iter().any(|word| word == "--format=json");
    let rendered = error.to_string();
    let text = rendered.trim_end();
    let message = text.strip_prefix("error: ").unwrap_or(text);
    let command = words.get(1).map_or("holdpoint", String::as_str);
    output::failure(command, if json { Format::Json } else { Format::Text }, &Error::new(ErrorCode::Usage, message))
}

fn as_error(error: anyhow::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(other) => Error::new(ErrorCode::Internal, "an unforeseen error").caused_by(other.into_boxed_dyn_error()),
    }
}
