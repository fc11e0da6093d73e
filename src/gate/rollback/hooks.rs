//! The programs that a configuration names for a rollback.

use super::{Request, left};
use crate::cancel::Cancel;
use crate::error::{Error, ErrorCode, Result};
use crate::model::manifest::Manifest;
use crate::policy::schema;
use crate::process::{Program, run_shown};
use crate::release::shell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

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
/// It is the pipeline's own program, and gets the environment of the job: it may need its tokens. Keys and passwords that are
/// for holdpoint alone are not among it.
///
/// # Errors
/// `restore-failed` if it cannot be started or fails; the reason of a cancellation.
pub(super) fn run(request: &Request<'_>, step: &str, argv: &[String], cancel: &Cancel) -> Result<()> {
    let mut program = Program::new(argv);
    program.directory = Some(request.run.directory.clone());
    program.inherited = std::env::vars_os().filter(|(name, _)| is_the_jobs(name, &request.withheld)).collect();
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
    program.env.extend(schemas(&request.given.manifest).versions);
    run_shown(&program, cancel).map_err(|error| match error.code() {
        ErrorCode::ProcessFailed => {
            Error::new(ErrorCode::RestoreFailed, format!("{} failed", shell::line(argv))).caused_by(error)
        }
        _ => error,
    })
}

fn is_the_jobs(name: &OsStr, withheld: &[String]) -> bool {
    let name = name.to_string_lossy();
    // What lies in escrow is for drills alone.
    let is_ours =
        VARIABLES.contains(&&*name) || name.starts_with(SCHEMA) || name.starts_with("HOLDPOINT_ESCROW_PASSWORD");
    // Who deploys must not be able to vouch for the next deploy.
    !is_ours && !withheld.iter().any(|one| *one == name)
}

/// What a migration is told of the schemas at the gate.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Schemas {
    /// The version of each, by a variable named after its source in capitals.
    versions: BTreeMap<String, String>,
    /// Variables that would stand for several schemas, such as those of the sources `a-b` and `a_b`: none of them is told.
    pub(super) ambiguous: BTreeSet<String>,
}

/// Returns the version of each source's schema at the gate.
pub(super) fn schemas(manifest: &Manifest) -> Schemas {
    let mut schemas = Schemas::default();
    for source in manifest.sources.iter().filter(|source| source.snapshot.is_some()) {
        for (database, told) in schema::versions(&source.content) {
            let name = format!("{}{}{database}", source.name, if database.is_empty() { "" } else { "_" });
            let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
            let variable = format!("{SCHEMA}{}", name.chars().map(plain).collect::<String>());
            if schemas.versions.insert(variable.clone(), told.version).is_some() {
                schemas.ambiguous.insert(variable);
            }
        }
    }
    let Schemas { versions, ambiguous } = &mut schemas;
    versions.retain(|variable, _| !ambiguous.contains(variable));
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn programs_get_the_environment_of_the_job_and_no_key() {
        let withheld = ["HOLDPOINT_SIGNING_KEY".to_owned(), "OUR_KEY".to_owned()];
        let is_the_jobs = |name: &[u8]| is_the_jobs(OsStr::from_bytes(name), &withheld);
        for name in [&b"PATH"[..], b"DEPLOY_TOKEN", b"HOLDPOINT_PASSWORD", b"NOT\xffTEXT", b"OUR_KEY_2"] {
            assert!(is_the_jobs(name), "{name:?}");
        }
        let ours = ["OUR_KEY", "HOLDPOINT_SIGNING_KEY", "HOLDPOINT_ESCROW_PASSWORD_FILE", STEP, "HOLDPOINT_COMMIT"];
        for name in ours.into_iter().chain(["HOLDPOINT_SCHEMA_VERSION_OTHER"]) {
            assert!(!is_the_jobs(name.as_bytes()), "{name}");
        }
    }
}
