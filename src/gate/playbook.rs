//! The way back, as steps that a person can follow.

use super::estimate::Speed;
use super::request::{Given, Request};
use crate::config::{FILE_NAME, SourceKind};
use crate::model::manifest::{Commands, From, Playbook, Purpose, SourceRecord, Step};
use crate::model::release_id::ReleaseId;
use crate::release::shell;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Writes the way back from a release whose sources are `sources`, in the order of a restore.
///
/// `speed` is what is known of the speed of restores.
pub(super) fn playbook(
    request: &Request,
    id: &ReleaseId,
    from: &From,
    sources: &[SourceRecord],
    speed: &Speed,
) -> Playbook {
    let restorable: Vec<_> = sources.iter().filter(|source| source.snapshot.is_some()).collect();
    let mut steps = Steps::default();
    let rollback = &request.settings.rollback;
    for command in &rollback.before {
        steps.add("stop what writes", None, None, Some(shell::line(command)), false, None);
    }
    for source in &restorable {
        let estimate = speed.seconds(source);
        let action = match is_cluster(source) {
            true => format!("stop the server of {}, and restore its data directory; then start it", source.name),
            false => format!("restore {} ({})", source.name, source.kind),
        };
        let action = match &source.stand_in {
            Some(older) => format!("{action}, as it was at {:.0}", older.captured_at),
            None => action,
        };
        let command = Some(shell::line(&restore_command(request, id, source)));
        steps.add(&action, Some(&source.name), source.owner.as_deref(), command, true, estimate);
    }
    let version = from.version.as_ref();
    if let Some(version) = version {
        let command = rollback.redeploy.as_deref().map(shell::line);
        steps.add(&format!("deploy {version} again"), None, None, command, true, None);
    }
    for command in &rollback.after {
        steps.add("start the application", None, None, Some(shell::line(command)), false, None);
    }
    let observe = [
        vec!["holdpoint".into(), "reconcile".into()],
        config_flag(request),
        place_flags(request, id),
        vec!["--expect".into(), "from".into()],
    ];
    if version.is_some() {
        let command = Some(shell::line(&observe.concat()));
        steps.add("see that the older version runs", None, None, command, false, None);
    }
    let data_loss_from = restorable.iter().filter_map(|source| source.captured_at()).min();
    Playbook {
        summary: summary(request, from, restorable.len()),
        data_loss_from,
        commands: commands(request, id, &restorable),
        steps: steps.0,
        not_reverted: not_reverted(sources),
        requires: requires(sources),
    }
}

/// Returns the commands that do all of it, unless a source needs a person.
fn commands(request: &Request, id: &ReleaseId, restorable: &[&SourceRecord]) -> Option<Commands> {
    let by_hand = |source: &&SourceRecord| {
        let config = request.sources.iter().find(|config| config.name == source.name);
        let without =
            matches!(config.map(|config| &config.kind), Some(SourceKind::Command(it)) if it.restore.is_none());
        without || is_cluster(source)
    };
    if request.purpose != Purpose::Gate || restorable.is_empty() || restorable.iter().any(by_hand) {
        return None;
    }
    let line = |verb: &str, place: Vec<String>, more: &[&str]| {
        let words = vec!["holdpoint".to_owned(), verb.to_owned()];
        let more = more.iter().map(|&word| word.to_owned()).collect();
        shell::line(&[words, config_flag(request), place, more].concat())
    };
    Some(Commands {
        plan: line("rollback", place_flags(request, id), &["--plan"]),
        rollback: line("rollback", place_flags(request, id), &["--yes", &request.environment]),
        thaw: line("thaw", environment_flags(request), &["--reason", "TEXT"]),
    })
}

#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn add(
        &mut self,
        action: &str,
        source: Option<&str>,
        owner: Option<&str>,
        command: Option<String>,
        destructive: bool,
        estimate_seconds: Option<f64>,
    ) {
        let order = u32::try_from(self.0.len() + 1).unwrap_or(u32::MAX);
        self.0.push(Step {
            order,
            source: source.map(str::to_owned),
            owner: owner.map(str::to_owned),
            action: action.to_owned(),
            command,
            destructive,
            estimate_seconds,
        });
    }
}

fn summary(request: &Request, from: &From, restorable: usize) -> String {
    let restore = match restorable {
        0 => return "nothing was captured in this run: there is nothing to go back to".to_owned(),
        1 => "restore 1 source".to_owned(),
        count => format!("restore {count} sources"),
    };
    match (&from.version, &request.from) {
        (Some(version), _) => format!("{restore} and deploy {version} again"),
        (None, Given::First) => format!("{restore}; nothing was deployed before this release"),
        (None, _) => format!("{restore}; which version was deployed before is unknown"),
    }
}

/// Returns what the older version and the servers must agree with, by source.
fn requires(sources: &[SourceRecord]) -> BTreeMap<String, String> {
    let mut requires = BTreeMap::new();
    for source in sources.iter().filter(|source| source.snapshot.is_some()) {
        let plain = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if let Some(version) = source.content.get("schema_version") {
            requires.insert(format!("schema_version of {}", source.name), plain(version));
        }
        // A source of several databases has a version for each.
        let databases = source.content.get("databases").and_then(serde_json::Value::as_object);
        for (database, facts) in databases.into_iter().flatten() {
            if let Some(version) = facts.get("schema_version") {
                requires.insert(format!("schema_version of {}, {database}", source.name), plain(version));
            }
        }
        if let Some(version) = &source.server_version {
            // The files of a cluster are of one major version.
            let needed = match is_cluster(source) {
                true => format!("the major version of {version}"),
                false => format!("{version} or newer"),
            };
            requires.insert(format!("server of {}", source.name), needed);
        }
    }
    requires
}

fn not_reverted(sources: &[SourceRecord]) -> Vec<String> {
    let missing = sources.iter().filter(|source| !source.is_proved());
    let mut list: Vec<_> = missing
        .map(|source| format!("{} ({}): it has no snapshot of this release", source.name, source.kind))
        .collect();
    list.push("what no source covers: other databases, queues, caches, and what was sent to other systems".to_owned());
    list
}

fn restore_command(request: &Request, id: &ReleaseId, source: &SourceRecord) -> Vec<String> {
    let command = vec!["holdpoint".to_owned(), "restore".to_owned(), source.name.clone()];
    // Where its data directory is, only whoever runs the server knows.
    let target = match is_cluster(source) {
        true => vec!["--target".to_owned(), "DATA_DIRECTORY".to_owned()],
        false => Vec::new(),
    };
    [command, config_flag(request), place_flags(request, id), target, vec!["--force".to_owned()]].concat()
}

/// Says whether a source is a whole cluster of databases, which no running server can take back.
fn is_cluster(source: &SourceRecord) -> bool {
    matches!(source.method.as_str(), "base-backup" | "restore-point")
}

/// Names the configuration unless it is the one that is found without a name.
pub(super) fn config_flag(request: &Request) -> Vec<String> {
    let named = request.config.path.as_ref().filter(|path| path.as_os_str() != FILE_NAME);
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    named.map(|path| vec!["--config".to_owned(), absolute(path).display().to_string()]).unwrap_or_default()
}

pub(super) fn place_flags(request: &Request, id: &ReleaseId) -> Vec<String> {
    [environment_flags(request), vec!["--id".to_owned(), id.to_string()]].concat()
}

fn environment_flags(request: &Request) -> Vec<String> {
    [
        ("--application", request.application.as_str()),
        ("--environment", &request.environment),
        ("--store", &request.place.location()),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value.to_owned()])
    .collect()
}
