//! The commands of a rollback, ready to copy into a POSIX shell.

use super::super::playbook::{config_flag, place_flags};
use super::{DEFAULT_WAIT, Request};
use crate::model::way::WayKind;
use crate::release::shell;
use std::path::PathBuf;

/// Returns the command that goes a way, with all that was asked of this one.
pub fn command(request: &Request<'_>, way: WayKind) -> String {
    written(request, way, request.force.as_deref())
}

/// Returns the command that goes on with a rollback. Once it began, what it left is no reason against it.
pub(super) fn go_on(request: &Request<'_>, way: WayKind) -> String {
    written(request, way, None)
}

fn written(request: &Request<'_>, way: WayKind, force: Option<&str>) -> String {
    let run = &request.run;
    let command = ["holdpoint", "rollback"].map(str::to_owned).to_vec();
    let yes = vec!["--yes".to_owned(), run.environment.clone()];
    let flag = |name: &str, value: Option<String>| value.map(|value| vec![name.to_owned(), value]).unwrap_or_default();
    let unsafely = flag("--no-safety-snapshot", request.no_safety_snapshot.clone());
    let forced = flag("--force", force.map(str::to_owned));
    let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
    let signers = request.signers_file.as_ref().map(|path| absolute(path).display().to_string());
    let signers = flag("--allowed-signers", signers);
    let wait = (request.wait != DEFAULT_WAIT).then(|| humantime::format_duration(request.wait).to_string());
    let wait = flag("--wait", wait.map(|text| text.replace(' ', "")));
    let by = match way {
        WayKind::FullRestore => Vec::new(),
        way => vec!["--way".to_owned(), way.to_string()],
    };
    let place = place_flags(run, &request.given.manifest.id);
    shell::line(&[command, config_flag(run), place, by, yes, unsafely, forced, signers, wait].concat())
}
