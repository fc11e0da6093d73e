//! The steps of a rollback, by its way.

use super::against::told_by;
use super::estimates::Estimates;
use super::journal::SAFETY;
use super::survey::Present;
use super::{Request, sources};
use crate::model::manifest::SourceRecord;
use crate::model::rollback::{RollbackStep, Task};
use crate::model::way::WayKind;
use crate::release::shell;

/// Returns the steps after the freeze, in order; the present state is saved if it `saves`.
pub(super) fn steps(
    (way, saves): (WayKind, bool),
    request: &Request<'_>,
    presents: &[Present<'_>],
    estimates: &Estimates,
) -> Vec<RollbackStep> {
    let manifest = &request.given.manifest;
    let hooks = &request.run.settings.rollback;
    let mut steps = Vec::new();
    if saves {
        steps.push(RollbackStep::new(SAFETY, "save the present state", Task::Safety));
    }
    let hook = |(number, argv): (usize, &Vec<String>), when: &str, what: &str| {
        // The command is part of the name: another one is another step.
        let name = format!("{when} {}: {}", number + 1, shell::line(argv));
        RollbackStep::new(&name, &format!("{what}: {}", shell::line(argv)), Task::Hook(argv.clone()))
    };
    steps.extend(hooks.before.iter().enumerate().map(|each| hook(each, "before", "stop what writes")));
    match way {
        WayKind::FullRestore => {
            steps.extend(sources::restorable(manifest).map(|source| restore(source, estimates)));
            steps.extend(sources::restorable(manifest).map(verify));
        }
        WayKind::CodeOnly | WayKind::DownMigration => {
            let program = hooks.down_migration.iter().filter(|_| way == WayKind::DownMigration);
            steps.extend(program.map(|argv| migrate(argv)));
            // Whatever the plan saw, this is the moment in which it counts.
            steps.extend(told_by(request, presents).map(|present| verify_schema(present.record)));
        }
        WayKind::PointInTime | WayKind::RollForward => {}
    }
    if let (Some(version), Some(argv)) = (&manifest.release.from.version, &hooks.redeploy) {
        let line = shell::line(argv);
        let task = Task::Redeploy(argv.clone());
        steps.push(RollbackStep::new(&format!("redeploy: {line}"), &format!("deploy {version} again: {line}"), task));
    }
    steps.extend(hooks.after.iter().enumerate().map(|each| hook(each, "after", "start the application")));
    if let (Some(version), Some(_)) = (&manifest.release.from.version, &request.run.settings.deployed) {
        steps.push(RollbackStep::new("reconcile", &format!("see that {version} runs"), Task::Reconcile));
    }
    steps
}

/// Names the step that restores a source.
pub(super) fn restore_name(source: &str) -> String {
    format!("restore {source}")
}

fn restore(source: &SourceRecord, estimates: &Estimates) -> RollbackStep {
    let name = source.name.as_str();
    let (estimate_seconds, estimated_by) = estimates.of(name).map(|(seconds, by)| (seconds, by.to_owned())).unzip();
    let task = Task::Restore(name.to_owned());
    RollbackStep {
        owner: source.owner.clone(),
        destructive: true,
        estimate_seconds,
        estimated_by,
        ..RollbackStep::new(&restore_name(name), &format!("restore {name} ({})", source.kind), task)
    }
}

fn verify(source: &SourceRecord) -> RollbackStep {
    let name = source.name.as_str();
    let what = match source.kind.as_str() {
        "command" => "nothing but its own program can tell",
        "files" => "compare every byte with the snapshot",
        _ => "compare what it holds with the manifest",
    };
    RollbackStep::new(
        &format!("verify {name}"),
        &format!("verify {name} ({}): {what}", source.kind),
        Task::Verify(name.to_owned()),
    )
}

fn migrate(argv: &[String]) -> RollbackStep {
    let line = shell::line(argv);
    let action = format!("take the schema back: {line}");
    RollbackStep {
        destructive: true,
        ..RollbackStep::new(&format!("down-migration: {line}"), &action, Task::Migrate(argv.to_vec()))
    }
}

fn verify_schema(source: &SourceRecord) -> RollbackStep {
    let name = source.name.as_str();
    let action = format!("verify {name} ({}): compare its schema with what the older version runs on", source.kind);
    RollbackStep::new(&format!("verify {name}"), &action, Task::VerifySchema(name.to_owned()))
}
