//! Events in one sentence each.

use super::units::{counted, duration, time};
use crate::ledger::events::Event;

/// Says what happened, beginning with a small letter and without the time.
pub fn happened(event: &Event) -> String {
    match event {
        Event::Reconciled { explanation, .. } => format!("reconciled: {explanation}"),
        Event::Admitted { run, run_url, actor, signer, .. } => {
            let actor = actor.as_ref().map(|actor| format!(" of {actor}")).unwrap_or_default();
            let signer = match signer {
                Some(signer) => format!("; the pass is signed by {signer}"),
                None => "; the pass is not signed".to_owned(),
            };
            format!("admitted: deployed by run {}{actor}{signer}", run_url.as_ref().unwrap_or(run))
        }
        Event::Approved { signer, key, .. } => format!("approved by {signer} ({key})"),
        Event::Guarded { succeeded: true, .. } => "the guarded command succeeded".to_owned(),
        Event::Guarded { status, .. } => format!("the guarded command failed: {status}"),
        Event::Frozen { by, reason, until, .. } => {
            let until = until.map(|until| format!(" until {}", time(until))).unwrap_or_default();
            format!("the environment was frozen by {by}{until}: {reason}")
        }
        Event::Thawed { by, reason, .. } => format!("the environment was thawed by {by}: {reason}"),
        Event::RollbackBegan { by, observed, forced, way, unsaved, .. } => {
            let way = way.map(|way| format!(" by {way}")).unwrap_or_default();
            let forced = forced.as_ref().map(|reason| format!("; forced: {reason}")).unwrap_or_default();
            let unsaved = unsaved.as_ref().map(|reason| format!("; the present state is not saved: {reason}"));
            format!("a rollback{way} was begun by {by}: {observed}{forced}{}", unsaved.unwrap_or_default())
        }
        Event::RollbackStep { step, state, message, .. } => {
            let message = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            format!("rollback: {step}: {}{message}", state.as_str())
        }
        Event::RollbackAdmitted { run, actor, signer, .. } => {
            let actor = actor.as_ref().map(|actor| format!(" of {actor}")).unwrap_or_default();
            format!("run {run}{actor} was admitted to deploy the older version again; its pass is signed by {signer}")
        }
        Event::Drilled { drill, .. } => {
            let result = drill.result.as_str();
            format!("drilled by {}: {result}, in {}", drill.by, duration(drill.seconds))
        }
        Event::Held { by, reason, until, .. } => {
            let until = until.map(|until| format!(" until {}", time(until))).unwrap_or_default();
            format!("held by {by}{until}: {reason}")
        }
        Event::HoldLifted { by, reason, .. } => format!("every hold was lifted by {by}: {reason}"),
        Event::Pruned { by, snapshots, copy, archive, .. } => {
            let from = copy.as_ref().map(|copy| format!(" from the copy {copy}")).unwrap_or_default();
            let kept = archive.as_ref().map(|name| format!("; the copy {name} keeps it")).unwrap_or_default();
            let count = counted(snapshots.len() as u64, "snapshot");
            format!("let go{from} by retention, started by {by}: {count} removed{kept}")
        }
        Event::NotTold { webhook, about, lines, why, .. } => {
            format!("the webhook {webhook} was not told of the {about} ({}): {why}", counted(u64::from(*lines), "line"))
        }
        Event::RolledBack { by, explanation, .. } => format!("rolled back by {by}: {explanation}"),
    }
}
