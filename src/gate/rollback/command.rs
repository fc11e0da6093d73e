//! The commands of a rollback, ready to copy into a POSIX shell.

use super::super::playbook::{config_flag, place_flags};
use super::Request;
use crate::model::way::WayKind;
use crate::release::shell;

/// Returns the command that goes a way, or goes on with it.
pub fn command(request: &Request<'_>, way: WayKind) -> String {
    let run = &request.run;
    let command = ["holdpoint", "rollback"].map(str::to_owned).to_vec();
    let yes = vec!["--yes".to_owned(), run.environment.clone()];
    let reason = request.no_safety_snapshot.as_ref();
    let unsafely = reason.map(|reason| vec!["--no-safety-snapshot".to_owned(), reason.clone()]).unwrap_or_default();
    let by = match way {
        WayKind::FullRestore => Vec::new(),
        way => vec!["--way".to_owned(), way.to_string()],
    };
    let place = place_flags(run, &request.given.manifest.id);
    shell::line(&[command, config_flag(run), place, by, yes, unsafely].concat())
}
