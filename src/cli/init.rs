//! `init`: a commented configuration for what is found here, and the repository.

use super::options::Format;
use super::output;
use super::session::{Session, shown};
use crate::config::{FILE_NAME, Found, FoundServer, template};
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::gate::record::write_file;
use crate::repository::Creator;
use crate::source::discover::{Kind, Trace, discover, sqlite_databases};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Directories whose content deploys tend to change and nothing else can bring back.
const DIRECTORIES: [&str; 8] =
    ["uploads", "media", "storage", "data", "config", "public/uploads", "var", "attachments"];

/// What is written.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Overwrite an existing holdpoint.toml
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Serialize)]
struct Document {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    config: String,
    repository: Option<String>,
}

/// Runs `init`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let top = session.directory()?;
    let path = session.global.config.clone().unwrap_or_else(|| top.join(FILE_NAME));
    if path.exists() && !options.force {
        return Err(Error::new(ErrorCode::Usage, format!("{} exists already", shown(&path)))
            .hint("edit it, or overwrite it with --force")
            .into());
    }
    let found = look_around(session, &top)?;
    write_file(&path, template(&found).as_bytes())?;
    let repository = create_repository(session)?;
    match session.format() {
        Format::Json => {
            let config = path.display().to_string();
            output::print_json(&Document { schema_version: 1, command: "init", exit_code: 0, config, repository })?;
        }
        Format::Text => {
            let mut text = format!("wrote {}\n", shown(&path));
            match &repository {
                Some(location) => text.push_str(&format!("the repository is at {location}\n")),
                None => text.push_str("no environment is named yet: `holdpoint gate -e NAME` creates its repository\n"),
            }
            let environment = session.global.environment.as_deref().unwrap_or("ENVIRONMENT");
            text.push_str(&format!("next: read it, then run `holdpoint doctor -e {environment}`\n"));
            output::print(&text)?;
        }
    }
    Ok(ExitCode::Pass)
}

/// Creates the repository of the environment, if one is named.
fn create_repository(session: &Session) -> Result<Option<String>> {
    if session.environment().is_err() {
        return Ok(None);
    }
    let creator = Creator { hostname: session.application()?, username: String::new() };
    Ok(Some(session.place()?.open_or_create(creator)?.location()))
}

fn look_around(session: &Session, top: &Path) -> Result<Found> {
    let directories = DIRECTORIES.iter().map(PathBuf::from).filter(|path| top.join(path).is_dir()).collect();
    let databases = sqlite_databases(top);
    let server = |trace: Trace| FoundServer {
        name: trace.name,
        kind: trace.kind.map(Kind::name),
        variable: trace.variable,
        seen: trace.seen,
    };
    let servers = discover(top).into_iter().map(server).collect();
    let environments = session.global.environment.iter().cloned().collect();
    Ok(Found { application: Some(session.application()?), directories, databases, servers, environments })
}
