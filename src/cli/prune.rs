//! `prune`: retention.

use super::audited;
use super::freeze::who;
use super::options::Format;
use super::output;
use super::page;
use super::prompt;
use super::session::Session;
use crate::config::RetentionConfig;
use crate::error::{Error, ErrorCode, ExitCode, Result};
use crate::gate::audit::Auditor;
use crate::gate::copies::CopyStore;
use crate::gate::prune::{self, Done, Release, Request, Unnamed};
use crate::ledger::Ledger;
use crate::model::audit::{Action, AuditLine, Outcome};
use crate::model::prune::{LeftFile, PrunePlan, PruneTotals, PrunedRelease, UnnamedSnapshot};
use crate::report::prune as text;
use crate::repository::prune::{Left, MaxUnused, Options as Engine, Totals, Why};
use crate::repository::{FileType, Id};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How long a prune waits for others, unless it is said otherwise.
const PATIENCE: &str = "1m";
/// The youngest snapshot that may be taken for one that nobody will name any more.
const LEAST_UNREFERENCED: Duration = Duration::from_secs(60 * 60);

/// What is let go.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Show what would be done, and do nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Do it without asking
    #[arg(long)]
    pub yes: bool,
    /// Keep the newest N releases [default: the configuration's, as with all that follow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_last: Option<u32>,
    /// Keep every release that is not older than DURATION
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub keep_within: Option<Duration>,
    /// Keep the newest release of each of N days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_daily: Option<u32>,
    /// Keep the newest release of each of N weeks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_weekly: Option<u32>,
    /// Keep the newest release of each of N months
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_monthly: Option<u32>,
    /// Keep the newest release of each of N years
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_yearly: Option<u32>,
    /// Keep what the newest N deployments need to be rolled back
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_targets: Option<u32>,
    /// Remove snapshots of this environment, too, that no record names and that are older than DURATION
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub unreferenced_older_than: Option<Duration>,
    /// Prune the copy NAME, not the store
    #[arg(long, value_name = "NAME")]
    pub copy: Option<String>,
    /// Let so much of what is stored be of no use before packs are written anew: 5%, 1GiB, unlimited
    #[arg(long, value_name = "LIMIT", value_parser = max_unused)]
    pub max_unused: Option<MaxUnused>,
    /// Wait for others who use the repository or the environment, for DURATION
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = PATIENCE)]
    pub wait: Duration,
}

/// The result as JSON.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema_version: u32,
    command: &'static str,
    exit_code: u8,
    /// Whether it was done, and not only planned.
    performed: bool,
    plan: &'a PrunePlan,
}

/// Runs `prune`.
pub fn run(session: &Session, options: &Options) -> anyhow::Result<ExitCode> {
    let environment = session.environment()?;
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !options.dry_run && !options.yes && !terminal {
        return Err(Error::new(ErrorCode::Usage, "nobody is here to be asked whether to prune")
            .hint("look at it by --dry-run; then say --yes")
            .into());
    }
    if let Some(age) = options.unreferenced_older_than.filter(|age| *age < LEAST_UNREFERENCED) {
        let message = format!("--unreferenced-older-than {}: is too short", humantime::format_duration(age));
        return Err(Error::new(ErrorCode::Usage, message)
            .hint("a run that is still at work has no record yet: say 1h at least")
            .into());
    }
    let place = session.place()?;
    let settings = session.settings(&environment);
    let copies = session.copies(&place)?;
    let named = |name: &str| copies.iter().find(|copy| copy.name == name);
    let copy = options.copy.as_deref().map(|name| named(name).ok_or_else(|| unknown(name, &copies))).transpose()?;
    let archive = settings.archive.as_deref().and_then(named).filter(|_| settings.retired);
    if let (Some(copy), Some(archive)) = (copy, archive) {
        return Err(Error::new(
            ErrorCode::Usage,
            format!("the copy {} cannot be pruned: {environment} is retired", copy.name),
        )
        .hint(format!("the archive is {}, and keeps everything; remove other copies as a whole", archive.name))
        .into());
    }
    if settings.retired && archive.is_none() {
        output::note("note: the environment is retired and names no archive, so the rules of [retention] hold");
    }
    let retention = retention(session, options);
    let auditor = session.auditor(&environment)?;
    let observer = session.observer();
    let engine = match (options.max_unused, copy) {
        (Some(max_unused), _) => Engine { max_unused, ..Engine::default() },
        // What is packed anew in a copy is sent there once more, as it is in the store.
        (None, Some(_)) => Engine { max_unused: MaxUnused::Unlimited, ..Engine::default() },
        (None, None) => Engine::default(),
    };
    let request = Request {
        application: &session.application()?,
        environment: &environment,
        place: &place,
        copy,
        archive,
        config: &session.config,
        settings: &settings,
        retention: &retention,
        unreferenced_older_than: options.unreferenced_older_than,
        options: engine,
        directory: session.directory()?,
        patience: options.wait,
        by: who(session),
        run_url: session.ci.as_ref().and_then(|ci| ci.pipeline.run_url.clone()),
        auditor: &auditor,
        observer: &*observer,
    };
    let (cancel, runtime) = (&session.cancel, session.runtime.handle());
    let is_text = session.format() == Format::Text;
    let mut shown = None;
    if !options.yes {
        let done = prune::look(&request, cancel, runtime)?;
        let plan = report(&request, &done);
        if is_text {
            output::print(&text::plan(&plan, session.style()))?;
        }
        if options.dry_run {
            if !is_text {
                print_json(&plan, false)?;
            }
            return Ok(ExitCode::Pass);
        }
        prompt::ask(&environment, "prune it", cancel)?;
        shown = Some(done.choice);
    }
    let is_new = shown.is_none();
    let mut show = |done: &Done| match is_text && is_new {
        true => output::print(&text::plan(&report(&request, done), session.style())),
        false => Ok(()),
    };
    let began = Instant::now();
    let ledger = Ledger::new(place.ledger_storage());
    let ended = prune::perform(&request, shown.as_ref(), &mut show, cancel, runtime);
    // That it began is known, whatever becomes of this line.
    audited::warn(&auditor.note(&ledger, &end(&auditor, &ended)));
    let done = ended?;
    let plan = report(&request, &done);
    drop(observer);
    pages(session, &ledger, &done);
    match session.format() {
        Format::Text => output::print(&text::outcome(&plan, began.elapsed().as_secs_f64()))?,
        Format::Json => print_json(&plan, true)?,
    }
    Ok(ExitCode::Pass)
}

/// Returns the line of the audit that says how it ended.
fn end(auditor: &Auditor, ended: &Result<Done>) -> AuditLine {
    match ended {
        Ok(Done { pruned, .. }) => auditor
            .line(Action::Prune, Outcome::Done)
            .exits(ExitCode::Pass.number())
            .detail("snapshots_removed", pruned.totals.snapshots_removed.to_string())
            .detail("bytes_freed", pruned.totals.freed().to_string()),
        Err(error) => auditor.failed(Action::Prune, error),
    }
}

fn unknown(name: &str, copies: &[CopyStore]) -> Error {
    let known: Vec<_> = copies.iter().map(|copy| copy.name.as_str()).collect();
    let hint = match known.as_slice() {
        [] => "the configuration names no copy: see [store.copies.NAME]".to_owned(),
        known => format!("the configuration knows {}", known.join(", ")),
    };
    Error::new(ErrorCode::Usage, format!("there is no copy `{name}`")).hint(hint)
}

/// Returns the rules: each flag stands for one key of the configuration, and the others stay.
fn retention(session: &Session, options: &Options) -> RetentionConfig {
    let config = &session.config.retention;
    RetentionConfig {
        keep_last: options.keep_last.or(config.keep_last),
        keep_within: options.keep_within.or(config.keep_within),
        keep_daily: options.keep_daily.or(config.keep_daily),
        keep_weekly: options.keep_weekly.or(config.keep_weekly),
        keep_monthly: options.keep_monthly.or(config.keep_monthly),
        keep_yearly: options.keep_yearly.or(config.keep_yearly),
        keep_targets: options.keep_targets.unwrap_or(config.keep_targets),
        floor: config.floor,
    }
}

/// Reads `5%`, `1GiB` or `unlimited`.
fn max_unused(text: &str) -> std::result::Result<MaxUnused, String> {
    let wrong = || format!("{text:?} is no share such as 5%, no size such as 1GiB, and not \"unlimited\"");
    if text == "unlimited" {
        return Ok(MaxUnused::Unlimited);
    }
    match text.strip_suffix('%') {
        Some(percent) => match percent.trim().parse() {
            Ok(percent) if percent < 100 => Ok(MaxUnused::Percent(percent)),
            _ => Err(wrong()),
        },
        None => text.parse::<bytesize::ByteSize>().map(|size| MaxUnused::Bytes(size.as_u64())).map_err(|_| wrong()),
    }
}

/// Makes the pages of what was let go anew: they answer whether one can go back. A page that cannot be made is a warning.
fn pages(session: &Session, ledger: &Ledger, done: &Done) {
    page::limit(session);
    for release in done.choice.let_go() {
        if let Err(error) = page::write(session, ledger, &release.id) {
            output::note(&format!("warning: the page of {}: {}", release.id, error.chain()));
            return;
        }
    }
}

fn print_json(plan: &PrunePlan, performed: bool) -> Result<()> {
    output::print_json(&Document { schema_version: 1, command: "prune", exit_code: 0, performed, plan })
}

fn report(request: &Request<'_>, done: &Done) -> PrunePlan {
    let Done { choice, pruned, obstacle } = done;
    let ids = |ids: &BTreeSet<Id>| ids.iter().map(ToString::to_string).collect();
    let release = |release: &Release| PrunedRelease {
        id: release.id.clone(),
        version: release.version.clone(),
        state: release.state,
        purpose: release.purpose,
        recorded_at: release.at,
        goes: release.goes(),
        kept_by: release.kept_by.clone(),
        snapshots: ids(&release.snapshots),
        bytes: release.bytes,
    };
    let unnamed = |unnamed: &Unnamed| UnnamedSnapshot {
        snapshot: unnamed.id.to_string(),
        at: unnamed.at,
        tags: unnamed.tags.clone(),
    };
    let Totals { snapshots_removed, snapshots_kept, packs_removed, packs_repacked, .. } = pruned.totals;
    PrunePlan {
        environment: request.environment.to_owned(),
        store: request.place.location(),
        copy: request.copy.map(|copy| copy.name.clone()),
        archive: request.archive.map(|copy| copy.name.clone()),
        releases: choice.releases.iter().map(release).collect(),
        unnamed: choice.unnamed.iter().map(unnamed).collect(),
        leftovers: ids(&choice.leftovers),
        unreadable: choice.unreadable.clone(),
        without_rule: choice.without_rule,
        totals: PruneTotals {
            snapshots_removed,
            snapshots_kept,
            packs_removed,
            packs_repacked,
            bytes_removed: pruned.totals.bytes_removed,
            bytes_written: pruned.totals.bytes_written,
            freed: pruned.totals.freed(),
        },
        left: pruned.left.iter().map(left).collect(),
        obstacle: obstacle.as_ref().map(|finding| finding.message.clone()),
    }
}

fn left(left: &Left) -> LeftFile {
    let (locked_until, why) = match &left.why {
        Why::Locked(until) => (Some(*until), "locked".to_owned()),
        Why::Cold => (None, "too cold to be read at once".to_owned()),
        Why::Refused(why) => (None, why.clone()),
    };
    let kind = if left.kind == FileType::Snapshot { "snapshot" } else { "pack" };
    LeftFile { kind, id: left.id.to_string(), bytes: left.size, locked_until, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_of_no_use_is_a_share_or_a_size() {
        assert_eq!(max_unused("5%"), Ok(MaxUnused::Percent(5)));
        assert_eq!(max_unused("0%"), Ok(MaxUnused::Percent(0)));
        assert_eq!(max_unused("1GiB"), Ok(MaxUnused::Bytes(1 << 30)));
        assert_eq!(max_unused("unlimited"), Ok(MaxUnused::Unlimited));
        for wrong in ["100%", "-1%", "much", "", "5 per cent"] {
            assert!(max_unused(wrong).is_err(), "{wrong}");
        }
    }
}
