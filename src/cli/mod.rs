//! Words → request → room → exit code; the only user of clap.
//!
//! One small file a command; [`options`] lists them, [`session`] is what they share, [`output`] the door to the user,
//! [`ci`] that to the CI system.

mod admit;
mod approve;
mod audit;
mod audited;
mod breaking;
mod check;
mod ci;
mod completions;
mod copy;
mod drill;
mod freeze;
mod gate;
mod guard;
mod hold;
mod init;
mod ls;
mod options;
mod output;
mod page;
mod plan;
mod prompt;
mod prune;
mod reconcile;
mod releases;
mod repository;
mod restore;
mod rollback;
mod schema;
mod secrets;
mod session;
mod signature;
mod webhooks;

pub use options::Cli;

use crate::error::{Error, ErrorCode, ExitCode};
use crate::report::ci::CiReport;
use crate::report::closing::Closing;
use ci::Shown;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use options::{Command, Format};
use session::Session;

/// Runs the program: parses the command line, runs the command, and returns the exit code.
pub fn main() -> ExitCode {
    if crate::process::watch_if_asked(std::env::args_os()) {
        return ExitCode::Pass;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let (command, format, environment) = (cli.command.name(), cli.global.format, cli.global.environment.clone());
    let verbose = cli.global.verbose;
    let shown = Shown::choose(cli.global.ci, command);
    shown.mask(secrets::of_environment());
    match run(cli, &shown) {
        Ok(exit) => exit,
        Err(error) => {
            let words = Closing { command, environment: environment.as_deref(), ..Closing::default() };
            let error = as_error(error);
            if verbose {
                output::note(&format!("code: {} (see docs/errors.md)", error.code().as_str()));
            }
            shown.show(&CiReport::of_error(command, &error));
            output::failure(words, format, &error)
        }
    }
}

fn run(cli: Cli, shown: &Shown) -> anyhow::Result<ExitCode> {
    let Cli { global, command } = cli;
    // These tell what the program is, and need nothing of where it is.
    match &command {
        Command::Schema(options) => return schema::run(options),
        Command::Completions(options) => return completions::run(options),
        Command::Man => return completions::man(),
        _ => {}
    }
    let session = Session::open(global, shown.clone(), command.needs_git())?;
    session.tell();
    let result = match command {
        Command::Init(options) => init::run(&session, &options),
        Command::Doctor(options) => gate::doctor(&session, options),
        Command::Plan(options) => plan::run(&session, &options),
        Command::Gate(options) => gate::gate(&session, options),
        Command::Guard(options) => guard::run(&session, options),
        Command::Snapshot(options) => gate::snapshot(&session, options),
        Command::Admit(options) => admit::run(&session, &options),
        Command::Approve(options) => approve::run(&session, &options),
        Command::Freeze(options) => freeze::freeze(&session, &options),
        Command::Thaw(options) => freeze::thaw(&session, &options),
        Command::Reconcile(options) => reconcile::run(&session, &options),
        Command::Restore(options) => restore::run(&session, &options),
        Command::Rollback(options) => rollback::run(&session, &options),
        Command::Drill(options) => drill::run(&session, &options),
        Command::Releases(options) => releases::list(&session, &options),
        Command::Audit(options) => audit::run(&session, &options),
        Command::Show(options) => releases::show(&session, &options),
        Command::Check(options) => check::run(&session, &options),
        Command::Copy(options) => copy::run(&session, &options),
        Command::Prune(options) => prune::run(&session, &options),
        Command::Hold(options) => hold::run(&session, &options),
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
    // The command line did not parse, so its format and command have to be looked for.
    let words: Vec<_> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let json =
        words.windows(2).any(|pair| pair == ["--format", "json"]) || words.iter().any(|word| word == "--format=json");
    let format = if json { Format::Json } else { Format::Text };
    let known = Cli::command();
    let command = words.iter().find_map(|word| known.find_subcommand(word)).map_or("", clap::Command::get_name);
    let rendered = error.to_string();
    let failed = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::note(rendered.trim_end());
            no_command()
        }
        ErrorKind::MissingSubcommand => no_command(),
        _ => usage_error(&rendered, command),
    };
    Shown::guess(&words, command).show(&CiReport::of_error(command, &failed));
    output::failure(Closing { command, ..Closing::default() }, format, &failed)
}

fn no_command() -> Error {
    Error::new(ErrorCode::Usage, "no command is given").hint("the main one is `holdpoint gate`")
}

/// Takes clap's text apart: what is wrong, and its tips as hints; the usage is in the help that is named next.
fn usage_error(rendered: &str, command: &str) -> Error {
    let mut message = Vec::new();
    let mut tips = Vec::new();
    for line in rendered.lines() {
        let line = line.trim();
        if line.starts_with("Usage: ") || line.starts_with("For more information") {
            break;
        }
        match line.strip_prefix("tip: ") {
            Some(tip) => tips.push(tip),
            None if line.is_empty() => {}
            None => message.push(line.strip_prefix("error: ").unwrap_or(line)),
        }
    }
    let error = Error::new(ErrorCode::Usage, message.join(" "));
    if tips.is_empty() {
        let named = if command.is_empty() { String::new() } else { format!("{command} ") };
        return error.hint(format!("`holdpoint {named}--help` says what may be given"));
    }
    tips.into_iter().fold(error, Error::hint)
}

fn as_error(error: anyhow::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(other) => Error::new(ErrorCode::Internal, "an unforeseen error").caused_by(other.into_boxed_dyn_error()),
    }
}
