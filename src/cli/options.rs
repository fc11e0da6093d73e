//! The words of the command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

use super::{
    admit, approve, audit, check, completions, copy, drill, freeze, gate, guard, hold, init, ls, plan, prune,
    reconcile, releases, restore, rollback, schema,
};

/// A hold point for deployments: no restorable snapshot, no deploy
#[derive(Debug, Parser)]
#[command(
    name = "holdpoint",
    bin_name = "holdpoint",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Read the configuration from FILE [default: holdpoint.toml, if present]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Keep snapshots and records in LOCATION [default: .holdpoint/store in the working tree]
    #[arg(long, global = true, value_name = "LOCATION", env = "HOLDPOINT_STORE", hide_env_values = true)]
    pub store: Option<String>,
    /// Work on the environment NAME
    #[arg(short, long, global = true, value_name = "NAME", env = "HOLDPOINT_ENVIRONMENT", hide_env_values = true)]
    pub environment: Option<String>,
    /// Work on the application NAME [default: the configuration's, or the working tree's name]
    #[arg(long, global = true, value_name = "NAME")]
    pub application: Option<String>,
    /// Print the result as text, or as one JSON document
    #[arg(long, global = true, value_name = "text|json", default_value = "text", hide_possible_values = true)]
    pub format: Format,
    /// Print the result only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say what is worked on, and the code of an error
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
    /// Show no progress
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Use colours
    #[arg(long, global = true, value_name = "auto|always|never", default_value = "auto", hide_possible_values = true)]
    pub color: Color,
    /// Show the outcome to a CI system: auto (the one that is detected), none, github, gitlab or jenkins
    #[arg(
        long,
        global = true,
        value_name = "SYSTEM",
        default_value = "auto",
        hide_possible_values = true,
        env = "HOLDPOINT_CI",
        hide_env_values = true
    )]
    pub ci: CiOption,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Which CI system is shown what a command came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CiOption {
    /// The one that is detected; an empty variable means it, too.
    #[value(alias = "")]
    Auto,
    /// None.
    None,
    /// GitHub Actions, Gitea, Forgejo.
    Github,
    /// GitLab CI.
    Gitlab,
    /// Jenkins.
    Jenkins,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented holdpoint.toml for what is found here, and create the repository
    Init(init::Options),
    /// Look at everything that the gate will need
    Doctor(gate::Options),
    /// Show what the gate would do, capturing nothing
    Plan(plan::Options),
    /// Take a verified snapshot before a deploy, and say whether the deploy may go on
    Gate(gate::GateOptions),
    /// Run a deploy under guard: gate, the command, and a look at what runs then
    Guard(guard::Options),
    /// Take a verified snapshot outside of a deploy
    Snapshot(gate::Options),
    /// Ask, in the deploy step itself, for a signed, fresh and unused pass, and use it
    Admit(admit::Options),
    /// Approve of a release, or answer for an override, by a signature
    Approve(approve::Options),
    /// Check a manifest against the deployed version
    Reconcile(reconcile::Options),
    /// Restore one source of a release, or a snapshot of a restic repository
    Restore(restore::Options),
    /// Stop all deployments into an environment
    Freeze(freeze::FreezeOptions),
    /// Allow deployments into an environment again
    Thaw(freeze::ThawOptions),
    /// Undo a release: restore its sources and deploy the version before it again
    Rollback(rollback::Options),
    /// Practise a restore: into isolation, with checks, measured and recorded
    Drill(drill::Options),
    /// List the releases of an environment
    Releases(releases::ListOptions),
    /// Show one release
    Show(releases::ShowOptions),
    /// List what was done here, by whom and why; or verify that nothing of it was removed or altered
    Audit(audit::Options),
    /// Check the integrity of a repository
    Check(check::Options),
    /// Bring a second, verified copy in another store up to date
    Copy(copy::Options),
    /// Let go of releases that no rule keeps, and free what only they needed
    Prune(prune::Options),
    /// Keep a release from being pruned, or lift that
    Hold(hold::Options),
    /// List the files of a snapshot
    Ls(ls::Options),
    /// Print a JSON Schema
    Schema(schema::Options),
    /// Print the completions of a shell
    Completions(completions::Options),
    /// Print the manual page
    Man,
}

impl Command {
    /// Says whether the command is about a git working tree; a bare repository is about none.
    pub fn needs_git(&self) -> bool {
        let bare = match self {
            Self::Check(options) => &options.bare,
            Self::Ls(options) => &options.bare,
            Self::Restore(options) => &options.bare,
            _ => return true,
        };
        bare.repository.is_none()
    }

    /// Returns the word on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Doctor(_) => "doctor",
            Self::Plan(_) => "plan",
            Self::Gate(_) => "gate",
            Self::Guard(_) => "guard",
            Self::Snapshot(_) => "snapshot",
            Self::Admit(_) => "admit",
            Self::Freeze(_) => "freeze",
            Self::Thaw(_) => "thaw",
            Self::Approve(_) => "approve",
            Self::Reconcile(_) => "reconcile",
            Self::Restore(_) => "restore",
            Self::Rollback(_) => "rollback",
            Self::Drill(_) => "drill",
            Self::Releases(_) => "releases",
            Self::Show(_) => "show",
            Self::Audit(_) => "audit",
            Self::Check(_) => "check",
            Self::Copy(_) => "copy",
            Self::Prune(_) => "prune",
            Self::Hold(_) => "hold",
            Self::Ls(_) => "ls",
            Self::Schema(_) => "schema",
            Self::Completions(_) => "completions",
            Self::Man => "man",
        }
    }
}
