//! The programs that a configuration names for a rollback.

use super::{Request, left};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Manifest;
use crate::policy::schema;
use crate::process::{Program, run_shown};
use crate::release::shell;
use std::collections::BTreeMap;

/// What tells a program which release is undone, and what a deploy step that asks (`holdpoint admit`) is to deploy.
const VARIABLES: [&str; 8] = [
    "HOLDPOINT_FROM_VERSION",
    "HOLDPOINT_FROM_COMMIT",
    "HOLDPOINT_TO_VERSION",
    "HOLDPOINT_ENVIRONMENT",
    "HOLDPOINT_RELEASE_ID",
    "HOLDPOINT_RELEASE",
    "HOLDPOINT_COMMIT",
    STEP,
];

/// Tells the programs of one step of one rollback from all others.
pub(super) const STEP: &str = "HOLDPOINT_ROLLBACK_STEP";
/// How the variables begin that tell a migration to which version of its schema it takes a source back.
const SCHEMA: &str = "HOLDPOINT_SCHEMA_VERSION_";

/// Runs the program of a step in the configuration's directory, and shows what it prints on standard error.
///
/// It is the pipeline's own program, and gets the environment of the job: it may need its tokens.
///
/// # Errors
/// `restore-failed` if it cannot be started or fails; the reason of a cancellation.
pub(super) fn run(request: &Request<'_>, step: &str, argv: &[String], cancel: &Cancel) -> Result<()> {
    let mut program = Program::new(argv);
    program.directory = Some(request.run.directory.clone());
    let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    program.env = std::env::vars_os().filter_map(utf8).filter(|(name, _)| is_the_jobs(name)).collect();
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
        Some(left::mark(request.given.manifest.id.as_str(), step)),
    ];
    for (name, value) in VARIABLES.iter().zip(values) {
        // One that is not set must not be taken from the job, whose release is another one.
        program.env.insert((*name).to_owned(), value.unwrap_or_default());
    }
    program.env.extend(schemas(&request.given.manifest));
    run_shown(&program, cancel).map_err(|error| match error.code() {
        ErrorCode::ProcessFailed => {
            Error::new(ErrorCode::RestoreFailed, format!("{} failed", shell::line(argv))).caused_by(error)
        }
        _ => error,
    })
}

fn is_the_jobs(name: &str) -> bool {
    // What lies in escrow is for drills alone.
    !VARIABLES.contains(&name) && !name.starts_with(SCHEMA) && !name.starts_with("HOLDPOINT_ESCROW_PASSWORD")
}

/// Returns the version of each source's schema at the gate, by the source's name in capitals.
fn schemas(manifest: &Manifest) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for source in manifest.sources.iter().filter(|source| source.snapshot.is_some()) {
        for (database, told) in schema::versions(&source.content) {
            let name = format!("{}{}{database}", source.name, if database.is_empty() { "" } else { "_" });
            let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
            variables.insert(format!("{SCHEMA}{}", name.chars().map(plain).collect::<String>()), told.version);
        }
    }
    variables
}
