//! Recovery to a moment that a person chooses: what to do, since no server that runs can be recovered.

use super::super::playbook::{config_flag, place_flags};
use super::Request;
use super::sources::configured;
use super::survey::Present;
use crate::config::{PostgresConfig, PostgresMethod, SourceKind};
use crate::model::leaning::Base;
use crate::release::shell;

/// Says whether a source keeps what leads to any moment: a base backup and the log since then.
pub(super) fn has_log(present: &Present<'_>) -> bool {
    present.record.method == "restore-point" && present.record.snapshot.is_some()
}

/// Returns the sources that a full restore would bring back, and a recovery to a moment leaves as they are.
pub(super) fn without_log<'p, 'r>(presents: &'p [Present<'r>]) -> impl Iterator<Item = &'p Present<'r>> {
    presents.iter().filter(|present| present.record.snapshot.is_some() && !has_log(present))
}

/// Returns what to do, in order.
pub(super) fn steps(request: &Request<'_>, presents: &[Present<'_>]) -> Vec<String> {
    let rollback = &request.run.settings.rollback;
    let mut steps: Vec<_> =
        rollback.before.iter().map(|argv| format!("stop what writes: {}", shell::line(argv))).collect();
    for present in presents.iter().filter(|present| has_log(present)) {
        let name = &present.record.name;
        steps.push(match Base::of(&present.record.content) {
            Some(base) => {
                let command = ["holdpoint", "restore", &base.source].map(str::to_owned).to_vec();
                let place = place_flags(&request.run, &base.release);
                let target = ["--target", "DATA_DIRECTORY", "--force"].map(str::to_owned).to_vec();
                let line = shell::line(&[command, config_flag(&request.run), place, target].concat());
                format!("stop the server of {name}, and restore its base backup: {line}")
            }
            None => format!("stop the server of {name}, and restore its base backup by the tool that made it"),
        });
        let command = match configured(request, present.record).map(|config| &config.kind) {
            Some(SourceKind::Postgres(PostgresConfig { method: PostgresMethod::RestorePoint(point), .. })) => {
                format!("restore_command ({})", shell::line(&point.restore_command))
            }
            _ => "restore_command".to_owned(),
        };
        steps.push(format!(
            "set {command} and recovery_target_time (the moment) in postgresql.auto.conf there, make the file \
             recovery.signal, and start the server"
        ));
    }
    let version = &request.given.manifest.release.from.version;
    if let (Some(version), Some(argv)) = (version, &rollback.redeploy) {
        steps.push(format!("deploy {version} again: {}", shell::line(argv)));
    }
    steps.extend(rollback.after.iter().map(|argv| format!("start the application: {}", shell::line(argv))));
    steps
}
