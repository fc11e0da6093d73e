//! `restore`: one source of a release, or a snapshot of a restic repository.

mod stdout;
mod trail;
mod trust;

use super::options::Format;
use super::output;
use super::repository::Bare;
use super::session::{Session, shown};
use crate::config::SourceKind;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::gate::reconcile::check_place;
use crate::gate::restore::{Restore, find_recorded, find_snapshot, find_source, restores_directories};
use crate::gate::scratch::Scratch;
use crate::gate::standing;
use crate::ledger::Ledger;
use crate::model::manifest::SourceRecord;
use crate::model::progress::Observer;
use crate::release::address::without_user_information;
use crate::report::units;
use crate::repository::lock::{LockGuard, LockKind};
use crate::repository::restore::{Restored, chosen_paths};
use crate::repository::{Id, Indexed, Repository, Snapshot};
use crate::source::Target;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use trail::Trail;

/// How long a restore waits for somebody who removes something from the repository.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is restored, and where to.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The source to restore
    #[arg(value_name = "SOURCE", required_unless_present = "repository", conflicts_with = "repository")]
    pub source: Option<String>,
    /// Take the manifest from FILE [default: the environment's newest release]
    #[arg(long, value_name = "FILE", conflicts_with = "id")]
    pub manifest: Option<PathBuf>,
    /// Take the manifest of the release ID, or of the only one that starts so
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Restore below DIR, into the database at URL, or to standard output (-) [default: where the source came from]
    #[arg(long, value_name = "DIR|URL|-")]
    pub target: Option<String>,
    /// Restore only PATH of the snapshot; may be given several times
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Overwrite what is there
    #[arg(long)]
    pub force: bool,
    /// The keys that may have signed the manifest [default: HOLDPOINT_ALLOWED_SIGNERS, the configuration's]
    #[arg(long, value_name = "FILE", conflicts_with = "repository")]
    pub allowed_signers: Option<PathBuf>,
    /// A bare repository.
    #[command(flatten)]
    pub bare: Bare,
    /// The snapshot of the repository: its id, the beginning of it, or latest
    #[arg(
        long,
        value_name = "ID",
        requires = "repository",
        default_value_if("repository", clap::builder::ArgPredicate::IsPresent, "latest")
    )]
    pub snapshot: Option<String>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    source: &'a str,
    snapshot: String,
    target: Option<String>,
    files: u64,
    dirs: u64,
    bytes: u64,
    changed_files: u64,
    changed_dirs: u64,
    written_bytes: u64,
    notes: Vec<String>,
}

/// Runs `restore`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let trail = Trail::default();
    let ended = match stdout::is_wanted(options) {
        true => stdout::run(session, options, &trail),
        false => restore(session, options, &trail),
    };
    trail.end(&ended);
    ended
}

fn restore(session: &Session, options: &Options, trail: &Trail) -> anyhow::Result<ExitCode> {
    let (name, snapshot, restored) = match &options.source {
        Some(source) => {
            let (snapshot, restored) = of_release(session, options, source, trail)?;
            (source.as_str(), snapshot, restored)
        }
        None => {
            let (snapshot, restored) = of_repository(session, options)?;
            ("snapshot", snapshot, Some(restored))
        }
    };
    let target = target(options)?.as_ref().map(shown_target);
    let notes = restored.iter().flat_map(|restored| &restored.notes);
    let notes: Vec<_> = notes.map(|note| format!("{}: {}", note.path.display(), note.message)).collect();
    let (files, dirs, bytes) =
        restored.as_ref().map_or((0, 0, 0), |restored| (restored.files, restored.dirs, restored.bytes));
    match session.format() {
        Format::Json => output::print_json(&Document {
            schema_version: 1,
            command: "restore",
            exit_code: 0,
            source: name,
            snapshot: snapshot.to_string(),
            target,
            files,
            dirs,
            bytes,
            changed_files: restored.as_ref().map_or(0, |restored| restored.changed_files),
            changed_dirs: restored.as_ref().map_or(0, |restored| restored.changed_dirs),
            written_bytes: restored.as_ref().map_or(0, |restored| restored.written_bytes),
            notes,
        })?,
        Format::Text => {
            let to = target.as_deref().unwrap_or("where it came from");
            let what = match &restored {
                Some(restored) if options.force => {
                    let (changed, files) = (units::count(restored.changed_files), units::counted(files, "file"));
                    format!("{} in {files}, of which {changed} differed", units::bytes(bytes))
                }
                Some(_) => format!("{} in {}", units::bytes(bytes), units::counted(files, "file")),
                None => "all of it".to_owned(),
            };
            output::print(&format!("restored {name} (snapshot {}) to {to}: {what}\n", snapshot.short()))?;
            for note in notes {
                output::note(&format!("note: {note}"));
            }
        }
    }
    Ok(ExitCode::Pass)
}

/// What is to be restored, in a repository from which nothing is removed meanwhile.
struct Found {
    /// What the manifest says of it; `None` of a bare repository.
    record: Option<SourceRecord>,
    indexed: Arc<Indexed>,
    id: Id,
    snapshot: Snapshot,
    _lock: LockGuard,
}

impl Found {
    fn look(session: &Session, options: &Options, trail: &Trail) -> Result<Self> {
        match &options.source {
            Some(name) => Self::of_release(session, options, name, trail),
            None => Self::in_repository(options.bare.open(session)?, session, |indexed| {
                find_snapshot(indexed, options.snapshot.as_deref().unwrap_or("latest"))
            }),
        }
    }

    fn of_release(session: &Session, options: &Options, name: &str, trail: &Trail) -> Result<Self> {
        let place = session.place()?;
        let ledger = Ledger::new(place.ledger_storage());
        let manifest = trust::manifest(session, options, &ledger)?;
        check_place(&manifest, &session.application()?, &session.environment()?)?;
        let record = find_source(&manifest, name)?;
        trail.begin(session, options, &ledger, &manifest)?;
        let repository = place.open()?;
        let found = Self::in_repository(repository, session, |indexed| find_recorded(indexed, record));
        let found = found.map_err(|error| standing::explain(error, &ledger, &manifest.id))?;
        Ok(Self { record: Some(record.clone()), ..found })
    }

    fn in_repository(
        repository: Repository,
        session: &Session,
        find: impl FnOnce(&Indexed) -> Result<(Id, Snapshot)>,
    ) -> Result<Self> {
        let lock = repository.lock(LockKind::Shared, PATIENCE, &session.cancel)?;
        let indexed = Arc::new(repository.index(&session.cancel)?);
        let (id, snapshot) = find(&indexed)?;
        Ok(Self { record: None, indexed, id, snapshot, _lock: lock })
    }
}

fn of_repository(session: &Session, options: &Options) -> Result<(Id, Restored)> {
    let Some(Target::Directory(target)) = target(options)? else {
        return Err(Error::new(ErrorCode::Usage, "a snapshot of a repository needs a place to go")
            .hint("name an empty directory by --target DIR"));
    };
    let Found { indexed, id, snapshot, _lock, .. } = Found::look(session, options, &Trail::default())?;
    let observer = session.observer();
    let restore = restore_with(session, options, &indexed, &*observer);
    Ok((id, restore.paths(&id.short(), snapshot.tree, &options.paths, &target)?))
}

fn restore_with<'a>(
    session: &'a Session,
    options: &Options,
    indexed: &'a Arc<Indexed>,
    observer: &'a dyn Observer,
) -> Restore<'a> {
    let runtime = session.runtime.handle();
    Restore { indexed, observer, cancel: &session.cancel, runtime, force: options.force }
}

fn of_release(session: &Session, options: &Options, name: &str, trail: &Trail) -> Result<(Id, Option<Restored>)> {
    let Found { record, indexed, id, snapshot, _lock } = Found::of_release(session, options, name, trail)?;
    let Some(source) = &record else { return Err(Error::new(ErrorCode::Internal, "a release has no record")) };
    let observer = session.observer();
    let restore = restore_with(session, options, &indexed, &*observer);
    let target = target(options)?;
    let configured = session.config.sources.iter().find(|config| config.name == name);
    let directory = session.directory()?;
    let by_itself = configured.is_some_and(|config| restores_directories(config, &directory, source));
    if let Some(Target::Directory(target)) = target.as_ref().filter(|_| !by_itself) {
        return Ok((id, Some(restore.paths(name, snapshot.tree, &options.paths, target)?)));
    }
    if source.kind == "files" {
        if target.is_some() {
            return Err(Error::new(ErrorCode::Usage, format!("{name} is files, which no URL can take"))
                .hint("name a directory by --target DIR"));
        }
        if !options.force {
            return Err(Error::new(
                ErrorCode::Usage,
                format!("restoring {name} to where it came from overwrites what is there"),
            )
            .hint("look at it first (--target DIR), then say --force"));
        }
        return Ok((id, Some(to_origin(&restore, name, &snapshot, &options.paths)?)));
    }
    if !options.paths.is_empty() {
        return Err(Error::new(ErrorCode::Usage, format!("{name} is restored as a whole: --path chooses files"))
            .hint("name a directory by --target DIR to get the files of its snapshot"));
    }
    let Some(config) = configured.filter(|config| !matches!(config.kind, SourceKind::Files(_))) else {
        let message = format!("the configuration has no source `{name}` of the kind {}", source.kind);
        return Err(Error::new(ErrorCode::Usage, message).hint(
            "give the configuration that captured it (--config FILE), or a directory to restore into (--target DIR)",
        ));
    };
    let scratch = Scratch::create()?;
    let target = target.unwrap_or(Target::Origin);
    restore.streams(config, &directory, (snapshot.tree, &source.content), scratch.path(), &target)?;
    Ok((id, None))
}

/// Restores files to where they came from; only `paths`, if there are any.
fn to_origin(restore: &Restore<'_>, name: &str, snapshot: &Snapshot, paths: &[PathBuf]) -> Result<Restored> {
    let captured: Vec<_> = snapshot.paths.iter().map(PathBuf::from).collect();
    let mut chosen = Vec::new();
    for path in chosen_paths(paths)? {
        // What leads to captured paths was not captured itself.
        let below: Vec<_> = captured.iter().filter(|captured| captured.starts_with(&path)).cloned().collect();
        chosen.extend(if below.is_empty() { vec![path] } else { below });
    }
    restore.in_place(name, snapshot.tree, if chosen.is_empty() { &captured } else { &chosen })
}

/// Reads `--target`: a URL has a scheme, everything else is a directory.
fn target(options: &Options) -> Result<Option<Target>> {
    Ok(match options.target.as_deref() {
        None => None,
        Some("") => {
            return Err(
                Error::new(ErrorCode::Usage, "--target is empty").hint("name a directory or the URL of a database")
            );
        }
        Some(url) if url.contains("://") => Some(Target::Url(url.to_owned())),
        Some(directory) => Some(Target::Directory(directory.into())),
    })
}

fn shown_target(target: &Target) -> String {
    match target {
        Target::Directory(directory) => shown(directory),
        Target::Url(url) => without_user_information(url.split(['?', '#']).next().unwrap_or_default()),
        Target::Origin => "where it came from".to_owned(),
    }
}
