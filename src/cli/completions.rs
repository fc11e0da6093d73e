//! `completions` and `man`: generated from the command line itself.

use super::options::Cli;
use super::output;
use crate::error::ExitCode;
use clap::CommandFactory;
use clap_complete::Shell;

/// Which shell is served.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Runs `completions`.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "holdpoint", &mut text);
    output::print(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::Pass)
}

/// Runs `man`: one page that holds every command.
pub fn man() -> anyhow::Result<ExitCode> {
    let command = Cli::command();
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    for sub in command.get_subcommands() {
        let name = format!("holdpoint {}", sub.get_name());
        let man = clap_mangen::Man::new(sub.clone().bin_name(name.clone()));
        text.extend(format!(".SH {}\n", name.to_uppercase()).into_bytes());
        man.render_description_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_options_section(&mut text)?;
    }
    output::print(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::Pass)
}
