//! `init`: a commented configuration for what is found here, and the repository.

use super::options::Format;
use super::output;
use super::session::{Session, shown};
use crate::config::{FILE_NAME, Found, template};
use crate::error::{Error, ErrorCode, ExitCode, IoContext, Result};
use crate::gate::record::write_file;
use crate::repository::Creator;
use serde::Serialize;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Directories whose content deploys tend to change and nothing else can bring back.
const DIRECTORIES: [&str; 8] =
    ["uploads", "media", "storage", "data", "config", "public/uploads", "var", "attachments"];
/// How deep databases are looked for.
const DEPTH: usize = 3;

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
    let mut databases = Vec::new();
    find_databases(top, Path::new(""), DEPTH, &mut databases)?;
    databases.sort();
    let environments = session.global.environment.iter().cloned().collect();
    Ok(Found { application: Some(session.application()?), directories, databases, environments })
}

/// Finds SQLite databases by their first bytes; what cannot be read is not ours to back up.
fn find_databases(top: &Path, below: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let directory = top.join(below);
    let entries = std::fs::read_dir(&directory).io_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let entry = entry.io_context(|| format!("cannot list {}", directory.display()))?;
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        let path = below.join(&name);
        let hidden = name.to_string_lossy().starts_with('.');
        let skipped = ["target", "node_modules", "vendor"].iter().any(|skip| name == *skip);
        if kind.is_dir() && depth > 1 && !hidden && !skipped {
            // A directory that cannot be listed is passed over: this is a look around, not a capture.
            let _ = find_databases(top, &path, depth - 1, found);
        } else if kind.is_file() && is_sqlite(&top.join(&path)) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_sqlite(path: &Path) -> bool {
    let mut header = [0; 16];
    File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok() && &header == b"SQLite format 3\0"
}
