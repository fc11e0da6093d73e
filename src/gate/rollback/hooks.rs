//! The programs that a configuration names for a rollback.

use super::Request;
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::process::{Program, run_shown};
use crate::release::shell;

/// What tells a program which release is undone, and what a deploy step that asks (`holdpoint admit`) is to deploy.
const VARIABLES: [&str; 7] = [
    "HOLDPOINT_FROM_VERSION",
    "HOLDPOINT_FROM_COMMIT",
    "HOLDPOINT_TO_VERSION",
    "HOLDPOINT_ENVIRONMENT",
    "HOLDPOINT_RELEASE_ID",
    "HOLDPOINT_RELEASE",
    "HOLDPOINT_COMMIT",
];

/// Runs a program of the configuration in its directory, and shows what it prints on standard error.
///
/// It is the pipeline's own program, and gets the environment of the job: it may need its tokens.
///
/// # Errors
/// `restore-failed` if it cannot be started or fails; the reason of a cancellation.
pub(super) fn run(request: &Request<'_>, argv: &[String], cancel: &Cancel) -> Result<()> {
    let mut program = Program::new(argv);
    program.directory = Some(request.run.directory.clone());
    let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    // What lies in escrow is for drills alone.
    let is_its = |name: &str| !VARIABLES.contains(&name) && !name.starts_with("HOLDPOINT_ESCROW_PASSWORD");
    program.env = std::env::vars_os().filter_map(utf8).filter(|(name, _)| is_its(name)).collect();
    let release = &request.given.manifest.release;
    let from = release.from.version.as_ref().map(|version| version.as_str().to_owned());
    let values = [
        from.clone(),
        release.from.commit.clone(),
        Some(release.to.version.as_str().to_owned()),
        Some(request.run.environment.clone()),
        Some(request.given.manifest.id.as_str().to_owned()),
        from,
        release.from.commit.clone(),
    ];
    for (name, value) in VARIABLES.iter().zip(values) {
        // One that is not set must not be taken from the job, whose release is another one.
        program.env.insert((*name).to_owned(), value.unwrap_or_default());
    }
    run_shown(&program, cancel).map_err(|error| match error.code() {
        ErrorCode::ProcessFailed => {
            Error::new(ErrorCode::RestoreFailed, format!("{} failed", shell::line(argv))).caused_by(error)
        }
        _ => error,
    })
}
